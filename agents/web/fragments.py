"""The fragments that a websocket sends: the templates of the page, marked with where they go.

`beforeend:#place` puts the marked element itself there: idiomorph's extension makes htmx do so for every swap out of band.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents.web import context_view, workbench_page
from agents.web.conversation_rows import load_switch
from agents.web.live_transcript import LiveRun
from agents.web.run_line import RunLine
from agents.web.transcript import InputItem, RunItem, TextItem
from agents.web.waiting_card import load_card
from agents.web.workbench_page import Bench

_AGENT_PARTS = ("identity", "model", "system", "tools")


def ready() -> str:
    """Says that the page has caught up."""
    return '<span id="link-state" data-state="ready" hidden></span>'


def live_frame(bench: Bench, live: LiveRun, *, is_known: bool) -> str:
    """What the last events changed; the whole run when the page has not drawn it from this connection yet."""
    changes = live.take_changes()
    line = run_line(bench, live.line())
    if not is_known or live.is_first_frame or changes.is_whole:
        live.is_first_frame = False
        return _run(bench, live.item(), is_known=is_known) + _asked_step(bench, live) + line
    html = []
    if changes.has_inputs:
        context = {**bench.base, "run": live.item(), "oob": "morph"}
        html.append(render_to_string("agents/partials/inputs.html", context))
    for step_id in changes.new_steps:
        place = f"beforeend:#steps-{live.frame.run_id}"
        html.append(_render("step", bench, run=live.item(), step=live.steps[step_id], oob=place))
    for step_id in changes.steps:
        if step_id not in changes.new_steps:
            html.append(_render("step", bench, run=live.item(), step=live.steps[step_id], oob="morph"))
    for step_id, element_id in changes.new_items:
        item, place = live.find(step_id, element_id), f"beforeend:#items-{step_id}"
        html.append(_render("item", bench, step=live.steps[step_id], item=item, oob=place))
    for step_id, element_id in changes.items:
        if (step_id, element_id) not in changes.new_items:
            html.append(
                _render(
                    "item", bench, step=live.steps[step_id], item=live.find(step_id, element_id), oob="morph"
                )
            )
    for (_, element_id), text in changes.tails.items():
        html.append(format_html('<span hx-swap-oob="beforeend:#raw-{}">{}</span>', element_id, text))
    return "".join(html) + (line if changes.has_line else "")


def _asked_step(bench: Bench, live: LiveRun) -> str:
    """The step of an earlier run whose calls are being answered."""
    if live.asked_id is None:
        return ""
    return _render("step", bench, run=live.item(), step=live.steps[live.asked_id], oob="morph")


def earlier_run(bench: Bench, run: RunItem) -> str:
    """A run that has ended and is on the page, as it is stored now."""
    return _run(bench, run, is_known=True)


def stored_run(bench: Bench, run: RunItem, line: RunLine, *, is_known: bool) -> str:
    """A run that has ended, as it is stored."""
    return _run(bench, run, is_known=is_known) + run_line(bench, line)


def _run(bench: Bench, run: RunItem, *, is_known: bool) -> str:
    return _render("run", bench, run=run, oob="morph" if is_known else "beforeend:#runs")


def places(bench: Bench, items: Iterable[InputItem | TextItem]) -> str:
    """Whether these messages are in the context, on the messages that are drawn already."""
    return "".join(
        _render(
            "message_place",
            bench,
            message_id=item.id,
            place=item.place,
            has_text=bool(item.text),
            oob="outerHTML",
        )
        for item in items
    )


def run_line(bench: Bench, line: RunLine) -> str:
    """The line above the composer."""
    return _render("runline", bench, line=line, oob="morph")


def parts(bench: Bench, wanted: set[str], *, shown: dict[str, int], draws_all_blocks: bool) -> str:
    """Parts beside the transcript. Names: waiting, agent, conversations, background, blocks, context, archival, or the id of a block.

    `shown` are the versions that the page shows; lines that are newer flash.
    """
    html = _agent_parts(bench) if "agent" in wanted else []
    if wanted & {"background", "agent"}:
        context = {**workbench_page.background_context(bench), "oob": "morph"}
        html.append(render_to_string("agents/partials/background.html", context))
    if wanted & {"conversations", "agent"}:
        html.append(_render("conversation_head", bench, switch=load_switch(bench.conversation), oob="morph"))
    if "waiting" in wanted:
        html.append(_render("waiting", bench, waiting=load_card(bench.conversation), oob="morph"))
    changed = wanted & shown.keys()
    if draws_all_blocks or changed:
        html += _block_parts(bench, changed, shown, draws_all=draws_all_blocks)
    if wanted & {"context", "agent"} or changed:
        view = context_view.load_context_view(bench.agent, bench.conversation)
        html.append(_render("context", bench, context=view, oob="morph"))
        html.append(_render("context_head", bench, context=view, oob="morph"))
    if wanted & {"archival", "agent"}:
        context = {**workbench_page.archival_context(bench), "oob": "morph"}
        html.append(render_to_string("agents/partials/archival.html", context))
        # The section stays as it is while somebody searches or writes in it; its count is always right.
        html.append(_render("archival_count", bench, passage_count=context["passage_count"], oob="morph"))
    return "".join(html)


def _agent_parts(bench: Bench) -> list[str]:
    context = {**workbench_page.agent_context(bench), "oob": "morph"}
    html: list[str] = [render_to_string(f"agents/partials/{name}.html", context) for name in _AGENT_PARTS]
    html.append(
        format_html('<h1 id="agent-name" aria-current="page" hx-swap-oob="morph">{}</h1>', bench.agent.name)
    )
    return html


def _block_parts(bench: Bench, changed: set[str], shown: dict[str, int], *, draws_all: bool) -> list[str]:
    blocks = workbench_page.blocks_context(bench, shown)
    if draws_all:
        html: list[str] = [render_to_string("agents/partials/blocks.html", {**blocks, "oob": "morph"})]
    else:
        html = [
            _render("block", bench, card=card, oob="morph")
            for card in blocks["cards"]
            if card.block.id in changed and card.block.version != shown[card.block.id]
        ]
        html.append(_render("changed_count", bench, changed_count=blocks["changed_count"], oob="morph"))
    html.append(_render("memory_mark", bench, changed_count=blocks["changed_count"], oob="morph"))
    return html


def _render(name: str, bench: Bench, **context: object) -> SafeString:
    return render_to_string(f"agents/partials/{name}.html", {**bench.base, **context})
