"""Addresses of the blocks' pages."""

from __future__ import annotations

from django.urls import path

from memory.web import block_files, block_list, blocks

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
    path("blocks/<str:block_id>/verify/", blocks.verify_part, name="verify"),
    path("blocks/<str:block_id>/delete/", blocks.delete_page, name="delete"),
]
