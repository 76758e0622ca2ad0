"""The rows of the user's document for creating, messaging, streaming, blocks, archival and listing, with the real SDK."""

from __future__ import annotations

from typing import Any

import letta_client
import pytest
from letta_client import Letta

from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow


def types(messages: Any) -> list[str]:
    return [message.message_type for message in messages]


def test_row_3_an_agent_is_created_with_blocks_and_tools_filled(client: Letta) -> None:
    agent = client.agents.create(
        model="openai/gpt-4o-mini",
        embedding="openai/text-embedding-3-small",
        memory_blocks=[
            {"label": "human", "value": "The human's name is Chad."},
            {"label": "persona", "value": "My name is Sam."},
        ],
    )
    assert agent.id.startswith("agent-")
    assert [(block.label, block.value) for block in agent.blocks] == [
        ("human", "The human's name is Chad."),
        ("persona", "My name is Sam."),
    ]
    assert {tool.name for tool in agent.tools} == {"conversation_search", "memory_insert", "memory_replace"}
    assert agent.embedding_config is not None
    assert agent.embedding_config.embedding_dim == 1536


def test_the_defaults_of_a_model_are_those_that_the_sdk_tests_assert(agent: Any) -> None:
    # The client hands this union on as a dict.
    assert agent.model_settings == {
        "provider_type": "openai",
        "max_output_tokens": 16384,
        "parallel_tool_calls": True,
        "strict": False,
        "temperature": 1.0,
        "reasoning": {"reasoning_effort": "minimal"},
        "response_format": None,
    }


def test_row_4_tools_rules_and_window_are_taken_as_given(client: Letta) -> None:
    agent = client.agents.create(
        model="openai/gpt-4o-mini",
        tools=["archival_memory_insert", "archival_memory_search"],
        tool_rules=[{"tool_name": "conversation_search", "type": "exit_loop"}],
        context_window_limit=16000,
    )
    assert {"archival_memory_insert", "archival_memory_search"} <= {tool.name for tool in agent.tools}
    assert agent.llm_config.context_window == 16000
    assert [(rule.tool_name, rule.type) for rule in agent.tool_rules or []] == [
        ("conversation_search", "exit_loop")
    ]


def test_row_5_a_description_and_an_empty_value_are_kept(client: Letta) -> None:
    agent = client.agents.create(
        model="openai/gpt-4o-mini",
        memory_blocks=[{"label": "scratch", "description": "For notes.", "value": ""}],
    )
    assert [(block.label, block.description, block.value) for block in agent.blocks] == [
        ("scratch", "For notes.", "")
    ]


def test_row_6_a_block_is_created_alone_and_attached_to_two_agents(client: Letta, agent: Any) -> None:
    block = client.blocks.create(label="organization", value="Nothing yet.", description="The company.")
    other = client.agents.create(model="openai/gpt-4o-mini")
    for each in (agent, other):
        state = client.agents.blocks.attach(agent_id=each.id, block_id=block.id)
        assert block.id in {held.id for held in state.blocks}
    assert {each.id for each in client.blocks.agents.list(block.id)} == {agent.id, other.id}


def test_row_7_a_message_is_answered(client: Letta, agent: Any, provider: FakeOpenAI) -> None:
    provider.replies.append(FakeReply(text="Hello, Ada."))
    response = client.agents.messages.create(
        agent_id=agent.id, messages=[{"role": "user", "content": "Hello!"}]
    )
    assert types(response.messages) == ["assistant_message"]
    assert response.messages[0].content == "Hello, Ada."  # type: ignore[union-attr]  # the type was just asserted
    assert response.stop_reason.stop_reason == "end_turn"
    assert response.usage.step_count == 1
    assert response.usage.total_tokens


def test_row_8_input_is_a_message_in_short(client: Letta, agent: Any, provider: FakeOpenAI) -> None:
    provider.replies.append(FakeReply(text="Hi."))
    response = client.agents.messages.create(agent_id=agent.id, input="Hello!")
    assert types(response.messages) == ["assistant_message"]


def test_row_9_each_type_of_message_has_its_fields(client: Letta, agent: Any, provider: FakeOpenAI) -> None:
    call = FakeCall(
        name="memory_insert", arguments='{"label": "human", "new_string": "Likes tea.", "insert_line": -1}'
    )
    provider.replies += [FakeReply(reasoning="Worth noting.", calls=(call,)), FakeReply(text="Noted.")]
    response = client.agents.messages.create(agent_id=agent.id, input="I like tea.")
    messages: list[Any] = list(response.messages)
    assert types(messages) == [
        "reasoning_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]
    assert messages[0].reasoning == "Worth noting."
    assert messages[1].tool_call.name == "memory_insert"
    assert messages[2].status == "success"
    assert "Likes tea." in messages[2].tool_return
    assert response.usage.step_count == 2
    assert "Likes tea." in client.agents.blocks.retrieve("human", agent_id=agent.id).value


def test_row_10_steps_are_streamed_whole(client: Letta, agent: Any, provider: FakeOpenAI) -> None:
    provider.replies.append(FakeReply(text="One two three."))
    chunks: list[Any] = list(client.agents.messages.create(agent_id=agent.id, input="Go.", streaming=True))
    assert types(chunks) == ["ping", "assistant_message", "stop_reason", "usage_statistics"]
    assert chunks[0].run_id.startswith("run-")
    assert chunks[1].content == "One two three."


def test_row_11_tokens_are_streamed_under_one_id_and_fit_the_list(
    client: Letta, agent: Any, provider: FakeOpenAI
) -> None:
    call = FakeCall(name="conversation_search", arguments='{"query": "tea"}')
    provider.replies += [
        FakeReply(text="Let me look it up.", calls=(call,)),
        FakeReply(reasoning="Nothing there.", text="I found no mention of tea."),
    ]
    chunks: list[Any] = list(
        client.agents.messages.create(agent_id=agent.id, input="Tea?", streaming=True, stream_tokens=True)
    )
    joined: dict[tuple[str, str, str], str] = {}
    for chunk in chunks:
        match chunk.message_type:
            case "assistant_message":
                piece = chunk.content
            case "reasoning_message":
                piece = chunk.reasoning
            case "tool_call_message":
                piece = chunk.tool_call.arguments or ""
            case "tool_return_message":
                piece = chunk.tool_return
            case _:
                continue
        key = (chunk.message_type, chunk.id, chunk.otid)
        joined[key] = joined.get(key, "") + piece
    assert sum(chunk.message_type == "assistant_message" for chunk in chunks) > 4
    listed: dict[tuple[str, str, str], str] = {}
    run_id = chunks[0].run_id
    for message in client.agents.messages.list(agent.id):
        each: Any = message
        if each.run_id != run_id or each.message_type == "user_message":
            continue
        text = {
            "assistant_message": lambda each: each.content,
            "reasoning_message": lambda each: each.reasoning,
            "tool_call_message": lambda each: each.tool_call.arguments,
            "tool_return_message": lambda each: each.tool_return,
        }[each.message_type](each)
        listed[(each.message_type, each.id, each.otid)] = text
    assert joined == listed
    assert len(listed) == 5


def test_row_10_in_old_words_the_stream_route_still_streams(
    client: Letta, agent: Any, provider: FakeOpenAI
) -> None:
    provider.replies.append(FakeReply(text="Still here."))
    with pytest.warns(DeprecationWarning, match="deprecated"):
        stream = client.agents.messages.stream(agent_id=agent.id, input="Hello?")
    assert types(stream) == ["ping", "assistant_message", "stop_reason", "usage_statistics"]


def test_row_12_the_memory_tools_are_listed(client: Letta) -> None:
    names = {tool.name for tool in client.tools.list(limit=100)}
    assert {"memory_insert", "memory_replace", "memory_rethink", "archival_memory_insert"} <= names
    assert {"archival_memory_search", "conversation_search"} <= names


def test_rows_13_and_14_archival_memory_is_written_listed_and_searched(client: Letta, agent: Any) -> None:
    for text in (
        "The launch is on Friday.",
        "Coffee is in the kitchen.",
        "The garden has three apple trees.",
    ):
        client.agents.passages.create(agent_id=agent.id, text=text, tags=["notes"])
    assert [passage.text for passage in client.agents.passages.list(agent.id, search="coffee")] == [
        "Coffee is in the kitchen."
    ]
    found = client.agents.passages.search(agent_id=agent.id, query="apple trees in the garden", top_k=1)
    assert [result.content for result in found.results] == ["The garden has three apple trees."]
    assert found.count == 1
    listed = client.agents.passages.list(agent.id)
    client.agents.passages.delete(str(listed[0].id), agent_id=agent.id)
    assert len(client.agents.passages.list(agent.id)) == 2


def test_row_16_an_agent_without_embedding_can_be_messaged(client: Letta, provider: FakeOpenAI) -> None:
    agent = client.agents.create(model="openai/gpt-4o-mini")
    provider.replies.append(FakeReply(text="Hello."))
    response = client.agents.messages.create(agent_id=agent.id, input="Hello!")
    assert types(response.messages) == ["assistant_message"]
    assert agent.embedding_config is None


def test_row_17_secrets_are_shown_when_asked_for(client: Letta) -> None:
    agent = client.agents.create(model="openai/gpt-4o-mini", secrets={"API_KEY": "hush"})
    assert not client.agents.retrieve(agent.id).secrets
    shown = client.agents.retrieve(agent.id, include=["agent.secrets"]).secrets
    assert [(secret.key, secret.value) for secret in shown or []] == [("API_KEY", "hush")]


def test_rows_20_and_21_rules_are_understood_without_their_type(client: Letta) -> None:
    rules: Any = [
        {"tool_name": "memory_insert", "type": "continue"},
        {"tool_name": "conversation_search", "children": ["memory_insert"]},
        {"tool_name": "memory_replace"},
    ]
    agent = client.agents.create(
        model="openai/gpt-4o-mini",
        tool_rules=rules,
    )
    assert [rule.type for rule in agent.tool_rules or []] == [
        "continue_loop",
        "constrain_child_tools",
        "exit_loop",
    ]


def test_rows_22_and_25_agents_are_found_by_tag(client: Letta) -> None:
    wanted = client.agents.create(model="openai/gpt-4o-mini", tags=["user:1", "production"])
    client.agents.create(model="openai/gpt-4o-mini", tags=["staging"])
    assert [agent.id for agent in client.agents.list(tags=["user:1"])] == [wanted.id]
    assert len(list(client.agents.list(tags=["production", "staging"]))) == 2
    assert list(client.agents.list(tags=["production", "staging"], match_all_tags=True)) == []


def test_row_23_an_agent_is_retrieved_and_deleted(client: Letta, agent: Any) -> None:
    assert client.agents.retrieve(agent.id).name == agent.name
    client.agents.delete(agent.id)
    with pytest.raises(letta_client.NotFoundError, match="Agent not found"):
        client.agents.retrieve(agent.id)


def test_row_24_the_model_of_an_agent_is_changed(client: Letta, agent: Any) -> None:
    updated = client.agents.update(agent.id, model="openai/gpt-4.1-mini")
    assert updated.model == "openai/gpt-4.1-mini"
    assert updated.llm_config.model == "gpt-4.1-mini"


def test_rows_26_to_28_blocks_are_listed_changed_and_detached(client: Letta, agent: Any) -> None:
    assert {block.label for block in client.agents.blocks.list(agent.id)} == {"human", "persona"}
    block = client.agents.blocks.update("human", agent_id=agent.id, value="Name: Grace")
    assert block.value == "Name: Grace"
    state = client.agents.blocks.detach(agent_id=agent.id, block_id=block.id)
    assert {held.label for held in state.blocks} == {"persona"}
    assert client.blocks.retrieve(block.id).value == "Name: Grace"


def test_row_29_messages_are_listed_in_order(client: Letta, agent: Any, provider: FakeOpenAI) -> None:
    for number in range(3):
        provider.replies.append(FakeReply(text=f"Answer {number}"))
        client.agents.messages.create(agent_id=agent.id, input=f"Question {number}")
    messages: list[Any] = list(client.agents.messages.list(agent.id, limit=100))
    assert types(messages) == ["system_message", *["user_message", "assistant_message"] * 3]
    assert messages[1].content == "Question 0"
    downwards: list[Any] = list(client.agents.messages.list(agent.id, limit=2, order="desc"))
    assert [message.id for message in downwards] == [message.id for message in messages[::-1]]


def test_paging_through_agents_sees_each_once(client: Letta) -> None:
    made = [client.agents.create(model="openai/gpt-4o-mini").id for _ in range(7)]
    assert [agent.id for agent in client.agents.list(limit=3)] == made[::-1]
    assert [agent.id for agent in client.agents.list(limit=3, order="asc")] == made


def test_health_and_models_are_told(client: Letta, server: RunningServer) -> None:
    assert client.health().status == "ok"
    handles = {model.handle for model in client.models.list()}
    assert {"openai/gpt-4o-mini", "demo/assistant"} <= handles
    assert "openai/text-embedding-3-small" in {model.handle for model in client.models.embeddings.list()}


def test_the_demonstration_answers_without_any_provider(client: Letta) -> None:
    agent = client.agents.create(
        model="demo/assistant", memory_blocks=[{"label": "human", "value": "Nothing yet."}]
    )
    response = client.agents.messages.create(agent_id=agent.id, input="My name is Grace.")
    assert "tool_call_message" in types(response.messages)
    assert "Grace" in client.agents.blocks.retrieve("human", agent_id=agent.id).value
