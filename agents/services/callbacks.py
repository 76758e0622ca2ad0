"""The callback of a run: its end, told to the address that its request named.

The job is put into the queue by the transaction that ends the run, so that no end is lost and none is told that did not happen.
It is told at least once: a worker that dies after sending leaves the job to another.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from dataclasses import dataclass
from datetime import UTC

from django.conf import settings
from django.utils import timezone

from agents.models import Run
from agents.services.runs import public_metadata
from letta_ade.core import threads
from letta_ade.core.crypto import derived_secret
from letta_ade.core.errors import AdeError, Invalid
from letta_ade.core.outbound import (
    Call,
    OutboundFailed,
    OutboundRefused,
    UnknownHost,
    check_url,
    fetch,
)

logger = logging.getLogger(__name__)

SIGNATURE_HEADER = "X-Letta-Signature"
_MOST_URL_CHARACTERS = Run._meta.get_field("callback_url").max_length
_GONE = 410


class CallbackFailed(AdeError):
    """The receiver of a callback did not take it; it is tried again."""


def check_callback_url(url: str) -> None:
    """Raise Invalid unless runs may be told to this address: public, http or https, its host known.

    Blocks for a look-up of the host; a name server that does not answer is no reason to refuse.
    """
    if _MOST_URL_CHARACTERS is not None and len(url) > _MOST_URL_CHARACTERS:
        raise Invalid(f"A callback_url has at most {_MOST_URL_CHARACTERS:,} characters, not {len(url):,}.")
    try:
        check_url(url)
    except (OutboundRefused, UnknownHost) as error:
        raise Invalid(f"callback_url cannot be called: {error.message}") from error
    except OutboundFailed as error:
        logger.info("a callback_url could not be checked beforehand: %s", error)


def signing_secret(workspace_id: str) -> str:
    """With what the callbacks of a workspace are signed; its owners give it to their receivers."""
    return f"whsec_{derived_secret('callbacks', workspace_id)}"


def sign(body: bytes, *, secret: str, at: int) -> str:
    """The signature header of a body that is sent at this time (Unix seconds)."""
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def pause_after(tried: int) -> int:
    """Seconds to wait when so many tries have failed."""
    pause: int = settings.CALLBACK_PAUSE_SECONDS * 2 ** (tried - 1)
    return pause


async def send(run_id: str, *, attempt: int) -> None:
    """Tell the end of the run, and write down how that went.

    Raises CallbackFailed when it is to be tried again. A run that has been deleted, or whose callback was taken, is left alone.
    """
    letter = await threads.run(_write_letter, run_id)
    if letter is None:
        return
    outcome = await _post(letter)
    is_over = outcome.is_final or attempt >= settings.CALLBACK_TRIES
    error = outcome.error
    if error is not None:
        error += f" {_prospect(outcome, attempt)}"
    await threads.run(_store, run_id, outcome.status, error)
    if error is None:
        return
    if is_over:
        logger.warning("the callback of run %s was given up: %s", run_id, error)
    else:
        raise CallbackFailed(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Letter:
    url: str
    body: bytes
    secret: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    status: int | None
    #: None when the receiver took it.
    error: str | None
    #: Another try would come to the same.
    is_final: bool = False


def _write_letter(run_id: str) -> _Letter | None:
    run = Run.objects.filter(id=run_id).first()
    if run is None or not run.callback_url or _is_taken(run.callback_status_code):
        return None
    told = {
        "run_id": run.id,
        "status": run.status,
        "completed_at": run.completed_at.astimezone(UTC).isoformat() if run.completed_at else None,
        "metadata": public_metadata(run),
    }
    body = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
    return _Letter(url=run.callback_url, body=body, secret=signing_secret(run.workspace_id))


def _is_taken(status: int | None) -> bool:
    return status is not None and 200 <= status < 300


async def _post(letter: _Letter) -> _Outcome:
    signature = sign(letter.body, secret=letter.secret, at=int(time.time()))
    call = Call(
        url=letter.url,
        method="POST",
        headers={"Content-Type": "application/json", SIGNATURE_HEADER: signature},
        body=letter.body,
        total_seconds=settings.CALLBACK_SECONDS,
        most_bytes=0,  # what the receiver has to say is in its status
    )
    try:
        answer = await fetch(call)
    except OutboundRefused as error:
        return _Outcome(status=None, error=error.message, is_final=True)
    except OutboundFailed as error:
        return _Outcome(status=None, error=error.message)
    if _is_taken(answer.status):
        return _Outcome(status=answer.status, error=None)
    return _Outcome(
        status=answer.status,
        error=f"The receiver answered {answer.status}.",
        is_final=answer.status == _GONE,
    )


def _prospect(outcome: _Outcome, attempt: int) -> str:
    if outcome.is_final:
        return "It is not tried again."
    if attempt >= settings.CALLBACK_TRIES:
        return f"Given up after {attempt} tries."
    return f"Try {attempt} of {settings.CALLBACK_TRIES}; the next one follows in {pause_after(attempt)} s."


def _store(run_id: str, status: int | None, error: str | None) -> None:
    Run.objects.filter(id=run_id).update(
        callback_sent_at=timezone.now(), callback_status_code=status, callback_error=error
    )
