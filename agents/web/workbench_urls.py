"""Addresses of one agent's workbench, below `agents/<agent_id>/`."""

from __future__ import annotations

from django.urls import path

from agents.web import (
    answers,
    background_part,
    compactions,
    context_page,
    conversation_part,
    image_parts,
    workbench,
    workbench_parts,
)

urlpatterns = [
    path("", workbench.workbench_page, name="detail"),
    path("messages/", workbench.send_message, name="send"),
    path("messages/older/", workbench.older_runs, name="older"),
    path("messages/<str:message_id>/images/<int:place>/", image_parts.message_image, name="image"),
    path("compactions/<str:compaction_id>/", compactions.compaction_part, name="compaction"),
    path("compactions/<str:compaction_id>/undo/", compactions.undo_part, name="compaction_undo"),
    path("steps/<str:step_id>/context/", context_page.step_page, name="step_context"),
    path("steps/<str:step_id>/context/parts/", context_page.parts_panel, name="step_context_parts"),
    path("context/next/", context_page.next_page, name="next_context"),
    path("conversations/", conversation_part.switcher_part, name="switcher"),
    path("conversations/new/", conversation_part.begin_conversation, name="begin_conversation"),
    path(
        "conversations/<str:conversation_id>/",
        conversation_part.change_conversation,
        name="change_conversation",
    ),
    path("answers/", answers.answer_calls, name="answers"),
    path("stop/", workbench.stop, name="stop"),
    path("runs/<str:run_id>/again/", workbench.ask_again, name="ask_again"),
    path("identity/", workbench_parts.identity_part, name="identity"),
    path("system/", workbench_parts.system_part, name="system"),
    path("model/", workbench_parts.model_part, name="model"),
    path("tools/", workbench_parts.tools_part, name="tools"),
    path("background/", background_part.background_part, name="background"),
    path("blocks/", workbench_parts.blocks_part, name="blocks"),
    path("blocks/<str:block_id>/", workbench_parts.block_part, name="block"),
    path("archival/", workbench_parts.archival_part, name="archival"),
]
