"""Servers that chat as OpenAI does and list their models in words of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import Answer, Received, json_answer


class FakeOllama(FakeOpenAI):
    """Tags, and a show for each of them; a name without one is unknown to it."""

    shows: dict[str, Any]

    def route(self, request: Received) -> Answer:
        match request.path:
            case "/api/tags":
                return json_answer({"models": [{"name": name, "model": name} for name in self.shows]})
            case "/api/show" if shown := self.shows.get(request.body["model"]):
                return json_answer(shown)
            case "/api/show":
                return json_answer({"error": "model not found"}, status=404)
            case _:
                return super().route(request)


class FakeLMStudio(FakeOpenAI):
    """Its own list beside OpenAI's."""

    rows: tuple[Any, ...] = ()

    def route(self, request: Received) -> Answer:
        if request.path == "/api/v0/models":
            return json_answer({"data": self.rows, "object": "list"})
        return super().route(request)


class FakeGemini(FakeOpenAI):
    """OpenAI's protocol below /v1beta/openai, and its own list at /v1beta/models."""

    rows: tuple[Any, ...] = ()
    own_status = 200

    def route(self, request: Received) -> Answer:
        if request.path == "/v1beta/models":
            if self.own_status != 200:
                return json_answer(
                    [{"error": {"code": self.own_status, "message": "No."}}], status=self.own_status
                )
            return json_answer({"models": self.rows})
        assert request.path.startswith("/v1beta/openai/"), request.path
        return super().route(replace(request, path=request.path.removeprefix("/v1beta/openai")))


class FakeAzure(FakeOpenAI):
    """A resource with deployments, at its dated address and at the undated one."""

    deployments: tuple[Any, ...] | None = ({"id": "house", "model": "gpt-4o", "status": "succeeded"},)
    base_models: tuple[Any, ...] = ()

    def route(self, request: Received) -> Answer:
        path = request.path.removeprefix("/openai")
        if path == "/deployments" and self.deployments is not None:
            return json_answer({"data": self.deployments})
        if path in ("/models", "/v1/models"):
            return json_answer({"data": self.base_models})
        if path.startswith("/deployments/"):
            path = "/" + path.split("/", 3)[3]
        return super().route(replace(request, path=path))
