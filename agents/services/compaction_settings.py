"""The settings by which an agent's context is compacted, as they are stored and as the loop reads them (spec/memory.md §8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast, get_args

from agents.runtime.compaction import CompactionSettings, Mode
from agents.runtime.summarising import DEFAULT_PROMPTS

_DEFAULTS = CompactionSettings()


def complete_settings(asked: Mapping[str, Any], over: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What is stored of the settings that somebody asked for, laid over others; the prompt is that of the mode unless one is given.

    A new object: neither of the two is changed.
    """
    before = dict(over or {})
    settings = {
        "mode": _DEFAULTS.mode,
        "model": None,
        "model_settings": None,
        "prompt": None,
        "prompt_acknowledgement": _DEFAULTS.prompt_acknowledgement,
        "clip_chars": _DEFAULTS.clip_chars,
        "sliding_window_percentage": _DEFAULTS.sliding_window_percentage,
        **before,
        **asked,
    }
    mode_changes = bool(before) and settings["mode"] != before.get("mode")
    if settings["prompt"] is None or (mode_changes and not asked.get("prompt")):
        settings["prompt"] = DEFAULT_PROMPTS[settings["mode"]]
    return settings


def read_settings(stored: Mapping[str, Any] | None) -> CompactionSettings:
    """What the loop reads of stored settings; those of older rows may lack fields, or hold what nobody checked."""
    data = stored or {}
    mode, share, clip = (
        data.get("mode"),
        data.get("sliding_window_percentage"),
        data.get("clip_chars", 50_000),
    )
    return CompactionSettings(
        mode=cast(Mode, mode) if mode in get_args(Mode) else _DEFAULTS.mode,
        prompt=data.get("prompt") or None,
        prompt_acknowledgement=bool(data.get("prompt_acknowledgement")),
        clip_chars=clip if clip is None or (isinstance(clip, int) and clip > 0) else _DEFAULTS.clip_chars,
        sliding_window_percentage=float(share)
        if isinstance(share, int | float) and 0 < share < 1
        else _DEFAULTS.sliding_window_percentage,
    )
