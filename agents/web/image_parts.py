"""Images in the workbench: taken from the composer's form, and shown again from what is stored."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from django.views.decorators.http import require_GET

from agents.models import Agent, Message, Run
from agents.runtime.events import RunStarted
from agents.services.agents import get_agent_for
from agents.services.images import MEDIA_TYPES, sniff_media_type
from agents.streams import follow
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core import threads
from letta_ade.core.errors import Invalid, NotFound
from letta_ade.llm.messages import ImagePart

#: Of one message.
MOST_IMAGES = 10
_DAY = 86_400


def image_parts(files: Sequence[UploadedFile[bytes]]) -> tuple[ImagePart, ...]:
    """The images as parts of a message. Raises Invalid for too many, too large, or something else than an image."""
    if len(files) > MOST_IMAGES:
        raise Invalid(f"A message takes {MOST_IMAGES} images; these are {len(files)}.")
    return tuple(map(_part, files))


def _part(file: UploadedFile[bytes]) -> ImagePart:
    if (file.size or 0) > settings.MAX_IMAGE_BYTES:
        most = settings.MAX_IMAGE_BYTES // 1024 // 1024
        raise Invalid(f"{file.name} is larger than {most} MB.")
    data = file.read()
    media_type = sniff_media_type(data)
    if media_type is None:
        raise Invalid(f"{file.name} is no PNG, JPEG, GIF or WebP image.")
    return ImagePart(
        source={"type": "base64", "media_type": media_type, "data": base64.b64encode(data).decode()}
    )


@require_GET
async def message_image(request: PageRequest, agent_id: str, message_id: str, place: int) -> HttpResponse:
    """The image that stands at this place in a message, from 1. `run` in the query: where a message is that is not stored yet."""
    agent = await threads.run(_agent, request.caller, agent_id)
    content = await threads.run(_stored_content, agent, message_id)
    if content is None and (run_id := request.GET.get("run")):
        content = await _told_content(agent, run_id, message_id)
    sources = [part["source"] for part in content or () if part.get("type") == "image"]
    if not 0 < place <= len(sources):
        raise NotFound("The message has no such image.")
    source = sources[place - 1]
    if source.get("type") != "base64" or source.get("media_type") not in MEDIA_TYPES:
        raise NotFound("This image is not kept on this server.")
    response = HttpResponse(base64.b64decode(source["data"]), content_type=source["media_type"])
    response["Cache-Control"] = f"private, max-age={_DAY}, immutable"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def _agent(caller: Caller, agent_id: str) -> Agent:
    caller.check("read")
    return get_agent_for(caller=caller, agent_id=agent_id)


def _stored_content(agent: Agent, message_id: str) -> list[dict[str, Any]] | None:
    return Message.objects.filter(agent=agent, id=message_id).values_list("content", flat=True).first()


async def _told_content(agent: Agent, run_id: str, message_id: str) -> list[dict[str, Any]] | None:
    """From the run's request while it waits for a worker, or from its first event, which may not be in the table yet."""
    run = await threads.run(lambda: Run.objects.filter(agent=agent, id=run_id).first())
    if run is None:
        return None
    inputs = (run.request or {}).get("inputs", [])
    if not inputs:
        async for _, event in follow(run_id):
            inputs = event.inputs if isinstance(event, RunStarted) else []
            break
    return next((data["content"] for data in inputs if data["id"] == message_id), None)
