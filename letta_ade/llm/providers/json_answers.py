"""Structured answers where a provider has no field for them: the model is told in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def json_schema_of(response_format: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The schema that an answer is asked to have, or None."""
    asked = (response_format or {}).get("json_schema")
    schema = asked.get("schema") if isinstance(asked, Mapping) else None
    return schema if isinstance(schema, dict) else None


def wants_json(response_format: Mapping[str, Any] | None) -> bool:
    """Whether the answer is asked to be JSON, of some schema or of any."""
    return (response_format or {}).get("type") in ("json_object", "json_schema")


def json_instruction(response_format: Mapping[str, Any] | None) -> str:
    """What the model is told."""
    schema = json_schema_of(response_format)
    text = "Your answers to the user are JSON: one object, and nothing before or after it."
    return f"{text} It has this JSON schema:\n{json.dumps(schema, ensure_ascii=False)}" if schema else text
