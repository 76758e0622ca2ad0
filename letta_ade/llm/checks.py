"""Asking a provider for its models, and what came of it as a person reads it: what was asked, how long it took, what it said in full."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime

from letta_ade.core.errors import AdeError
from letta_ade.llm.errors import ModelError
from letta_ade.llm.model_rows import ModelRow
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.providers.model_lists import check_key, model_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One asking. Without `error` it answered."""

    at: datetime
    #: None where nothing was measured.
    milliseconds: int | None = None
    #: "GET https://…": the last address that was asked. None when it did not come to that.
    request: str | None = None
    #: Our sentence about what went wrong.
    error: str | None = None
    #: The provider's own text, in full and without our keys.
    answer: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What was learnt: the models, or why not."""

    check: Check
    rows: tuple[ModelRow, ...] = ()
    failure: AdeError | None = None


def check_provider(config: ProviderConfig, *, timeout_seconds: float, asks_about_key: bool = True) -> Outcome:
    """Ask the provider for its models, and whether the key is good where the list does not tell.

    HTTP, so never in a transaction; what goes wrong is returned.
    """
    started, at = time.monotonic(), datetime.now(UTC)
    try:
        if asks_about_key:
            check_key(config, timeout_seconds=timeout_seconds)
        told = model_rows(config, timeout_seconds=timeout_seconds)
    except ModelError as error:
        return failed(error, at=at, milliseconds=_since(started))
    check = Check(at=at, milliseconds=_since(started), request=told.request)
    return Outcome(check=check, rows=tuple(row for row in told.rows if row.kind != "other"))


def failed(error: AdeError, *, at: datetime | None = None, milliseconds: int | None = None) -> Outcome:
    """The outcome of an asking that failed, or that could not be begun."""
    told = error if isinstance(error, ModelError) else None
    check = Check(
        at=at or datetime.now(UTC),
        milliseconds=milliseconds,
        request=told.request if told else None,
        error=error.message,
        answer=(told.answer or told.detail) if told else None,
        request_id=told.request_id if told else None,
    )
    return Outcome(check=check, failure=error)


def _since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
