"""Packages that tools need: installed once for a set, from wheels only, with a log that is kept and shown."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandboxes import asked
from tools.sandbox import current, requirements
from tools.sandbox.port import Requirement


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings) -> Iterator[Path]:
    """A folder with two small wheels, the only place where an installer looks; and a data folder of the test's own."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for version in ("1.0", "2.0"):
        make_wheel(
            folder,
            "adetestgreeting",
            version,
            f"VERSION = {version!r}\n\ndef greet(name):\n    return f'Hello {{name}}'\n",
        )
    for name, value in {
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(folder),
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
    }.items():
        monkeypatch.setenv(name, value)
    current.shut_down_sandbox()
    settings.DATA_DIR = tmp_path / "data"
    yield folder
    current.shut_down_sandbox()


def make_wheel(folder: Path, name: str, version: str, source: str) -> None:
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": source,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={digest(text)},{len(text.encode())}\n" for path, text in files.items())
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
        wheel.writestr(f"{about}/RECORD", f"{record}{about}/RECORD,,\n")


def digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


GREET = """
import adetestgreeting

def f(name: str):
    return [adetestgreeting.greet(name), adetestgreeting.VERSION]
"""


async def test_a_tool_imports_what_it_requires(wheels, sandbox):
    wanted = (Requirement(name="adetestgreeting", version="1.0"),)
    result = await sandbox.run(asked(GREET, arguments={"name": "Ada"}, requirements=wanted))
    assert result.value == ["Hello Ada", "1.0"], result
    assert result.install_log is not None
    assert "adetestgreeting" in result.install_log
    # Beside it another set, and no set at all.
    newer = await sandbox.run(
        asked(GREET, arguments={"name": "Ada"}, requirements=(Requirement(name="adetestgreeting"),))
    )
    assert newer.value == ["Hello Ada", "2.0"]
    without = await sandbox.run(asked(GREET, arguments={"name": "Ada"}))
    assert without.error is not None
    assert without.error.name == "ModuleNotFoundError"


async def test_a_set_is_installed_once(wheels, monkeypatch):
    commands: list[list[str]] = []
    really = requirements._run

    def run(command: list[str], log: requirements._Log) -> None:
        commands.append(command)
        really(command, log)

    monkeypatch.setattr(requirements, "_run", run)
    wanted = [Requirement(name="adetestgreeting", version="1.0")]
    made = await asyncio.gather(*(requirements.environment_for(wanted, language="python") for _ in range(4)))
    assert len({each.folder for each in made}) == 1
    assert made[0].problem is None
    assert len(commands) == 2, "an environment, and what goes into it"


async def test_a_failure_gives_the_end_of_the_log_and_is_tried_again(wheels, sandbox):
    wanted = (Requirement(name="adetestmissing"),)
    result = await sandbox.run(asked("def f():\n    return 1\n", requirements=wanted))
    assert result.error is not None
    assert result.error.kind == "requirements"
    assert "adetestmissing: installing failed:" in result.error.message
    assert len(result.error.message.splitlines()) > 2
    make_wheel(wheels, "adetestmissing", "1.0", "")
    assert (await sandbox.run(asked("def f():\n    return 1\n", requirements=wanted))).value == 1


async def test_a_package_is_not_built(wheels, sandbox):
    """To build one is to run its code outside the sandbox."""
    source = wheels / "adetestsource-1.0.tar.gz"
    source.write_bytes(b"")
    result = await sandbox.run(
        asked("def f():\n    return 1\n", requirements=(Requirement(name="adetestsource"),))
    )
    assert result.error is not None
    assert result.error.kind == "requirements"


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("--index-url=http://evil.test", None),
        ("-r/etc/passwd", None),
        ("../elsewhere", None),
        ("name @ file:///etc/passwd", None),
        ("name; import os", None),
        ("", None),
        ("good", "1.0 --no-deps"),
        ("good", "1.0; python_version"),
        ("good\n--extra", None),
    ],
)
async def test_what_is_no_package_is_refused_before_an_installer_sees_it(name, version, monkeypatch):
    monkeypatch.setattr(requirements, "_make", None)
    made = await requirements.environment_for([Requirement(name=name, version=version)], language="python")
    assert made.problem is not None
    assert "is not" in made.problem


async def test_an_installer_gets_nothing_of_the_servers_environment(wheels, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-server")
    monkeypatch.setenv("ADE_SECRET_KEY", "secret")
    kept = {
        name
        for name in (
            "OPENAI_API_KEY",
            "ADE_SECRET_KEY",
            "PATH",
            "UV_INDEX_URL",
            "HTTPS_PROXY",
            "DATABASE_URL",
        )
        if requirements._KEPT_VARIABLES.fullmatch(name)
    }
    assert kept == {"PATH", "UV_INDEX_URL", "HTTPS_PROXY"}


async def test_what_installing_says_is_heard_while_it_is_said_and_names_no_path_of_the_server(wheels):
    heard: list[str] = []
    wanted = [Requirement(name="adetestgreeting", version="1.0")]
    made = await requirements.environment_for(wanted, language="python", on_said=heard.append)
    assert made.problem is None
    assert "".join(heard) == made.log
    assert len(heard) > 2
    assert heard[0].startswith("$ ")
    assert str(Path(made.folder).parents[3]) not in made.log
    again: list[str] = []
    await requirements.environment_for(wanted, language="python", on_said=again.append)
    assert again == []
