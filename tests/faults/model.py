"""A model provider whose answers a test holds back, so that a process can be killed at each stage of a turn."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from dataclasses import dataclass, fields
from typing import Any

from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import Answer, FakeCall, FakeReply, Received, words_of

SECONDS = 20.0


class Gate:
    """Holds whoever comes to it until it is opened."""

    def __init__(self) -> None:
        self.arrivals = threading.Semaphore(0)
        self._opened: Future[None] = Future()

    def wait_for_arrival(self) -> None:
        """Until the server has come to it."""
        assert self.arrivals.acquire(timeout=SECONDS), "the server never came to the gate"

    def open(self) -> None:
        """Let everybody pass, now and later."""
        if not self._opened.done():
            self._opened.set_result(None)

    async def pass_through(self) -> None:
        self.arrivals.release()
        await asyncio.shield(asyncio.wrap_future(self._opened))


@dataclass(frozen=True, kw_only=True)
class HeldReply(FakeReply):
    """A reply with a gate before its first byte, or after so many words."""

    gate: Gate
    gate_after: int = 0


@dataclass(frozen=True, kw_only=True)
class _HeldAnswer(Answer):
    gate: Gate


class HeldOpenAI(FakeOpenAI):
    """Answers each message by its script; one without a script is read back."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        #: What the user said -> the replies of that turn, one for each call of the model; the same however often it is asked.
        self.scripts: dict[str, tuple[FakeReply, ...]] = {}
        #: The text that is to be embedded, or the path that is asked for -> its gate.
        self.gates: dict[str, Gate] = {}
        self._step = 0

    def script(self, said: str, *replies: FakeReply) -> None:
        self.scripts[said] = replies

    def requests_of(self, said: str) -> list[Any]:
        """The bodies of the chat requests of the turn that began with these words."""
        return [
            request.body
            for request in list(self.received)
            if request.path.endswith("/chat/completions") and _turn(request.body)[0] == said
        ]

    def route(self, request: Received) -> Answer:
        if request.path.endswith("/embeddings"):
            return self._held(super().route(request), request.body["input"][0])
        if request.path.endswith(".png"):
            png = Answer(headers={"content-type": "image/png"}, body=b"\x89PNG\r\n\x1a\nan image")
            return self._held(png, request.path)
        return super().route(request)

    def _held(self, answer: Answer, name: str) -> Answer:
        if name not in self.gates:
            return answer
        known = {each.name: getattr(answer, each.name) for each in fields(answer)}
        return _HeldAnswer(**known, gate=self.gates[name])

    def _chat(self, body: dict[str, Any]) -> Answer:
        self._step = _turn(body)[1]
        return super()._chat(body)

    def next_reply(self, text: str, tool_return: str | None) -> FakeReply:
        script = self.scripts.get(text)
        if script is None:
            return FakeReply(text=f"You said: {text}")
        return script[min(self._step, len(script) - 1)]

    async def _send(self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        reply = answer.reply
        gate = answer.gate if isinstance(answer, _HeldAnswer) else None
        if isinstance(reply, HeldReply) and not reply.gate_after:
            gate = reply.gate
        if gate is not None and not await self._is_let_in(gate, reader):
            return False
        return await super()._send(answer, reader, writer)

    async def _is_let_in(self, gate: Gate, reader: asyncio.StreamReader) -> bool:
        leaving, waiting = (asyncio.ensure_future(each) for each in (reader.read(1), gate.pass_through()))
        await asyncio.wait([leaving, waiting], return_when=asyncio.FIRST_COMPLETED)
        is_let_in = waiting.done()
        if not is_let_in:
            self.disconnected.release()
        for each in (leaving, waiting):
            each.cancel()
        await asyncio.gather(leaving, waiting, return_exceptions=True)
        return is_let_in

    async def _obey(self, reply: FakeReply, number: int, writer: asyncio.StreamWriter) -> None:
        if isinstance(reply, HeldReply) and reply.gate_after and number == reply.gate_after + 1:
            await reply.gate.pass_through()
        await super()._obey(reply, number, writer)


def held(text: str, gate: Gate, *, after_words: int = 0) -> HeldReply:
    """A text that stops before its first byte, or after so many words."""
    assert after_words < len(words_of(text)), "a gate behind the end holds nothing"
    return HeldReply(text=text, gate=gate, gate_after=after_words)


def says(text: str) -> FakeReply:
    return FakeReply(text=text)


def calls(name: str, arguments: str, *, call_id: str | None = None) -> FakeReply:
    return FakeReply(calls=(FakeCall(name=name, arguments=arguments, id=call_id),))


def check_pairs(body: dict[str, Any]) -> None:
    """Every call of a request has its return right behind it, and no return is without a call."""
    waiting: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            assert message["tool_call_id"] in waiting, f"a return without a call: {message}"
            waiting.remove(message["tool_call_id"])
        else:
            assert not waiting, f"calls without a return: {waiting}"
            waiting = [call["id"] for call in message.get("tool_calls") or ()]
    assert not waiting, f"calls without a return: {waiting}"


def _turn(body: dict[str, Any]) -> tuple[str, int]:
    """What the user said last, and how often the model has answered since."""
    messages = body["messages"]
    last = max((place for place, message in enumerate(messages) if message["role"] == "user"), default=0)
    content = messages[last]["content"]
    text = content if isinstance(content, str) else "".join(part.get("text", "") for part in content)
    return text, sum(message["role"] == "assistant" for message in messages[last:])
