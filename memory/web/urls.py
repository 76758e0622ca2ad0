"""Addresses of the blocks' pages."""

from __future__ import annotations

from django.urls import path

from memory.web import block_merge, blocks

app_name = "blocks"

urlpatterns = [
    path("blocks/", blocks.list_page, name="list"),
    path("blocks/new/", blocks.create_page, name="create"),
    path("blocks/<str:block_id>/", blocks.detail_page, name="detail"),
    path("blocks/<str:block_id>/versions/<int:number>/", blocks.version_page, name="version"),
    path("blocks/<str:block_id>/versions/before/<int:before>/", blocks.older_versions, name="older_versions"),
    path("blocks/<str:block_id>/merge/", block_merge.merge_page, name="merge"),
    path("blocks/<str:block_id>/verify/", blocks.verify_part, name="verify"),
    path("blocks/<str:block_id>/delete/", blocks.delete_page, name="delete"),
]
