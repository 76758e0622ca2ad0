"""The version that a write was made to, and the answer that says which version a block is at."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from letta_ade.core.errors import Unprocessable
from letta_ade.core.schemas import respond
from memory.api.schemas.block import VersionedBlock
from memory.models import Block


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


def respond_block(block: Block, *, merged_with: int | None = None) -> HttpResponse:
    """The block with its version, which is also its ETag."""
    response = respond(VersionedBlock.at(block, merged_with=merged_with))
    response["ETag"] = f'"{block.version}"'
    return response
