"""`./ade` before Python runs: it finds, makes, installs and hands over, or says in one sentence why not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = (
    "sh",
    "dirname",
    "readlink",
    "cmp",
    "rm",
    "rmdir",
    "cp",
    "mkdir",
    "grep",
    "tail",
    "cat",
    "tr",
    "cut",
    "df",
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the launcher is for POSIX shells")

#: A Python that makes environments of itself and writes down what it is asked to install and to run.
PYTHON = """#!/bin/sh
case "$*" in
  *version_info*) {version} ;;
  *ensurepip*) {ensurepip} ;;
  "-m venv"*) for last; do :; done; {venv}; rm -rf "$last"; mkdir -p "$last/bin"; cp "$0" "$last/bin/python"; echo > "$last/pyvenv.cfg" ;;
  "-m pip --version") ;;
  "-m pip install"*) for last; do :; done; {pip}; echo "installed ${{last##*/}}" >> "{notes}" ;;
  "-P -m letta_ade.cli"*) shift 3; for each; do echo "argument [$each]"; done; echo "path $PYTHONPATH"; exit 7 ;;
  *) echo "unexpected: $*"; exit 99 ;;
esac
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    code: int
    out: str
    err: str


class Machine:
    """A checkout with nothing but the launcher and the locks, and a PATH of our choice."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "a check out"
        self.path = folder / "bin"
        self.notes = folder / "notes"
        for made in (self.checkout, self.path):
            made.mkdir()
        shutil.copy(ROOT / "ade", self.checkout)
        for lock in ("requirements.lock", "requirements-dev.lock"):
            (self.checkout / lock).write_text(f"# {lock}\n")
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (self.path / tool).symlink_to(found)

    def add_python(
        self,
        name: str = "python3.12",
        *,
        version: str = "",
        ensurepip: str = "",
        venv: str = "",
        pip: str = "",
    ) -> None:
        script = PYTHON.format(
            version=version or "exit 0",
            ensurepip=ensurepip or "exit 0",
            venv=venv or ":",
            pip=pip or ":",
            notes=self.notes,
        )
        (self.path / name).write_text(script)
        (self.path / name).chmod(0o755)

    def ade(self, *arguments: str, program: Path | None = None, **environment: str) -> Result:
        done = subprocess.run(
            [program or self.checkout / "ade", *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.path,
            env={"PATH": str(self.path), **environment},
        )
        return Result(code=done.returncode, out=done.stdout, err=done.stderr)

    def installed(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def assert_one_sentence(result: Result, expected: str) -> None:
    said = [line for line in result.err.splitlines() if not line.endswith("once)")]
    assert result.code == 1
    assert len(said) == 1, result.err
    assert said[0].startswith("ade: ")
    assert expected in said[0]


def test_the_first_start_installs_and_hands_over(machine: Machine) -> None:
    machine.add_python()
    result = machine.ade("up", "--port", "8 4")
    assert result.code == 7, result.err
    assert "argument [up]\nargument [--port]\nargument [8 4]\n" in result.out
    assert f"path {machine.checkout}" in result.out
    assert machine.installed() == ["installed requirements.lock"]


def test_later_starts_install_nothing(machine: Machine) -> None:
    machine.add_python()
    machine.ade("up")
    assert machine.ade("up") == Result(code=7, out=f"argument [up]\npath {machine.checkout}\n", err="")
    assert len(machine.installed()) == 1


def test_a_changed_lock_is_installed_again(machine: Machine) -> None:
    machine.add_python()
    machine.ade("up")
    (machine.checkout / "requirements.lock").write_text("# another\n")
    machine.ade("up")
    assert machine.installed() == ["installed requirements.lock"] * 2


def test_the_tests_take_the_development_lock(machine: Machine) -> None:
    machine.add_python()
    machine.ade("test", "-k", "name")
    assert machine.installed() == ["installed requirements-dev.lock"]


def test_an_environment_whose_python_is_gone_is_made_again(machine: Machine) -> None:
    machine.add_python()
    machine.ade("up")
    (machine.checkout / ".venv/bin/python").unlink()
    (machine.checkout / ".venv/bin/python").symlink_to("/nowhere/python")
    assert machine.ade("up").code == 7
    assert len(machine.installed()) == 2


def test_it_works_through_a_link(machine: Machine, tmp_path: Path) -> None:
    machine.add_python()
    (tmp_path / "link").symlink_to(machine.checkout / "ade")
    assert f"path {machine.checkout}" in machine.ade("up", program=tmp_path / "link").out


def test_help_needs_no_installation(machine: Machine) -> None:
    machine.add_python()
    assert machine.ade("--help").code == 7
    assert machine.installed() == []


def test_the_environment_can_be_elsewhere(machine: Machine, tmp_path: Path) -> None:
    machine.add_python()
    assert machine.ade("up", ADE_VENV=str(tmp_path / "elsewhere")).code == 7
    assert not (machine.checkout / ".venv").exists()


def test_a_folder_that_is_no_environment_is_not_overwritten(machine: Machine, tmp_path: Path) -> None:
    machine.add_python()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter").write_text("dear")
    result = machine.ade("up", ADE_VENV=str(tmp_path / "mine"))
    assert_one_sentence(result, "is not a virtual environment")
    assert (tmp_path / "mine" / "letter").read_text() == "dear"


def test_no_python_is_one_sentence(machine: Machine) -> None:
    assert_one_sentence(machine.ade("up"), "Python 3.11 or newer is needed")


def test_an_old_python_is_one_sentence(machine: Machine) -> None:
    machine.add_python("python3", version="exit 1")
    assert_one_sentence(machine.ade("up"), "Python 3.11 or newer is needed")


def test_a_python_without_ensurepip_is_one_sentence(machine: Machine) -> None:
    machine.add_python("python3", ensurepip="exit 1")
    assert_one_sentence(machine.ade("up"), "apt install python3-venv")


def test_a_python_without_ensurepip_is_passed_over_for_one_with_it(machine: Machine) -> None:
    machine.add_python("python3.13", ensurepip="exit 1")
    machine.add_python("python3.11")
    assert machine.ade("up").code == 7


def test_uv_stands_in_for_a_python(machine: Machine) -> None:
    machine.add_python("template")
    (machine.path / "uv").write_text(
        "#!/bin/sh\n"
        'if [ "$1" = venv ]; then for last; do :; done; mkdir -p "$last/bin"; echo > "$last/pyvenv.cfg"\n'
        f'cp "{machine.path}/template" "$last/bin/python"\n'
        f'else for last; do :; done; echo "uv ${{last##*/}}" >> "{machine.notes}"; fi\n'
    )
    (machine.path / "uv").chmod(0o755)
    assert machine.ade("up").code == 7
    assert machine.installed() == ["uv requirements.lock"]


@pytest.mark.parametrize("step", ["venv", "pip"])
@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("OSError: [Errno 28] No space left on device", "The disk is full"),
        ("[Errno 13] Permission denied: x", "cannot be written"),
        ("NewConnectionError: Temporary failure in name resolution", "needs the network once"),
        ("something odd", "did not work: something odd"),
    ],
)
def test_a_failed_step_is_one_sentence(machine: Machine, step: str, said: str, sentence: str) -> None:
    failure = f"echo 'Traceback' >&2; echo '{said}' >&2; exit 1"
    machine.add_python(**{step: failure})
    assert_one_sentence(machine.ade("up"), sentence)


def test_a_full_disk_is_told_from_the_disk_when_the_program_does_not_say_it(machine: Machine) -> None:
    (machine.path / "df").unlink()
    (machine.path / "df").write_text("#!/bin/sh\necho Filesystem\necho 'tmpfs  100 99  1 99% /'\n")
    (machine.path / "df").chmod(0o755)
    machine.add_python(venv="echo 'ensurepip returned non-zero exit status 1'; exit 1")
    assert_one_sentence(machine.ade("up"), "The disk is full")


def test_a_failed_installation_is_done_again_at_the_next_start(machine: Machine) -> None:
    machine.add_python(pip=f'[ -e "{machine.notes}.ready" ] || exit 1')
    assert machine.ade("up").code == 1
    Path(f"{machine.notes}.ready").touch()
    assert machine.ade("up").code == 7


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_checkout_that_cannot_be_written_is_one_sentence(machine: Machine) -> None:
    machine.add_python(venv='mkdir "$last" || exit 1')
    machine.checkout.chmod(0o500)
    assert_one_sentence(machine.ade("up"), "cannot be written")
    machine.checkout.chmod(0o700)
