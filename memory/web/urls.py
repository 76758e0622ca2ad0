"""Addresses of the blocks' pages."""

from __future__ import annotations

from django.urls import path

from memory.web import block_acts, block_blame, block_history, block_merge, block_page, blocks

app_name = "blocks"

urlpatterns = [
    path("blocks/", blocks.list_page, name="list"),
    path("blocks/new/", blocks.create_page, name="create"),
    path("blocks/<str:block_id>/", block_page.detail_page, name="detail"),
    path("blocks/<str:block_id>/diff/", block_page.diff_part, name="diff"),
    path("blocks/<str:block_id>/blame/", block_blame.blame_part, name="blame"),
    path("blocks/<str:block_id>/merge/", block_merge.merge_page, name="merge"),
    path("blocks/<str:block_id>/compare/", block_history.choose_versions, name="choose"),
    path("blocks/<str:block_id>/compare/<int:old>/<int:new>/", block_history.compare_page, name="compare"),
    path("blocks/<str:block_id>/versions/", block_history.versions_part, name="versions"),
    path("blocks/<str:block_id>/versions/<int:number>/", block_history.version_page, name="version"),
    path("blocks/<str:block_id>/versions/<int:number>/restore/", block_acts.restore_page, name="restore"),
    path(
        "blocks/<str:block_id>/versions/<int:number>/checkpoints/",
        block_acts.name_checkpoint,
        name="name_checkpoint",
    ),
    path(
        "blocks/<str:block_id>/versions/<int:number>/checkpoints/<str:checkpoint_id>/",
        block_acts.change_checkpoint,
        name="change_checkpoint",
    ),
    path("blocks/<str:block_id>/undo/", block_acts.undo, name="undo"),
    path("blocks/<str:block_id>/redo/", block_acts.redo, name="redo"),
    path("blocks/<str:block_id>/revert/", block_acts.revert_page, name="revert"),
    path("blocks/<str:block_id>/verify/", block_history.verify_part, name="verify"),
    path("blocks/<str:block_id>/delete/", blocks.delete_page, name="delete"),
]
