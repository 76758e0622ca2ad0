"""The callback of a run: queued with its end, signed, tried again, and never sent where it may not go."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.models import Run, RunLease
from agents.runtime.ports import RunEnd
from agents.services import callbacks
from agents.services.callbacks import CallbackFailed, check_callback_url, pause_after, sign, signing_secret
from agents.services.journal import OpenRun, end_run
from agents.services.leases import reap_abandoned_runs
from agents.services.run_ends import SEND_CALLBACK
from letta_ade.cli import ROOT
from letta_ade.core import threads
from letta_ade.core.addresses import AllowList
from letta_ade.core.errors import Invalid
from letta_ade.core.jobs import run_worker
from letta_ade.core.outbound import OutboundFailed
from tests.support.api import asgi_client
from tests.support.factories import make_caller, make_conversation, make_lease, make_run, make_workspace
from tests.support.fake_provider import Answer
from tests.support.receiver import Receiver, hanging, redirect

pytestmark = pytest.mark.django_db(transaction=True)
R = TypeVar("R")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Tries follow each other at once."""
    with (
        override_settings(
            OUTBOUND_ALLOW=AllowList.parse(["127.0.0.1"]), CALLBACK_PAUSE_SECONDS=0, CALLBACK_SECONDS=2.0
        ),
        Receiver() as server,
    ):
        yield server


async def db(fn: Callable[..., R], *arguments: Any, **named: Any) -> R:
    return await threads.run(fn, *arguments, **named)


def running(callback_url: str | None) -> OpenRun:
    conversation = make_conversation()
    run = make_run(
        conversation=conversation, status="running", stop_reason=None, callback_url=callback_url,
        metadata={"run_type": "send_message_async"},
    )  # fmt: skip
    lease = make_lease(conversation, run=run)
    return OpenRun(
        caller=make_caller(), agent=run.agent, conversation=conversation, run=run, lease=lease, inputs=[], next_position=1,
        last_message_at=None, block_ids={}, archive_ids=(), return_limits={},
    )  # fmt: skip


def end(opened: OpenRun, **fields: Any) -> Run:
    values: dict[str, Any] = {"status": "completed", "stop_reason": "end_turn", "error": None}
    end_run(opened, RunEnd(duration_ms=7, **(values | fields)))
    return Run.objects.get(id=opened.run.id)


def ended(callback_url: str | None, **fields: Any) -> Run:
    return end(running(callback_url), **fields)


def queued() -> list[str]:
    jobs = ProcrastinateJob.objects.filter(task_name=SEND_CALLBACK, status="todo")
    return [job.args["run_id"] for job in jobs]


async def work() -> None:
    """Until no callback is left to send."""
    async with asyncio.timeout(20):
        while await db(queued):
            await run_worker(wait=False)


async def told(run: Run) -> tuple[int | None, str | None]:
    fresh = await db(Run.objects.get, id=run.id)
    assert fresh.callback_sent_at is not None
    return fresh.callback_status_code, fresh.callback_error


async def test_the_end_of_a_run_is_told_and_signed(receiver: Receiver) -> None:
    run = await db(ended, receiver.on("/hook", Answer(status=202)))
    assert await db(queued) == [run.id]
    await work()
    (got,) = receiver.received
    assert (got.method, got.headers["content-type"]) == ("POST", "application/json")
    assert run.completed_at is not None
    assert got.body == {
        "run_id": run.id,
        "status": "completed",
        "completed_at": run.completed_at.isoformat(),
        "metadata": {"run_type": "send_message_async"},
    }
    found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", got.headers["x-letta-signature"])
    assert found is not None
    assert abs(int(found[1]) - time.time()) < 60
    secret = signing_secret(run.workspace_id)
    expected = hmac.new(secret.encode(), f"{found[1]}.".encode() + got.raw, hashlib.sha256).hexdigest()
    assert found[2] == expected
    assert await told(run) == (202, None)
    assert await db(ProcrastinateJob.objects.filter(task_name=SEND_CALLBACK).count) == 0


async def test_a_failed_run_tells_its_error_without_what_is_ours(receiver: Receiver) -> None:
    error = {"error_type": "llm_error", "message": "It broke.", "http_status": 500}
    await db(ended, receiver.on("/hook"), status="failed", stop_reason="llm_api_error", error=error)
    await work()
    body = receiver.received[0].body
    assert body["status"] == "failed"
    assert body["metadata"]["error"] == {"error_type": "llm_error", "message": "It broke."}


async def test_a_run_without_callback_queues_nothing() -> None:
    await db(ended, None)
    assert await db(queued) == []


async def test_an_end_that_is_rolled_back_is_not_told(receiver: Receiver) -> None:
    def roll_back() -> None:
        with transaction.atomic():
            end(running(f"{receiver.url}/hook"))
            assert queued()
            transaction.set_rollback(True)

    await db(roll_back)
    assert await db(queued) == []


async def test_an_end_that_another_process_wrote_is_told_once(receiver: Receiver) -> None:
    opened = await db(running, f"{receiver.url}/hook")
    await db(lambda: RunLease.objects.update(expires_at=timezone.now() - timedelta(seconds=1)))
    assert await db(reap_abandoned_runs) == [opened.run.id]
    run = await db(end, opened)
    assert (run.status, await db(queued)) == ("failed", [run.id])
    await work()
    assert receiver.received[0].body["status"] == "failed"
    assert "before the run was over" in receiver.received[0].body["metadata"]["error"]["message"]


async def test_a_failure_is_tried_again_and_written_down(receiver: Receiver) -> None:
    url = receiver.on("/hook", Answer(status=500), redirect("/other"), Answer(status=200))
    run = await db(ended, url)
    with override_settings(CALLBACK_PAUSE_SECONDS=20), pytest.raises(CallbackFailed):
        await callbacks.send(run.id, attempt=1)
    assert await told(run) == (500, "The receiver answered 500. Try 1 of 6; the next one follows in 20 s.")
    await work()
    assert receiver.paths == ["/hook"] * 3
    assert len({each.raw for each in receiver.received}) == 1
    assert await told(run) == (200, None)


async def test_after_the_last_try_it_is_given_up(receiver: Receiver) -> None:
    run = await db(ended, receiver.on("/hook", Answer(status=503)))
    await work()
    assert len(receiver.received) == 6
    assert await told(run) == (503, "The receiver answered 503. Given up after 6 tries.")
    assert await db(ProcrastinateJob.objects.filter(task_name=SEND_CALLBACK).count) == 0


async def test_a_receiver_that_wants_no_more_is_left_alone(receiver: Receiver) -> None:
    run = await db(ended, receiver.on("/hook", Answer(status=410)))
    await work()
    assert len(receiver.received) == 1
    assert await told(run) == (410, "The receiver answered 410. It is not tried again.")


async def test_a_receiver_that_says_nothing_is_tried_again(receiver: Receiver) -> None:
    port = receiver.port
    run = await db(ended, f"{receiver.url}/hook")
    receiver.stop()
    with override_settings(CALLBACK_TRIES=2):
        await work()
    status, error = await told(run)
    assert status is None
    assert (
        error == f"127.0.0.1 could not be reached on port {port}: connection refused. Given up after 2 tries."
    )


async def test_the_body_of_the_answer_is_not_waited_for(receiver: Receiver) -> None:
    run = await db(ended, receiver.on("/hook", hanging(b"x")))
    await work()
    assert await told(run) == (200, None)


async def test_an_address_that_has_become_private_is_refused_for_good(receiver: Receiver) -> None:
    """It was public when the run was created; what counts is what it is now."""
    with override_settings(OUTBOUND_ALLOW=AllowList()):
        run = await db(ended, f"{receiver.url}/hook")
        await work()
    status, error = await told(run)
    assert (status, receiver.received) == (None, [])
    assert error is not None
    assert error.startswith("127.0.0.1 is a loopback address")
    assert error.endswith("It is not tried again.")


async def test_a_run_that_is_deleted_meanwhile_is_told_to_nobody(receiver: Receiver) -> None:
    run = await db(ended, f"{receiver.url}/hook")
    await db(run.delete)
    await work()
    assert receiver.received == []


async def test_what_was_taken_is_not_told_again(receiver: Receiver) -> None:
    run = await db(ended, f"{receiver.url}/hook")
    await work()
    await callbacks.send(run.id, attempt=2)
    assert len(receiver.received) == 1


async def test_the_run_shows_its_callback(receiver: Receiver) -> None:
    run = await db(ended, receiver.on("/hook", Answer(status=410)))
    await work()
    async with asgi_client() as api:
        shown = (await api.get(f"/runs/{run.id}")).json()
    assert shown["callback_url"] == f"{receiver.url}/hook"
    assert shown["callback_status_code"] == 410
    assert shown["callback_error"] == "The receiver answered 410. It is not tried again."
    assert shown["callback_sent_at"] is not None


def test_the_pauses_double_over_ten_minutes() -> None:
    assert [pause_after(tried) for tried in range(1, 6)] == [20, 40, 80, 160, 320]


def test_each_workspace_signs_with_a_secret_of_its_own() -> None:
    one, other = make_workspace().id, make_workspace().id
    assert signing_secret(one) == signing_secret(one) != signing_secret(other)
    assert re.fullmatch(r"whsec_[\w-]{43}", signing_secret(one))
    before = signing_secret(one)
    with override_settings(SECRET_KEY="another"):
        assert signing_secret(one) != before


def test_the_receiver_of_the_documentation_accepts_what_is_sent_and_nothing_else() -> None:
    text = (ROOT / "docs/how-to/receive-callbacks.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    space: dict[str, Any] = {}
    exec(code[1], space)
    body = json.dumps({"run_id": "run-1"}).encode()
    now = int(time.time())
    genuine = space["is_genuine"]
    assert genuine(sign(body, secret="s", at=now), body, "s")
    assert not genuine(sign(body, secret="s", at=now), body + b" ", "s")
    assert not genuine(sign(body, secret="other", at=now), body, "s")
    assert not genuine(sign(body, secret="s", at=now - 3600), body, "s")
    for header in ("", "t=1", "nonsense", "t=x,v1=y", f"t={now},v1=é"):
        assert not genuine(header, body, "s")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://10.0.0.5/hook", "10.0.0.5 is a private address"),
        ("http://localhost/hook", "localhost leads to a loopback address"),
        ("http://[::ffff:127.0.0.1]/", "an IPv4 address in IPv6 form"),
        ("ftp://example.com/", "neither http nor https"),
        ("example.com/hook", "neither http nor https"),
        ("https://user:secret@example.com/", "holds a user name or a password"),
        ("", "neither http nor https"),
        (f"https://example.com/{'x' * 2000}", "at most 2,000 characters, not 2,020"),
    ],
)
def test_an_address_that_may_not_be_called_is_refused_when_the_run_is_asked_for(url: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        check_callback_url(url)


def test_an_excepted_address_and_one_that_cannot_be_looked_up_now_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with override_settings(OUTBOUND_ALLOW=AllowList.parse(["10.0.0.0/8"])):
        check_callback_url("http://10.0.0.5/hook")

    def away(url: str) -> None:
        raise OutboundFailed("The name server is away.")

    monkeypatch.setattr(callbacks, "check_url", away)
    check_callback_url("https://hooks.example/")
