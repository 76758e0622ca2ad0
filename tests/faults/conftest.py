"""Scenes on data folders of their own. Servers are shared by the tests of a module where a test does not kill them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_ade.core.postgres_place import locate
from tests.faults.model import HeldOpenAI
from tests.faults.scene import Scene
from tests.support.commands import ade


@pytest.fixture(scope="session")
def tables() -> Iterator[Path]:
    """A data folder with all tables, to copy."""
    folder = Path(tempfile.mkdtemp(prefix="ade-faults-"))
    folder.chmod(0o711)
    done = ade("apikey", "first", ADE_DATA_DIR=str(folder / "data"))
    assert done.returncode == 0, done.stderr
    # A kill loses nothing that was written to a file: only a power cut would.
    with (locate(folder / "data").data / "postgresql.auto.conf").open("a") as settings:
        settings.write("fsync = off\nfull_page_writes = off\n")
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def scene(tables: Path) -> Iterator[Scene]:
    """One for all tests of a module."""
    folder = Path(tempfile.mkdtemp(prefix="ade-faults-"))
    folder.chmod(0o711)
    subprocess.run(["cp", "-a", tables, folder / "data"], check=True)
    with HeldOpenAI() as model:
        scene = Scene(folder / "data", model)
        yield scene
        scene.close()
    shutil.rmtree(folder)
