"""Which release this is."""

from __future__ import annotations

import importlib.metadata
import tomllib
from functools import cache
from pathlib import Path


@cache
def product_version() -> str:
    """The version of the checkout, or of the installed package."""
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if project.exists():  # the launcher of a checkout installs only what we depend on
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    return importlib.metadata.version("letta-ade")
