"""Running the tool in the editor, saved or not, with arguments from the form beside it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.views.decorators.http import require_POST

from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core import threads
from letta_ade.core.errors import AdeError, NotAllowed
from tools.models import Tool, ToolType
from tools.returned import image_parts
from tools.sandbox.current import isolation
from tools.sandbox.limits import limits_of, wants_network
from tools.schemas.errors import SchemaError
from tools.schemas.python import default_texts
from tools.services.tool_runs import ToolRun, run_source
from tools.services.tool_writes import ToolDraft
from tools.services.tools import get_tool_for
from tools.web.forms import ToolForm
from tools.web.run_form import PREFIX, BadInput, RunForm, environment_of, run_form
from tools.web.schema_preview import SchemaPreview, preview_written

logger = logging.getLogger(__name__)

#: An empty line now and then: whoever stands between keeps the connection, and a browser that has left is noticed.
_QUIET_SECONDS = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A run as it was asked for; `problem` when it cannot begin."""

    tool: Tool | None
    form: RunForm
    draft: ToolDraft | None = None
    environment: dict[str, str] | None = None
    #: Of the variables.
    environment_error: str = ""
    #: Of source, schema or packages.
    problem: str = ""


@require_POST
def arguments_part(request: PageRequest, tool_id: str | None = None) -> HttpResponse:
    """The form for what stands in the editor, with what was typed: as fields or as JSON."""
    request.caller.check("edit")
    tool = get_tool_for(caller=request.caller, tool_id=tool_id) if tool_id else None
    form = form_for(request.POST, preview_written(request.POST, tool))
    return render(request, "tools/partials/run_arguments.html", {"run_form": form})


@require_POST
async def run_part(request: PageRequest, tool_id: str | None = None) -> HttpResponseBase:
    """Run it. The answer is a line of JSON for each thing that happens: what installing says, and at last the outcome.

    Who goes away stops the run. 422 with the form when there is nothing that could run.
    """
    asked = await threads.run(_asked, request.caller, request.POST, tool_id)
    if asked.draft is None or asked.form.arguments is None or asked.environment is None:
        context = {
            "run_form": asked.form,
            "problem": asked.problem,
            "environment_error": asked.environment_error,
            "environment": request.POST.get(f"{PREFIX}env", ""),
            "shows_errors": True,
        }
        return await threads.run(render, request, "tools/partials/run_input.html", context, status=422)
    answer = StreamingHttpResponse(
        _told(request.caller, asked, asked.draft), content_type="application/x-ndjson"
    )
    answer.headers["X-Accel-Buffering"] = "no"
    return answer


def form_for(written: QueryDict | dict[str, Any], preview: SchemaPreview) -> RunForm:
    """The form for the arguments of what was written, with what was typed in it."""
    defaults: dict[str, str] = {}
    if written.get("source_type", "python") == "python":
        try:
            defaults = default_texts(str(written.get("source_code") or "").replace("\r\n", "\n"))
        except SchemaError:
            pass  # the schema beside it tells
    return run_form(preview.schema, defaults, {name: str(written.get(name) or "") for name in written})


def surroundings_of(tool: Tool | None) -> list[str]:
    """What a run of the tool may use, in a few words each."""
    metadata = tool.metadata if tool else {}
    limits = limits_of(metadata)
    if settings.ALLOW_UNSANDBOXED:
        # Whether this machine confines anything is known when something has run.
        return ["only as far as this machine confines tools (ADE_ALLOW_UNSANDBOXED)"]
    return [
        "public network" if wants_network(metadata) else "no network",
        f"{limits.seconds:g} s",
        f"{limits.memory_bytes // 1024**2:,} MB",
    ]


def _asked(caller: Caller, written: QueryDict, tool_id: str | None) -> _Asked:
    caller.check("edit")
    tool = get_tool_for(caller=caller, tool_id=tool_id) if tool_id else None
    if tool is not None and tool.tool_type != ToolType.CUSTOM:
        raise NotAllowed(f"{tool.name!r} is not a custom tool; an agent that has it can run it.")
    editor = ToolForm(written, args_json_schema=tool.args_json_schema if tool else None)
    editor.is_valid()
    form = form_for(written, preview_written(written, tool))
    problem = next((str(error) for name in editor.RUNNING for error in editor.errors.get(name, [])), "")
    try:
        environment, environment_error = environment_of(written.get(f"{PREFIX}env", "")), ""
    except BadInput as error:
        environment, environment_error = None, str(error)
    return _Asked(
        tool=tool,
        form=form,
        draft=None if problem else editor.draft_to_run(),
        environment=environment,
        environment_error=environment_error,
        problem=problem,
    )


async def _told(caller: Caller, asked: _Asked, draft: ToolDraft) -> AsyncGenerator[bytes]:
    loop, said = asyncio.get_running_loop(), asyncio.Queue[str]()

    def hear(text: str) -> None:
        loop.call_soon_threadsafe(said.put_nowait, text)

    running = asyncio.create_task(_outcome(caller, asked, draft, hear))
    listening = asyncio.create_task(said.get())
    try:
        while not running.done():
            await asyncio.wait(
                [running, listening], timeout=_QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if listening.done():
                yield _line({"log": listening.result()})
                listening = asyncio.create_task(said.get())
            elif not running.done():
                yield b"\n"
        if listening.done():
            yield _line({"log": listening.result()})
        while not said.empty():
            yield _line({"log": said.get_nowait()})
        yield _line(running.result())
    finally:
        # The browser has left, or all is said.
        for task in (running, listening):
            task.cancel()
        await asyncio.gather(running, listening, return_exceptions=True)


async def _outcome(caller: Caller, asked: _Asked, draft: ToolDraft, hear: Any) -> dict[str, Any]:
    assert asked.form.arguments is not None, "checked before"
    run: ToolRun | None = None
    problem = ""
    try:
        run = await run_source(
            caller=caller,
            draft=draft,
            arguments=asked.form.arguments,
            environment=asked.environment or {},
            stored=asked.tool,
            on_install=hear,
        )
    except AdeError as error:
        problem = error.message
    context = _shown(run, problem)
    if settings.ALLOW_UNSANDBOXED and run is not None:
        found = await isolation()
        context["warning"] = found.summary if found.state == "unsafe" else ""
    html = await threads.run(render_to_string, "tools/partials/run_outcome.html", context)
    return {
        "html": html,
        "arguments": asked.form.arguments,
        "state": "bad" if run is None or run.is_error else "ok",
        "ms": round(run.duration_ms) if run else 0,
    }


def _shown(run: ToolRun | None, problem: str) -> dict[str, Any]:
    if run is None:
        return {"problem": problem}
    return {
        "run": run,
        "parts": image_parts(run.value),
        "returned": _pretty(run.value),
        "stdout": "".join(run.stdout),
        "stderr": "".join(run.stderr),
    }


def _pretty(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)


def _line(told: dict[str, Any]) -> bytes:
    # In ASCII: a tool may return half of a character, which no encoding has.
    return json.dumps(told).encode() + b"\n"
