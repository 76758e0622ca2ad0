"""The two HTTP handlers: a lean one for the API, and Django's own on our threads for the pages.

Django's handler starts a thread for each request and sends signals across it: 381 against 4,237 requests a second for plain JSON.
The API needs neither middleware nor signals.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from typing import Any, cast

from asgiref.sync import ThreadSensitiveContext
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import Resolver404, ResolverMatch, get_resolver, set_script_prefix

from letta_ade.core import threads

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_SPOOL_BYTES = 2 * 1024 * 1024


class PageHandler(ASGIHandler):
    """Django's handler, with synchronous code on the threads of `core/threads.py`, whose connections persist."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with ThreadSensitiveContext(executor=threads.pool()):
            await self.handle(scope, receive, send)


class BodyTooLarge(Exception):
    """The request body is over the limit."""


class Disconnected(Exception):
    """The client went away before its request was complete."""


class LiveResponse(HttpResponseBase):
    """An answer that is sent while it is made.

    Not Django's: that one wraps each piece once more, and leaves it to the garbage collector to close what made them.
    """

    streaming = True

    def __init__(self, body: AsyncGenerator[bytes, None], *, content_type: str) -> None:
        """`body` is closed when it has ended or the client has left."""
        super().__init__(content_type=content_type)
        self.body = body


class ApiHandler:
    """Answers requests of one URL configuration; both forms of a trailing slash are the same address."""

    def __init__(self, urlconf: str) -> None:
        self._urlconf = urlconf

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await _read_body(receive)
        except Disconnected:
            return
        except BodyTooLarge:
            limit = settings.MAX_BODY_BYTES // 1024 // 1024
            await _send(
                _error(413, f"The request body is larger than {limit} MB (ADE_MAX_BODY_MB)."),
                receive,
                send,
                {},
            )
            return
        # The request is gone before its answer is sent: a stream may last for hours, and the request hold images.
        response, headers = await self._respond(scope, body)
        await _send(response, receive, send, headers)

    async def _respond(
        self, scope: Scope, body: tempfile.SpooledTemporaryFile[bytes]
    ) -> tuple[HttpResponseBase, dict[str, str]]:
        set_script_prefix("/")
        with body:
            request = ASGIRequest(dict(scope), body)
            cors = _cors_headers(request)
            if request.method == "OPTIONS" and cors:
                return JsonResponse({}), {**cors, **_PREFLIGHT_HEADERS}
            return await self._answer(request), cors

    async def _answer(self, request: ASGIRequest) -> HttpResponseBase:
        match = self._resolve(request.path_info)
        if match is None:
            return _error(404, f"There is no route {request.path_info!r}.")
        request.resolver_match = match
        try:
            response: HttpResponseBase
            if inspect.iscoroutinefunction(match.func):
                async with ThreadSensitiveContext(executor=threads.pool()):
                    response = await match.func(request, *match.args, **match.kwargs)
            else:
                response = await threads.run(match.func, request, *match.args, **match.kwargs)
            assert isinstance(response, LiveResponse) or not response.streaming, (
                "Django's kind is not sent here"
            )
            return response
        except Exception:
            # The API maps its own errors; what arrives here is a fault of ours, and the client must not wait for ever.
            logger.exception("%s %s failed", request.method, request.path_info)
            response = _error(500, "An unknown error occurred")
            if request.method == "POST":
                # A repeat could do again what this request has done already.
                response["x-should-retry"] = "false"
            return response

    def _resolve(self, path: str) -> ResolverMatch | None:
        resolver = get_resolver(self._urlconf)
        other = path.rstrip("/") if path.endswith("/") else f"{path}/"
        for candidate in (path, other):
            try:
                return resolver.resolve(candidate)
            except Resolver404:
                continue
        return None


async def _read_body(receive: Receive) -> tempfile.SpooledTemporaryFile[bytes]:
    body = tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES, mode="w+b")  # noqa: SIM115 (the caller closes it)
    size, is_too_large = 0, False
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            body.close()
            raise Disconnected
        chunk = message.get("body", b"")
        size += len(chunk)
        # The rest is read and dropped: a client that is still sending would not see an answer.
        is_too_large = is_too_large or size > settings.MAX_BODY_BYTES
        if not is_too_large:
            body.write(chunk)
        if not message.get("more_body", False):
            break
    if is_too_large:
        body.close()
        raise BodyTooLarge
    body.seek(0)
    return body


async def _send(response: HttpResponseBase, receive: Receive, send: Send, extra: dict[str, str]) -> None:
    headers = [(name.lower().encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    headers += [(name.encode("ascii"), value.encode("latin1")) for name, value in extra.items()]
    if isinstance(response, LiveResponse):
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        await _stream(response.body, receive, send)
        return
    content = cast(bytes, getattr(response, "content", b""))
    if not response.has_header("Content-Length"):
        headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _stream(body: AsyncGenerator[bytes, None], receive: Receive, send: Send) -> None:
    """Send the body as it comes; stop reading it when the client goes away."""

    async def pump() -> None:
        async for chunk in body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(pump()), asyncio.create_task(gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await body.aclose()


def _error(status: int, detail: str) -> JsonResponse:
    return JsonResponse({"detail": detail}, status=status)


_PREFLIGHT_HEADERS = {
    "access-control-allow-methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
    "access-control-max-age": "600",
}


def _cors_headers(request: HttpRequest) -> dict[str, str]:
    """The headers that let a page of a listed origin read the answer."""
    origin = request.headers.get("Origin")
    if not origin or origin not in settings.ACCEPTABLE_ORIGINS:
        return {}
    return {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-allow-headers": request.headers.get("Access-Control-Request-Headers", "*"),
        "vary": "Origin",
    }
