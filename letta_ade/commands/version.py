"""Which release this is."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path


def version() -> str:
    project = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if project.exists():  # a checkout: the launcher installs only what we depend on
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])
    return importlib.metadata.version("letta-ade")
