"""What the catalog asks of a provider, and of the providers that workspaces brought: rows, which it does not know.

`services/stored_providers.py` answers, and is put here when Django starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from letta_ade.llm.checks import Check
from letta_ade.llm.listing import EmbeddingModelInfo, Listing
from letta_ade.llm.provider_config import ProviderConfig


class CatalogProvider(Protocol):
    """A provider, the server's own or a workspace's, with what it listed when it was last asked."""

    @property
    def id(self) -> str | None:
        """The public id of a workspace's."""

    @property
    def config(self) -> ProviderConfig:
        """Enough to describe its models; a workspace's is without the key."""

    @property
    def was_asked(self) -> bool: ...

    @property
    def listing(self) -> Listing | None: ...

    @property
    def error(self) -> str | None:
        """Why it did not list its models the last time."""

    @property
    def check(self) -> Check | None:
        """What came of the last asking; None when it was never asked, or has nothing to ask."""

    @property
    def is_disabled(self) -> bool:
        """Whether its models are neither offered nor called."""

    def callable_config(self) -> ProviderConfig:
        """The configuration with the key. Raises SecretUnreadable."""

    def ensure_listed(self) -> Listing | None:
        """The listing, asked for now when it never was. None when the provider cannot be asked."""

    def ask(self) -> Listing | None:
        """The listing, asked for now; what went wrong is kept. HTTP, so never in a transaction."""

    def may_ask_again(self) -> bool:
        """Whether it was not asked just now."""

    def keep_dimensions(self, name: str, dimensions: int) -> None:
        """Remember the length of an embedding model's vectors."""


class ProviderStore(Protocol):
    def providers_of(self, workspace_id: str) -> Sequence[CatalogProvider]:
        """The providers of the workspace, oldest first."""

    def find_provider(self, workspace_id: str, name: str) -> CatalogProvider | None:
        """The provider of this name, or None."""

    def find_embedding(self, workspace_id: str, provider: str, name: str) -> EmbeddingModelInfo | None:
        """The embedding model of this name, if the provider listed it. One query."""

    def hidden_handles(self, workspace_id: str) -> frozenset[str]:
        """The models that the workspace does not want to be offered."""

    def ask_all(self, providers: Sequence[CatalogProvider]) -> None:
        """As `ask`, for several at once."""


class _NoStore:
    """Without Django there are no rows."""

    def providers_of(self, workspace_id: str) -> Sequence[CatalogProvider]:
        return ()

    def find_provider(self, workspace_id: str, name: str) -> CatalogProvider | None:
        return None

    def find_embedding(self, workspace_id: str, provider: str, name: str) -> EmbeddingModelInfo | None:
        return None

    def hidden_handles(self, workspace_id: str) -> frozenset[str]:
        return frozenset()

    def ask_all(self, providers: Sequence[CatalogProvider]) -> None:
        pass


_store: ProviderStore = _NoStore()


def store() -> ProviderStore:
    """The store of this process."""
    return _store


def use_store(given: ProviderStore) -> None:
    """From now on this store answers; called once, when Django starts."""
    global _store
    _store = given
