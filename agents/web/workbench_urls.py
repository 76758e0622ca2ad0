"""Addresses of one agent's workbench, below `agents/<agent_id>/`. What belongs to a conversation has one below its conversation, too."""

from __future__ import annotations

from django.urls import include, path

from agents.web import (
    answers,
    background_part,
    compactions,
    context_page,
    conversation_pages,
    image_parts,
    workbench,
    workbench_parts,
)

#: Without a conversation they are about the default one.
_of_a_conversation = [
    path("", workbench.workbench_page, name="detail"),
    path("messages/", workbench.send_message, name="send"),
    path("messages/older/", workbench.older_runs, name="older"),
    path("answers/", answers.answer_calls, name="answers"),
    path("stop/", workbench.stop, name="stop"),
    path("blocks/", workbench_parts.blocks_part, name="blocks"),
    path("blocks/<str:block_id>/", workbench_parts.block_part, name="block"),
]

_of_a_named_one = [
    *_of_a_conversation,
    path("switch/", conversation_pages.switch_part, name="switch"),
    path("name/", conversation_pages.name_part, name="name"),
    path("delete/", conversation_pages.delete_page, name="delete_conversation"),
    path("fork/", conversation_pages.fork_here, name="fork_all"),
    path("messages/<str:message_id>/fork/", conversation_pages.fork_here, name="fork"),
    path("messages/<str:message_id>/context/", conversation_pages.context_place, name="place"),
]

urlpatterns = [
    *_of_a_conversation,
    path("conversations/", conversation_pages.begin_conversation, name="begin"),
    path("conversations/<str:conversation_id>/", include(_of_a_named_one)),
    path("messages/<str:message_id>/images/<int:place>/", image_parts.message_image, name="image"),
    path("compactions/<str:compaction_id>/", compactions.compaction_part, name="compaction"),
    path("compactions/<str:compaction_id>/undo/", compactions.undo_part, name="compaction_undo"),
    path("steps/<str:step_id>/context/", context_page.step_page, name="step_context"),
    path("steps/<str:step_id>/context/parts/", context_page.parts_panel, name="step_context_parts"),
    path("context/next/", context_page.next_page, name="next_context"),
    path("runs/<str:run_id>/again/", workbench.ask_again, name="ask_again"),
    path("identity/", workbench_parts.identity_part, name="identity"),
    path("system/", workbench_parts.system_part, name="system"),
    path("model/", workbench_parts.model_part, name="model"),
    path("tools/", workbench_parts.tools_part, name="tools"),
    path("background/", background_part.background_part, name="background"),
    path("archival/", workbench_parts.archival_part, name="archival"),
]
