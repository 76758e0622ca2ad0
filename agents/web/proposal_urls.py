"""Addresses of proposed memory edits, and of what a block's page shows of them."""

from __future__ import annotations

from django.urls import path

from agents.web import proposals

app_name = "proposals"

urlpatterns = [
    path("proposals/<str:proposal_id>/", proposals.detail_page, name="detail"),
    path("proposals/<str:proposal_id>/decide/", proposals.decide, name="decide"),
    path("blocks/<str:block_id>/policy/", proposals.policy_part, name="policy"),
    path("blocks/<str:block_id>/proposals/", proposals.proposals_of_block, name="of_block"),
]
