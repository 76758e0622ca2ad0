"""The commands beside `up`, each as a person types it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from letta_ade import cli
from tests.support.commands import ENVIRONMENT, ade


def test_help_names_every_command() -> None:
    said = ade("--help").stdout
    assert all(
        f"\n  {name} " in said
        for name in ("up", "test", "worker", "createuser", "passwd", "apikey", "doctor")
    )


def test_no_command_shows_the_help() -> None:
    assert ade().stdout == ade("--help").stdout


def test_an_unknown_command_is_refused() -> None:
    refused = ade("frobnicate")
    assert refused.returncode == 2
    assert "invalid choice: 'frobnicate'" in refused.stderr


def test_a_user_is_made_with_a_password_from_the_input(data_dir: Path) -> None:
    made = ade(
        "createuser",
        "Ada@Example.org",
        "--role",
        "owner",
        stdin="a long password\n",
        ADE_DATA_DIR=str(data_dir),
    )
    assert (made.returncode, made.stdout) == (0, "Made ada@example.org, owner.\n")
    again = ade("createuser", "ada@example.org", stdin="a long password\n", ADE_DATA_DIR=str(data_dir))
    assert (again.returncode, again.stderr) == (1, "ade: There is already a user 'ada@example.org'.\n")


def test_a_weak_password_is_refused(data_dir: Path) -> None:
    refused = ade("createuser", "ada@example.org", stdin="short\n", ADE_DATA_DIR=str(data_dir))
    assert refused.returncode == 1
    assert "too short" in refused.stderr


def test_a_forgotten_password_is_set_anew(data_dir: Path) -> None:
    ade("createuser", "ada@example.org", stdin="a long password\n", ADE_DATA_DIR=str(data_dir))
    done = ade("passwd", "Ada@Example.org", stdin="another long password\n", ADE_DATA_DIR=str(data_dir))
    assert (done.returncode, done.stdout) == (
        0,
        "ada@example.org signs in with the new password now, and nowhere with the old one.\n",
    )
    weak = ade("passwd", "ada@example.org", stdin="short\n", ADE_DATA_DIR=str(data_dir))
    assert (weak.returncode, "too short" in weak.stderr) == (1, True)
    nobody = ade("passwd", "bob@example.org", stdin="a long password\n", ADE_DATA_DIR=str(data_dir))
    assert (nobody.returncode, nobody.stderr) == (1, "ade: There is no user 'bob@example.org'.\n")


def test_a_key_is_the_only_output(data_dir: Path) -> None:
    made = ade("apikey", "my program", ADE_DATA_DIR=str(data_dir))
    assert made.returncode == 0
    assert made.stdout.startswith("sk-ade-")
    assert len(made.stdout.splitlines()) == 1
    assert "shown only now" in made.stderr


def test_a_key_for_nobody_is_refused(data_dir: Path) -> None:
    refused = ade("apikey", "x", "--user", "nobody@example.org", ADE_DATA_DIR=str(data_dir))
    assert (refused.returncode, refused.stderr) == (
        1,
        "ade: There is no user 'nobody@example.org'. Known: local@localhost.\n",
    )


def test_a_worker_works_until_a_signal(data_dir: Path) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "letta_ade.cli", "worker"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=cli.ROOT,
        env={**ENVIRONMENT, "ADE_DATA_DIR": str(data_dir)},
    )
    assert worker.stderr
    assert worker.stderr.readline() == f"Working on the jobs of {data_dir}. Ctrl-C stops.\n"
    worker.send_signal(signal.SIGTERM)
    _, said = worker.communicate(timeout=20)
    assert said == ""
    assert worker.returncode == 0


def test_the_doctor_finds_nothing_wrong(data_dir: Path) -> None:
    report = ade("doctor", ADE_DATA_DIR=str(data_dir), ADE_PORT="0")
    assert report.returncode == 0, report.stdout
    assert "ok    pgvector" in report.stdout
    assert "ok    migrations   nothing to do" in report.stdout
    assert report.stdout.endswith("All is well.\n")


def test_the_doctor_finds_a_key_that_others_can_read(data_dir: Path) -> None:
    (data_dir / "secret.key").chmod(0o644)
    report = ade("doctor", ADE_DATA_DIR=str(data_dir), ADE_PORT="0")
    assert report.returncode == 1
    assert "bad   data folder  " in report.stdout
    assert "chmod 600 it" in report.stdout


def test_the_doctor_survives_a_database_that_is_away(tmp_path: Path) -> None:
    report = ade(
        "doctor", ADE_DATA_DIR=str(tmp_path / "d"), DATABASE_URL="postgresql://127.0.0.1:9/x", ADE_PORT="0"
    )
    assert report.returncode == 1
    assert "bad   database     DATABASE_URL does not answer" in report.stdout
    assert "1 problem to solve." in report.stdout


def test_a_database_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    refused = ade("apikey", "x", ADE_DATA_DIR=str(tmp_path / "d"), DATABASE_URL="postgresql://127.0.0.1:9/x")
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "The database does not answer" in refused.stderr


def test_an_env_file_gives_what_the_environment_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / ".env"
    file.write_text(
        "# words\n\nADE_ONE=1\nexport ADE_TWO = 'two words'\nADE_THREE=\"3=3\"\nADE_FOUR=no\nnonsense\n"
    )
    for name in ("ADE_ONE", "ADE_TWO", "ADE_THREE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("ADE_FOUR", "yes")
    cli._read_env_file(file)
    assert [os.environ[f"ADE_{name}"] for name in ("ONE", "TWO", "THREE", "FOUR")] == [
        "1",
        "two words",
        "3=3",
        "yes",
    ]
