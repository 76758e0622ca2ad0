"""The images of a request: fetched where only their address was sent, checked, and kept as base64.

Models read what we send them and nothing else, so an image is stored whole: its address may be gone tomorrow.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_to_bytes

from django.conf import settings

from agents.services.agents import get_agent_for
from agents.services.run_requests import InputMessage, RunRequest
from letta_ade.accounts.auth import Caller
from letta_ade.core import threads
from letta_ade.core.errors import Invalid, NotFound
from letta_ade.core.outbound import (
    Call,
    OutboundFailed,
    OutboundRefused,
    OutboundTooLarge,
    fetch,
    shown_url,
)
from letta_ade.llm.messages import ImagePart

Source = dict[str, Any]

#: What the providers take.
MEDIA_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
_ATTEMPTS = 2
_AT_ONCE = 4


async def embed_images(*, caller: Caller, request: RunRequest) -> RunRequest:
    """The request with its images in it. Called before the run opens: nothing is locked while strangers answer.

    Raises Forbidden or NotFound (agent, file) before anything is fetched, and Invalid for an image that is none or cannot be had.
    """
    sources = [part.source for message in request.messages for part in _images(message)]
    if not sources:
        return request
    known = await threads.run(_check, caller, request.agent_id, sources)
    fetched = await _fetch_all({source["url"] for source in known if source["type"] == "url"})
    embedded = iter([_fetched(source, fetched) if source["type"] == "url" else source for source in known])
    messages = tuple(_with_images(message, embedded) for message in request.messages)
    return replace(request, messages=messages)


def sniff_media_type(data: bytes) -> str | None:
    """The type of an image that providers take, by its first bytes; None for anything else."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def _images(message: InputMessage) -> Iterable[ImagePart]:
    return (part for part in message.content if isinstance(part, ImagePart))


def _with_images(message: InputMessage, embedded: Iterable[Source]) -> InputMessage:
    following = iter(embedded)
    content = tuple(
        ImagePart(source=next(following)) if isinstance(part, ImagePart) else part for part in message.content
    )
    return replace(message, content=content)


def _check(caller: Caller, agent_id: str, sources: Sequence[Source]) -> list[Source]:
    """The sources, those that hold their image checked. Whoever may not talk to the agent makes nobody fetch anything."""
    caller.check("edit")
    get_agent_for(caller=caller, agent_id=agent_id)
    checked = [_CHECKS[source["type"]](source) for source in sources]
    by_address = sum(source["type"] == "url" for source in checked)
    if by_address > settings.MOST_IMAGES_BY_ADDRESS:
        raise Invalid(
            f"{by_address} images are sent by address; a request may hold {settings.MOST_IMAGES_BY_ADDRESS}."
        )
    return checked


def _check_base64(source: Source) -> Source:
    media_type = source["media_type"].strip().lower().replace("image/jpg", "image/jpeg")
    if media_type not in MEDIA_TYPES:
        raise Invalid(
            f"An image of type {source['media_type']!r} cannot be sent; its media_type is one of {', '.join(MEDIA_TYPES)}."
        )
    # Encoders break lines, providers take none.
    data = "".join(source["data"].split())
    try:
        is_empty = not base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"The data of an image is not base64: {error}.") from error
    if is_empty:
        raise Invalid("The data of an image is empty.")
    return {**source, "media_type": media_type, "data": data}


def _check_url(source: Source) -> Source:
    scheme, _, rest = source["url"].partition(":")
    if scheme.lower() != "data":
        return source  # its address is checked when it is fetched
    head, comma, text = rest.partition(",")
    try:
        data = unquote_to_bytes(text)
        if head.lower().endswith(";base64"):
            data = base64.b64decode(b"".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"A data: address of an image is not base64: {error}.") from error
    if not comma:
        raise Invalid("A data: address of an image holds no data.")
    return _embedded(source, data, "A data: address of an image")


def _check_file(source: Source) -> Source:
    raise NotFound(
        f"There is no file {source['file_id']!r} on this server; send the image as base64 or by its address."
    )


_CHECKS: Mapping[str, Callable[[Source], Source]] = {
    "base64": _check_base64,
    "url": _check_url,
    "letta": _check_file,
}


def _embedded(source: Source, data: bytes, what: str) -> Source:
    """The source with its image. What its sender called it counts for nothing."""
    media_type = sniff_media_type(data)
    if media_type is None:
        raise Invalid(f"{what} does not hold a PNG, JPEG, GIF or WebP image.")
    detail = {"detail": source["detail"]} if source.get("detail") else {}
    return {"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode(), **detail}


def _fetched(source: Source, fetched: Mapping[str, bytes]) -> Source:
    return _embedded(source, fetched[source["url"]], f"The address {shown_url(source['url'])}")


async def _fetch_all(urls: Iterable[str]) -> dict[str, bytes]:
    """What the addresses hold, each fetched once. The first failure ends it."""
    turn = asyncio.Semaphore(_AT_ONCE)

    async def fetch_in_turn(url: str) -> tuple[str, bytes]:
        async with turn:
            return url, await _fetch(url)

    tasks = [asyncio.create_task(fetch_in_turn(url)) for url in urls]
    try:
        return dict(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def _fetch(url: str) -> bytes:
    call = Call(
        url=url,
        headers={"Accept": ", ".join(MEDIA_TYPES)},
        total_seconds=settings.IMAGE_SECONDS,
        most_bytes=settings.MAX_IMAGE_BYTES,
    )
    reason = ""
    for _ in range(_ATTEMPTS):
        try:
            answer = await fetch(call)
        except (OutboundRefused, OutboundTooLarge) as error:
            raise _not_had(url, error.message) from error
        except OutboundFailed as error:
            reason = error.message
            continue
        if answer.status == 200:
            return answer.body
        reason = f"its server answered {answer.status}."
        if answer.status < 500 and answer.status != 429:
            break
    raise _not_had(url, reason)


def _not_had(url: str, reason: str) -> Invalid:
    return Invalid(f"The image at {shown_url(url)} cannot be had: {reason}")
