"""The switch that keeps tests from calling a real provider."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_remote_allowed = True


def forbid_remote_models(forbidden: bool = True) -> None:
    """From now on every call to a provider that is not on this machine is a RuntimeError."""
    global _remote_allowed
    _remote_allowed = not forbidden


def check_allowed(base_url: str) -> None:
    """RuntimeError when the switch forbids calling this address."""
    if not _remote_allowed and urlsplit(base_url).hostname not in _LOOPBACK:
        raise RuntimeError(f"Tests may not call a real model provider, but {base_url!r} was asked for.")
