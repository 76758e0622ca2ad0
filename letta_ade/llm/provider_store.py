"""What the catalog asks of the providers that workspaces brought. They are rows, which the catalog does not know.

`services/stored_providers.py` answers, and is put here when Django starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from letta_ade.llm.listing import Listing
from letta_ade.llm.provider_config import ProviderConfig


class BroughtProvider(Protocol):
    """A provider of a workspace, with what it listed when it was last asked."""

    @property
    def id(self) -> str:
        """Its public id."""

    @property
    def config(self) -> ProviderConfig:
        """Enough to describe its models, without the key."""

    @property
    def was_asked(self) -> bool: ...

    @property
    def listing(self) -> Listing | None: ...

    @property
    def error(self) -> str | None:
        """Why it did not list its models the last time."""

    def callable_config(self) -> ProviderConfig:
        """The configuration with the key. Raises SecretUnreadable."""

    def ask(self) -> None:
        """List its models now, and keep them, or what went wrong. HTTP, so never in a transaction."""

    def may_ask_again(self) -> bool:
        """Whether it was not asked just now."""

    def keep_dimensions(self, name: str, dimensions: int) -> None:
        """Remember the length of an embedding model's vectors."""


class ProviderStore(Protocol):
    def providers_of(self, workspace_id: str) -> Sequence[BroughtProvider]:
        """The providers of the workspace, oldest first."""

    def find_provider(self, workspace_id: str, name: str) -> BroughtProvider | None:
        """The provider of this name, or None."""

    def ask_all(self, providers: Sequence[BroughtProvider]) -> None:
        """As `ask`, for several at once."""


class _NoStore:
    """Without Django there are no rows."""

    def providers_of(self, workspace_id: str) -> Sequence[BroughtProvider]:
        return ()

    def find_provider(self, workspace_id: str, name: str) -> BroughtProvider | None:
        return None

    def ask_all(self, providers: Sequence[BroughtProvider]) -> None:
        pass


_store: ProviderStore = _NoStore()


def store() -> ProviderStore:
    """The store of this process."""
    return _store


def use_store(given: ProviderStore) -> None:
    """From now on this store answers; called once, when Django starts."""
    global _store
    _store = given
