"""The providers of the environment, each with the listing that was last fetched, refreshed in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace

from letta_ade.llm.checks import Check, Outcome, check_provider
from letta_ade.llm.environment import configured_providers
from letta_ade.llm.errors import error_text
from letta_ade.llm.listing import Listing, demo_listing, listing_of
from letta_ade.llm.provider_config import ProviderConfig

_log = logging.getLogger(__name__)

#: How long the first caller waits for providers that were never listed.
FIRST_WAIT_SECONDS = 6.0
_REQUEST_SECONDS = 5.0
_FRESH_SECONDS = 300.0
_RETRY_SECONDS = 15.0
#: An unknown name may be a model that was just added; the provider is asked again, but not for every wrong name.
_RECHECK_SECONDS = 10.0


class ListedProvider:
    """A `CatalogProvider` that all threads of the process share."""

    id: str | None = None
    is_disabled = False

    def __init__(self, config: ProviderConfig) -> None:
        self.config = config
        self.listing: Listing | None = None
        self.error: str | None = None
        self.check: Check | None = None
        self._lock = threading.Lock()
        self._asked_at: float | None = None
        self._running: threading.Event | None = None
        #: Lengths of vectors that one call told.
        self._dimensions: dict[str, int] = {}

    @property
    def was_asked(self) -> bool:
        return self._asked_at is not None

    def is_due(self) -> bool:
        return self._age() > (_FRESH_SECONDS if self.error is None else _RETRY_SECONDS)

    def may_ask_again(self) -> bool:
        return self._age() > _RECHECK_SECONDS

    def callable_config(self) -> ProviderConfig:
        return self.config

    def ensure_listed(self) -> Listing | None:
        if self.is_due():
            event = self.refresh()
            if not self.was_asked:
                event.wait(FIRST_WAIT_SECONDS)
        return self.listing

    def ask(self) -> Listing | None:
        self.refresh().wait(FIRST_WAIT_SECONDS)
        return self.listing

    def refresh(self) -> threading.Event:
        """Ask in the background, once at a time; the event is set when the answer is here."""
        with self._lock:
            if self._running is None:
                self._running = threading.Event()
                # A daemon: a slow provider must not hold up the end of the process.
                name = f"models-{self.config.name}"
                threading.Thread(target=self._ask, args=(self._running,), name=name, daemon=True).start()
            return self._running

    def keep_dimensions(self, name: str, dimensions: int) -> None:
        self._dimensions[name] = dimensions
        if self.listing is not None:
            self.listing = self._with_dimensions(self.listing)

    def _age(self) -> float:
        return float("inf") if self._asked_at is None else time.monotonic() - self._asked_at

    def _ask(self, done: threading.Event) -> None:
        try:
            if self.config.profile.protocol == "demo":
                self.listing = demo_listing()
            else:
                # Only the list: an operator's proxy may know no other address.
                self._keep(
                    check_provider(self.config, timeout_seconds=_REQUEST_SECONDS, asks_about_key=False)
                )
        finally:
            with self._lock:
                self._asked_at = time.monotonic()
                self._running = None
            done.set()

    def _keep(self, outcome: Outcome) -> None:
        self.check = outcome.check
        if outcome.failure is None:
            self.listing = self._with_dimensions(listing_of(self.config, outcome.rows))
            self.error = None
        else:
            # The models it had stay listed.
            self.error = error_text(outcome.failure)
            _log.warning("The models of %s cannot be listed: %s", self.config.name, self.error)

    def _with_dimensions(self, listing: Listing) -> Listing:
        embeddings = tuple(
            replace(info, dimensions=info.dimensions or self._dimensions.get(info.name))
            for info in listing.embeddings
        )
        return replace(listing, embeddings=embeddings)


class OwnProviders:
    """All that these variables switch on, by name, in list order."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.providers = {config.name: ListedProvider(config) for config in configured_providers(environment)}

    def update(self, *, refresh: bool) -> None:
        """Fetch what was never fetched, and wait for it; refresh what is old, without waiting unless told to."""
        waited_for = []
        for provider in self.providers.values():
            if refresh or provider.is_due():
                must_wait = refresh or not provider.was_asked
                event = provider.refresh()
                if must_wait:
                    waited_for.append(event)
        deadline = time.monotonic() + FIRST_WAIT_SECONDS
        for event in waited_for:
            event.wait(max(0.0, deadline - time.monotonic()))
