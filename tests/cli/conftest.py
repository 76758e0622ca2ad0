"""A data folder whose database is ready, and servers on it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.commands import Up, ade


@pytest.fixture(scope="session")
def migrated() -> Iterator[Path]:
    """A data folder with all tables, to copy."""
    folder = Path(tempfile.mkdtemp(prefix="ade-test-"))
    folder.chmod(0o711)
    done = ade("apikey", "first", ADE_DATA_DIR=str(folder / "data"))
    assert done.returncode == 0, done.stderr
    yield folder / "data"
    shutil.rmtree(folder)


@pytest.fixture
def data_dir(migrated: Path, reachable_tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", migrated, reachable_tmp_path / "data"], check=True)
    return reachable_tmp_path / "data"


@pytest.fixture
def up(data_dir: Path) -> Iterator[Callable[..., Up]]:
    """Starts servers on the data folder and stops what is left of them."""
    started: list[Up] = []

    def start(*arguments: str, **environment: str) -> Up:
        started.append(Up(data_dir, *arguments, **environment))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()
