"""Archives: the places where passages are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound, Unprocessable
from memory.models import Archive
from memory.texts import check_json, check_text, searchable

_MOST_NAME_CHARACTERS = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveDraft:
    """An archive that is to be made. Without `embedding` (a handle) it is searched by words only."""

    name: str
    description: str | None = None
    embedding: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFilters:
    """Filters of a list."""

    name: str | None = None
    name_search: str | None = None


def get_archive_for(*, caller: Caller, archive_id: str) -> Archive:
    """The archive. Raises NotFound, also for another workspace's."""
    caller.check("read")
    archive = Archive.objects.filter(id=archive_id, workspace_id=caller.workspace_id).first()
    if archive is None:
        raise NotFound(f"There is no archive {archive_id!r}.")
    return archive


def get_archives(*, caller: Caller, archive_ids: Sequence[str]) -> list[Archive]:
    """These archives in the order of their ids; what is gone, or another workspace's, is left out."""
    caller.check("read")
    if not archive_ids:
        return []
    found = Archive.objects.filter(workspace_id=caller.workspace_id).in_bulk(list(archive_ids))
    return [found[archive_id] for archive_id in archive_ids if archive_id in found]


def list_archives(*, caller: Caller, filters: ArchiveFilters | None = None) -> QuerySet[Archive]:
    """The workspace's archives, oldest first."""
    caller.check("read")
    wanted = filters or ArchiveFilters()
    archives = Archive.objects.filter(workspace_id=caller.workspace_id)
    if wanted.name is not None:
        archives = archives.filter(name=wanted.name)
    if wanted.name_search is not None:
        archives = archives.filter(name__icontains=searchable(wanted.name_search))
    return archives


def create_archive(*, caller: Caller, draft: ArchiveDraft) -> Archive:
    """A new, empty archive. Raises Unprocessable for a bad name. Whether the model exists is the caller's to check."""
    caller.check("edit")
    if not draft.name.strip():
        raise Unprocessable("An archive needs a name.")
    if len(draft.name) > _MOST_NAME_CHARACTERS:
        raise Unprocessable(
            f"The name of an archive has at most {_MOST_NAME_CHARACTERS} characters, not {len(draft.name)}."
        )
    check_text("The name of an archive", draft.name)
    check_text("The description of an archive", draft.description or "")
    return Archive.objects.create(
        workspace_id=caller.workspace_id,
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
        name=draft.name,
        description=draft.description,
        embedding=draft.embedding,
        metadata=check_json("The metadata of an archive", dict(draft.metadata)),
    )
