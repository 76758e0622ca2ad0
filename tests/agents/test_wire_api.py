"""From stored messages to wire messages (spec/objects.md §7.3)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from agents.api.wire import wire_messages
from agents.models import Message

UUID = "5c1e7a10-0000-4000-8000-0000000000a5"


def stored(role: str, **fields: Any) -> Message:
    values: dict[str, Any] = {
        "id": f"message-{UUID}",
        "agent_id": "agent-1",
        "conversation_id": "conv-1",
        "created_at": datetime(2026, 3, 1, 9, 14, 2, 999_999, tzinfo=UTC),
    }
    return Message(role=role, **(values | fields))


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words, "signature": None}


def test_every_message_begins_with_the_same_fields() -> None:
    (message,) = wire_messages(stored("system", content=[text("You are.")], step_id="step-1", run_id="run-1"))
    assert message == {
        "id": f"message-{UUID}",
        "date": "2026-03-01T09:14:02+00:00",
        "name": None,
        "message_type": "system_message",
        "otid": "5c1e7a10-0000-4000-8000-000000000080",
        "sender_id": None,
        "step_id": "step-1",
        "is_err": None,
        "seq_id": None,
        "run_id": "run-1",
        "content": "You are.",
    }


def test_a_reply_becomes_a_message_for_each_kind_with_otids_that_count_up() -> None:
    content = [
        {"type": "reasoning", "reasoning": "Need ", "signature": None},
        {"type": "reasoning", "reasoning": "the clock.", "signature": "sig"},
        text("Let me "),
        text("look."),
    ]
    calls = [{"id": "call_1", "name": "get_time", "arguments": "{}"}]
    messages = wire_messages(stored("assistant", content=content, tool_calls=calls))
    assert [message["message_type"] for message in messages] == [
        "reasoning_message",
        "assistant_message",
        "tool_call_message",
    ]
    assert [message["otid"][-2:] for message in messages] == ["80", "81", "82"]
    assert messages[0]["reasoning"] == "Need the clock."
    assert (messages[0]["source"], messages[0]["signature"]) == ("reasoner_model", "sig")
    assert messages[1]["content"] == "Let me look."
    wire_call = {"name": "get_time", "arguments": "{}", "tool_call_id": "call_1"}
    assert (messages[2]["tool_call"], messages[2]["tool_calls"]) == (wire_call, [wire_call])


def test_summarised_reasoning_is_shown_and_without_a_summary_it_is_hidden() -> None:
    summary = [{"index": 0, "text": "First this."}, {"index": 1, "text": "Then that."}]
    content = [
        {"type": "summarized_reasoning", "id": "rs_1", "summary": summary, "encrypted_content": "blob"},
        text("Yes."),
        {"type": "summarized_reasoning", "id": "rs_2", "summary": [], "encrypted_content": "blob"},
    ]
    shown, said, hidden = wire_messages(stored("assistant", content=content))
    assert (shown["message_type"], shown["reasoning"]) == ("reasoning_message", "First this.\n\nThen that.")
    assert said["content"] == "Yes."
    assert (hidden["message_type"], hidden["state"], hidden["hidden_reasoning"]) == (
        "hidden_reasoning_message",
        "omitted",
        None,
    )
    # What was encrypted is for the provider.
    assert "blob" not in str([shown, said, hidden])


def test_hidden_reasoning_says_why() -> None:
    content = [{"type": "omitted_reasoning"}, {"type": "redacted_reasoning", "data": "blob"}]
    messages = wire_messages(stored("assistant", content=content))
    assert [(message["state"], message["hidden_reasoning"]) for message in messages] == [
        ("omitted", None),
        ("redacted", "blob"),
    ]


def test_returns_are_one_message_that_repeats_the_first() -> None:
    returns = [
        {
            "tool_call_id": "call_1",
            "name": "a",
            "status": "success",
            "text": "12:00",
            "stdout": [],
            "stderr": [],
        },
        {
            "tool_call_id": "call_2",
            "name": "b",
            "status": "error",
            "text": "No.",
            "stdout": ["x"],
            "stderr": [],
        },
    ]
    (message,) = wire_messages(stored("tool", tool_returns=returns))
    assert (message["tool_return"], message["status"], message["tool_call_id"]) == (
        "12:00",
        "success",
        "call_1",
    )
    assert [each["status"] for each in message["tool_returns"]] == ["success", "error"]
    assert message["tool_returns"][1]["stdout"] == ["x"]
    assert message["stdout"] is None


def test_user_messages_keep_their_otid_their_parts_and_lose_their_envelope() -> None:
    (plain,) = wire_messages(stored("user", content=[text("Hi")], otid="mine", sender_id="s", name="Ada"))
    assert (plain["content"], plain["otid"], plain["sender_id"], plain["name"]) == ("Hi", "mine", "s", "Ada")
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    (mixed,) = wire_messages(stored("user", content=[text("Look"), image]))
    assert mixed["content"] == [{"type": "text", "text": "Look"}, image]
    (unwrapped,) = wire_messages(
        stored("user", content=[text(json.dumps({"type": "user_message", "message": "Hi"}))])
    )
    assert unwrapped["content"] == "Hi"
    heartbeat = json.dumps({"type": "heartbeat", "reason": "Go on."})
    (shown,) = wire_messages(stored("user", content=[text(heartbeat)]))
    assert shown["content"] == heartbeat


def test_a_message_of_a_failed_step_says_so() -> None:
    (message,) = wire_messages(stored("user", content=[text("Hi")], is_err=True))
    assert message["is_err"] is True


def test_an_approval_request_has_its_own_id_as_otid() -> None:
    calls = [{"id": "call_1", "name": "rm", "arguments": "{}"}]
    (message,) = wire_messages(stored("approval", tool_calls=calls))
    assert (message["message_type"], message["otid"]) == ("approval_request_message", f"message-{UUID}")
    (answer,) = wire_messages(
        stored("approval", approvals=[{"type": "approval", "tool_call_id": "call_1", "approve": True}])
    )
    assert (answer["message_type"], answer["approve"]) == ("approval_response_message", True)
