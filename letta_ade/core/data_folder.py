"""The folder that holds all local state."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def default_data_dir() -> Path:
    """The platform's folder for a program's data."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "letta-ade"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", str(Path.home()))) / "letta-ade"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "letta-ade"


def make_data_dir(path: Path) -> None:
    """Make the folder if it is missing; raises OSError. What exists, and what is above it, keeps its mode."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)  # several may start at once
        # Root's PostgreSQL runs as another account and has to pass through; what is secret in here is 0600.
        path.chmod(0o711 if hasattr(os, "geteuid") and os.geteuid() == 0 else 0o700)
