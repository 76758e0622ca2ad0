"""Groups over REST: the background of an agent is found, changed and taken away; other types are refused."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Agent, Group
from agents.services.agents import AgentDraft, create_agent
from letta_ade.core.ids import new_id
from letta_ade.llm.testing import ScriptedModel, installed, text
from tests.support.api import Api, asgi_client
from tests.support.factories import make_agent, make_block, make_caller, make_conversation, make_workspace

pytestmark = pytest.mark.django_db

FIELDS = """
id manager_type agent_ids description manager_agent_id shared_block_ids termination_token max_turns sleeptime_agent_frequency
turns_counter last_processed_message_id max_message_buffer_length min_message_buffer_length project_id template_id base_template_id
deployment_id hidden
"""


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def agent(api: Api) -> Any:
    answer = api.post(
        "/v1/agents/",
        {
            "model": "demo/assistant",
            "name": "Ada",
            "enable_sleeptime": True,
            "memory_blocks": [{"label": "human", "value": "Name: Ada"}],
        },
    )
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_group_comes_with_the_agent_that_is_made(api: Api, agent: Any) -> None:
    group = agent["managed_group"]
    assert set(group) == set(FIELDS.split())
    assert (group["manager_type"], group["manager_agent_id"]) == ("sleeptime", agent["id"])
    assert (group["sleeptime_agent_frequency"], group["turns_counter"]) == (5, 0)
    assert group["shared_block_ids"] == [agent["blocks"][0]["id"]]
    assert agent["multi_agent_group"] == group
    (partner_id,) = group["agent_ids"]
    partner = api.get(f"/v1/agents/{partner_id}").json()
    assert (partner["agent_type"], partner["name"]) == ("sleeptime_agent", "Ada-sleeptime")


def test_the_group_is_found_by_every_list(api: Api, agent: Any) -> None:
    group = agent["managed_group"]
    partner_id = group["agent_ids"][0]
    for path in (
        "/v1/groups/",
        "/v1/groups/?manager_type=sleeptime",
        f"/v1/agents/{agent['id']}/groups",
        f"/v1/agents/{partner_id}/groups",
    ):
        assert api.get(path).json() == [group], path
    assert api.get(f"/v1/groups/{group['id']}").json() == group
    assert api.get("/v1/groups/count").json() == 1
    assert api.get("/v1/groups/?manager_type=supervisor").json() == []
    state = api.get(f"/v1/agents/{agent['id']}", include=["agent.managed_group"]).json()
    assert state["managed_group"] == group
    assert api.get(f"/v1/agents/{agent['id']}").json()["managed_group"] is None


def test_the_frequency_is_changed_through_the_group(api: Api, agent: Any) -> None:
    url = f"/v1/groups/{agent['managed_group']['id']}"
    config: dict[str, Any] = {"manager_type": "sleeptime", "sleeptime_agent_frequency": 2}
    assert api.patch(url, {"manager_config": config}).json()["sleeptime_agent_frequency"] == 2
    assert api.patch(url, {"description": "Other"}).json()["sleeptime_agent_frequency"] == 2
    config["sleeptime_agent_frequency"] = None
    assert api.patch(url, {"manager_config": config}).json()["sleeptime_agent_frequency"] is None
    assert api.get(url).json()["description"] == "Other"


@pytest.mark.parametrize("frequency", [0, -1, 100_000])
def test_a_frequency_that_is_no_number_of_turns_is_refused(api: Api, agent: Any, frequency: int) -> None:
    url = f"/v1/groups/{agent['managed_group']['id']}"
    config = {"manager_type": "sleeptime", "sleeptime_agent_frequency": frequency}
    answer = api.patch(url, {"manager_config": config})
    assert (answer.status_code, "from 1 to 10000" in answer.json()["detail"]) == (400, True)
    assert api.get(url).json()["sleeptime_agent_frequency"] == 5


def test_switching_off_takes_group_and_agent_away(api: Api, agent: Any) -> None:
    state = api.patch(f"/v1/agents/{agent['id']}", {"enable_sleeptime": False}).json()
    assert (state["enable_sleeptime"], state["managed_group"]) == (False, None)
    assert [each["id"] for each in api.get("/v1/agents/").json()] == [agent["id"]]


def test_deleting_the_group_leaves_both_agents(api: Api, agent: Any) -> None:
    url = f"/v1/groups/{agent['managed_group']['id']}"
    assert api.delete(url).json() is None
    assert api.get(url).status_code == 404
    assert api.get(f"/v1/agents/{agent['id']}").json()["enable_sleeptime"] is False
    assert len(api.get("/v1/agents/").json()) == 2


@pytest.mark.parametrize("kind", ["round_robin", "supervisor", "dynamic", "voice_sleeptime", "swarm"])
def test_types_that_do_not_run_here_are_refused_with_a_sentence(api: Api, agent: Any, kind: str) -> None:
    body = {"agent_ids": [agent["id"]], "description": "x", "manager_config": {"manager_type": kind}}
    answer = api.post("/v1/groups/", body)
    assert answer.status_code == 501
    assert f"not '{kind}'" in answer.json()["detail"]
    url = f"/v1/groups/{agent['managed_group']['id']}"
    assert api.patch(url, {"manager_config": {"manager_type": kind}}).status_code == 501
    assert Group.objects.count() == 1


def group_body(manager: Agent, *members: str, **fields: Any) -> dict[str, Any]:
    config = {"manager_type": "sleeptime", "manager_agent_id": manager.id}
    return {"agent_ids": list(members), "description": "Keeps notes", "manager_config": config, **fields}


def test_a_group_can_be_made_of_agents_that_are_there(api: Api) -> None:
    manager, keeper = make_agent(), make_agent(agent_type="sleeptime_agent")
    block = make_block(label="notes")
    group = api.post("/v1/groups/", group_body(manager, keeper.id, shared_block_ids=[block.id])).json()
    assert (group["agent_ids"], group["shared_block_ids"]) == ([keeper.id], [block.id])
    manager.refresh_from_db()
    assert manager.enable_sleeptime is True
    assert api.post("/v1/groups/", group_body(manager, keeper.id)).status_code == 409


def test_a_group_of_what_is_not_there_or_does_not_fit_is_refused(api: Api) -> None:
    manager, keeper = make_agent(), make_agent(agent_type="sleeptime_agent")
    stranger = make_agent(workspace=make_workspace())
    unknown = new_id("agent")
    for body, status in (
        (group_body(manager), 400),
        (group_body(manager, manager.id), 400),
        (group_body(manager, unknown), 404),
        (group_body(manager, stranger.id), 404),
        (group_body(stranger, keeper.id), 404),
        (group_body(keeper, manager.id), 400),
        (group_body(manager, keeper.id, shared_block_ids=[new_id("block")]), 404),
        (
            {"agent_ids": [keeper.id], "description": "x", "manager_config": {"manager_type": "sleeptime"}},
            400,
        ),
        ({"agent_ids": [keeper.id], "description": "x", "manager_config": {"manager_type": "mob"}}, 400),
        ({"description": "x"}, 422),
    ):
        assert api.post("/v1/groups/", body).status_code == status, body
    assert not Group.objects.exists()


def test_a_group_of_another_workspace_is_not_there(api: Api) -> None:
    stranger = make_agent(workspace=make_workspace())
    group = Group.objects.create(workspace=stranger.workspace, manager_agent=stranger)
    url = f"/v1/groups/{group.id}"
    assert [api.get(url).status_code, api.patch(url, {}).status_code, api.delete(url).status_code] == [
        404
    ] * 3
    assert api.get("/v1/groups/").json() == []
    assert api.get("/v1/groups/group-1").status_code == 422
    assert Group.objects.filter(id=group.id).exists()


def test_a_block_is_attached_to_and_detached_from_all_agents_of_a_group(api: Api, agent: Any) -> None:
    url, block = f"/v1/groups/{agent['managed_group']['id']}/blocks", make_block(label="plans")
    attached = api.patch(f"{url}/attach/{block.id}").json()
    assert attached["shared_block_ids"][-1] == block.id
    assert block.agents.count() == 2
    detached = api.patch(f"{url}/detach/{block.id}").json()
    assert block.id not in detached["shared_block_ids"]
    assert block.agents.count() == 0
    assert api.patch(f"{url}/detach/{block.id}").status_code == 404


def test_a_stored_message_of_a_group_does_not_change(api: Api, agent: Any) -> None:
    url = f"/v1/groups/{agent['managed_group']['id']}/messages/{new_id('message')}"
    assert api.patch(url, {"content": "x"}).status_code == 405


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("ended_runs")
async def test_a_message_to_a_group_is_one_to_its_manager() -> None:
    from tests.support.sending import db

    with installed(model := ScriptedModel([text("Hello."), text("Hello again.")])):
        draft = AgentDraft(name="Ada", model=model.handle, enable_sleeptime=True)
        agent = await db(lambda: create_agent(caller=make_caller(), draft=draft))
        group = await db(lambda: Group.objects.get(manager_agent=agent))
        await db(lambda: Group.objects.update(sleeptime_agent_frequency=None))
        async with asgi_client() as client:
            body = {"messages": [{"role": "user", "content": "Hi"}]}
            answer = (await client.post(f"/groups/{group.id}/messages", json=body)).json()
            streamed = (await client.post(f"/groups/{group.id}/messages/stream", json=body)).text
            # Nobody works here, so the second turn finds the background busy.
            listed = (await client.get(f"/groups/{group.id}/messages")).json()
            busy = await client.patch(f"/groups/{group.id}/reset-messages")
    assert [each["content"] for each in answer["messages"]] == ["Hello."]
    assert len(answer["usage"]["run_ids"]) == 1
    assert ("Hello again." in streamed, '"run_ids":null' in streamed) == (True, True)
    assert [each["message_type"] for each in listed] == ["system_message"]
    assert busy.status_code == 409


def test_the_messages_of_a_group_are_reset(api: Api, agent: Any) -> None:
    url = f"/v1/groups/{agent['managed_group']['id']}/reset-messages"
    assert api.patch(url).json() is None


def test_the_list_of_groups_needs_a_few_queries_however_many_there_are(
    api: Api, django_assert_max_num_queries: Any
) -> None:
    for _ in range(3):
        manager = make_agent()
        make_conversation(agent=manager)
        Group.objects.create(workspace=manager.workspace, manager_agent=manager)
    with django_assert_max_num_queries(6):
        assert len(api.get("/v1/groups/").json()) == 3
