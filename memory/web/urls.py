"""Addresses of the blocks' pages."""

from __future__ import annotations

from django.urls import path

from memory.web import block_blame, block_files, block_history, block_list, block_merge, blocks

app_name = "blocks"

urlpatterns = [
    path("blocks/", block_list.list_page, name="list"),
    path("blocks/export/", block_files.export_file, name="export"),
    path("blocks/import/", block_files.import_page, name="import"),
    path("blocks/new/", block_list.create_page, name="create"),
    path("blocks/<str:block_id>/template/", block_list.save_as_template, name="save_as_template"),
    path("blocks/<str:block_id>/peek/", block_list.peek_panel, name="peek"),
    path("blocks/<str:block_id>/", blocks.detail_page, name="detail"),
    path("blocks/<str:block_id>/versions/<int:number>/", blocks.version_page, name="version"),
    path("blocks/<str:block_id>/versions/before/<int:before>/", blocks.older_versions, name="older_versions"),
    path("blocks/<str:block_id>/versions/<int:number>/restore/", block_history.restore_page, name="restore"),
    path(
        "blocks/<str:block_id>/versions/<int:number>/checkpoints/",
        block_history.checkpoint_page,
        name="checkpoints",
    ),
    path("blocks/<str:block_id>/compare/<int:old>/<int:new>/", block_history.compare_page, name="compare"),
    path("blocks/<str:block_id>/step/<str:act>/", block_history.step_page, name="step"),
    path("blocks/<str:block_id>/revert/", block_history.revert_page, name="revert"),
    path("blocks/<str:block_id>/blame/", block_blame.blame_part, name="blame"),
    path("blocks/<str:block_id>/draft/", block_blame.draft_diff, name="draft_diff"),
    path("blocks/<str:block_id>/merge/", block_merge.merge_page, name="merge"),
    path("blocks/<str:block_id>/verify/", blocks.verify_part, name="verify"),
    path("blocks/<str:block_id>/delete/", blocks.delete_page, name="delete"),
]
