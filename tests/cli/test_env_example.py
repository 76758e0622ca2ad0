"""Whatever the environment can set is listed in .env.example, and nothing else is."""

from __future__ import annotations

import re
from pathlib import Path

from letta_ade.cli import ROOT
from letta_ade.llm.environment import PROVIDER_VARIABLES

#: Read by the launcher, before Python runs.
LAUNCHER = {"ADE_VENV"}


def listed() -> set[str]:
    text = (ROOT / ".env.example").read_text()
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]+)=", text, flags=re.MULTILINE))


def read_by_settings() -> set[str]:
    text = Path(ROOT / "letta_ade" / "settings.py").read_text()
    return set(re.findall(r'\benv(?:_flag|_int|_list|_numbers)?\(\s*"([A-Z0-9_]+)"', text))


def test_every_variable_is_listed() -> None:
    assert (read_by_settings() | set(PROVIDER_VARIABLES) | LAUNCHER) - listed() == set()


def test_nothing_is_listed_that_nobody_reads() -> None:
    assert listed() - read_by_settings() - set(PROVIDER_VARIABLES) - LAUNCHER == set()


def test_every_variable_of_the_server_has_a_sentence() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"#(ADE|LETTA)_", line):
            above = next(text for text in reversed(lines[:number]) if not re.match(r"#[A-Z_]+=", text))
            assert above.startswith("# "), f"{line} has no sentence above it"
