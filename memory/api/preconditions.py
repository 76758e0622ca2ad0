"""The version that a write was made to, and the answer that says which version a block is at."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from letta_ade.core.errors import Unprocessable
from letta_ade.core.schemas import respond
from memory.api.schemas.block import VersionedBlock
from memory.models import Block
from memory.services.blocks import BlockChange


def base_version_of(request: HttpRequest, sent: int | None) -> int | None:
    """The version that the writer had read: from the body (`sent`) or from `If-Match`, which takes an ETag of ours.

    None when the request does not say. Raises Unprocessable for another ETag, and when the two differ.
    """
    header = request.headers.get("If-Match", "").strip()
    if not header or header == "*":
        return sent
    number = header.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit()):
        raise Unprocessable(f"If-Match must be the ETag of a block, like '\"3\"', not {header!r}.")
    if sent is not None and sent != int(number):
        raise Unprocessable(f"base_version is {sent} and If-Match {header!r}: send one of them.")
    return int(number)


def respond_change(change: BlockChange) -> HttpResponse:
    """The block after a change; 202 and the block as it was when the change waits for approval.

    A 2xx, for a client that knows nothing of this must not take it for a failure, nor for a conflict that it sends again.
    """
    proposal = change.proposal
    return respond_block(
        change.block,
        merged_with=change.merged_with,
        proposal_id=proposal.id if proposal else None,
        status=202 if proposal else 200,
    )


def respond_block(
    block: Block, *, merged_with: int | None = None, proposal_id: str | None = None, status: int = 200
) -> HttpResponse:
    """The block with its version, which is also its ETag."""
    wire = VersionedBlock.at(block, merged_with=merged_with, proposal_id=proposal_id)
    response = respond(wire, status=status)
    response["ETag"] = f'"{block.version}"'
    return response
