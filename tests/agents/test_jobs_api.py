"""Jobs over REST: runs under the name by which older clients poll them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from pytest_django import DjangoAssertNumQueries

from agents.models import Run
from agents.services.agents import AgentDraft, create_agent
from letta_ade.core import threads
from letta_ade.core.ids import new_id
from letta_ade.llm.testing import ScriptedModel, hang, installed, text
from tests.support.api import Api, asgi_client
from tests.support.factories import make_agent, make_caller, make_conversation, make_run, make_workspace

FIELDS = """
id status job_type agent_id user_id background stop_reason metadata callback_url callback_sent_at callback_status_code
callback_error ttft_ns total_duration_ns created_at completed_at updated_at created_by_id last_updated_by_id
"""


@pytest.fixture
def api() -> Api:
    return Api()


def foreign_run() -> Run:
    return make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))


@pytest.mark.django_db
class TestJobs:
    def test_a_job_is_a_run_under_either_id(self, api: Api) -> None:
        error = {"error_type": "llm_error", "message": "No.", "http_status": 500}
        run = make_run(status="failed", created_by_id="user-1", metadata={"run_type": "x", "error": error})
        body = api.get(f"/v1/jobs/{run.id}").json()
        assert body == api.get(f"/v1/jobs/{run.id.replace('run-', 'job-')}").json()
        assert set(body) == set(FIELDS.split())
        assert (body["id"], body["job_type"], body["user_id"]) == (run.id, "run", "user-1")
        assert body["metadata"]["error"] == {"error_type": "llm_error", "message": "No."}

    def test_unknown_foreign_and_malformed_jobs(self, api: Api) -> None:
        for job_id, status in (
            (foreign_run().id, 404),
            (new_id("run"), 404),
            (new_id("run").replace("run-", "job-"), 404),
            ("job-1", 422),
            (new_id("step"), 422),
        ):
            for answer in (api.get(f"/v1/jobs/{job_id}"), api.delete(f"/v1/jobs/{job_id}")):
                assert answer.status_code == status

    def test_jobs_are_listed_newest_first(self, api: Api) -> None:
        done, active = make_run(), make_run(status="running", stop_reason=None)
        foreign_run()

        def found(path: str = "/v1/jobs/", **query: Any) -> list[str]:
            return [job["id"] for job in api.get(path, **query).json()]

        assert found() == [active.id, done.id]
        assert found(order="asc") == found(ascending="true") == [done.id, active.id]
        assert found(limit=1) == [active.id]
        assert found(after=active.id) == [done.id]
        assert found(active="true") == found("/v1/jobs/active") == [active.id]
        assert found(source_id="source-1") == found("/v1/jobs/active", source_id="source-1") == []
        assert api.get("/v1/jobs/", limit=0).status_code == 422

    def test_a_deleted_job_is_told_once_more(self, api: Api) -> None:
        run = make_run()
        assert api.delete(f"/v1/jobs/{run.id}").json()["id"] == run.id
        assert api.get(f"/v1/runs/{run.id}").status_code == 404

    def test_a_job_that_goes_on_is_not_deleted(self, api: Api) -> None:
        run = make_run(status="running", stop_reason=None)
        assert api.delete(f"/v1/jobs/{run.id}").status_code == 409
        assert Run.objects.filter(id=run.id).exists()

    def test_a_list_takes_one_query(
        self, api: Api, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(3):
            make_run()
        with django_assert_num_queries(1):
            assert len(api.get("/v1/jobs/").json()) == 3


@pytest.mark.django_db(transaction=True)
class TestCancel:
    @pytest.fixture
    def model(self) -> Iterator[ScriptedModel]:
        scripted = ScriptedModel()
        with installed(scripted):
            yield scripted

    @pytest.fixture
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        async with asgi_client() as client:
            yield client

    async def test_a_job_is_cancelled_and_told_as_it_ended(
        self, client: httpx.AsyncClient, model: ScriptedModel
    ) -> None:
        model.add([text("Once"), hang()])
        agent = await threads.run(
            create_agent, caller=await threads.run(make_caller), draft=AgentDraft(model=model.handle)
        )
        job = (await client.post(f"/agents/{agent.id}/messages/async", json={"input": "Hi"})).json()
        answer = await client.patch(f"/jobs/{job['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
        again = await client.patch(f"/jobs/{job['id']}/cancel")
        assert (again.status_code, again.json()["status"]) == (200, "cancelled")

    async def test_a_job_that_has_ended_stays_as_it_is(self, client: httpx.AsyncClient) -> None:
        run = await threads.run(make_run)
        answer = await client.patch(f"/jobs/{run.id}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "completed")

    async def test_of_unknown_foreign_and_malformed_jobs(self, client: httpx.AsyncClient) -> None:
        foreign = await threads.run(foreign_run)
        for job_id, status in ((foreign.id, 404), (new_id("run"), 404), ("job-1", 422)):
            assert (await client.patch(f"/jobs/{job_id}/cancel")).status_code == status
