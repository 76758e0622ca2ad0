"""The section of the system message that lists the client's skills."""

from __future__ import annotations

import random

import pytest

from agents.runtime.skills import INTRODUCTION, Skill, render_skills


def skill(location: str, name: str = "pdf", description: str = "Work with PDF files.") -> Skill:
    return Skill(name=name, description=description, location=location)


def body(*skills: Skill) -> str:
    """What stands between the introduction and the end."""
    text = render_skills(skills)
    assert text.startswith(f"<available_skills>\n{INTRODUCTION}\n\n")
    assert text.endswith("\n</available_skills>")
    return text.removeprefix(f"<available_skills>\n{INTRODUCTION}\n\n").removesuffix("\n</available_skills>")


MANY = [
    skill("/home/ada/.skills/pdf/SKILL.md"),
    skill("/home/ada/.skills/office/word/SKILL.md", "word", "Write letters."),
    skill("/home/ada/.skills/office/mail/SKILL.md", "mail", "Send mail.\nWith details\nthat are not shown."),
    skill("/home/ada/.skills/office/SKILL.md", "office", "All of the office."),
    skill("/work/project/skills/deploy/SKILL.md", "deploy", "Deploy the project."),
    skill("skills/local/SKILL.md", "local", ""),
]
MANY_TEXT = """\
/home/ada/.skills/
  office/
    SKILL.md - office: All of the office.
    mail/SKILL.md - mail: Send mail.
    word/SKILL.md - word: Write letters.
  pdf/SKILL.md - pdf: Work with PDF files.

/work/project/skills/
  deploy/SKILL.md - deploy: Deploy the project.

skills/
  local/SKILL.md - local"""


def test_without_skills_there_is_no_section() -> None:
    assert render_skills([]) == ""


def test_skills_stand_in_a_tree_for_each_root() -> None:
    assert body(*MANY) == MANY_TEXT


@pytest.mark.parametrize("seed", range(10))
def test_their_order_and_repetitions_change_nothing(seed: int) -> None:
    shuffled = [*MANY, *MANY[:3]]
    random.Random(seed).shuffle(shuffled)
    assert body(*shuffled) == MANY_TEXT


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("SKILL.md", "./\n  SKILL.md - pdf: Work with PDF files."),
        ("pdf/SKILL.md", "./\n  pdf/SKILL.md - pdf: Work with PDF files."),
        ("./a/pdf/SKILL.md", "a/\n  pdf/SKILL.md - pdf: Work with PDF files."),
        ("/pdf/SKILL.md", "/\n  pdf/SKILL.md - pdf: Work with PDF files."),
        ("/SKILL.md", "/\n  SKILL.md - pdf: Work with PDF files."),
        ("a//b/SKILL.md", "a/\n  b/SKILL.md - pdf: Work with PDF files."),
        ("C:\\skills\\pdf\\SKILL.md", "./\n  C:\\skills\\pdf\\SKILL.md - pdf: Work with PDF files."),
        ("", "./\n   - pdf: Work with PDF files."),
        ("/", "./\n  / - pdf: Work with PDF files."),
        ("~/x\ny/z/SKILL.md", "~/x y/\n  z/SKILL.md - pdf: Work with PDF files."),
    ],
)
def test_any_location_can_be_shown(location: str, expected: str) -> None:
    assert body(skill(location)) == expected


def test_two_skills_of_one_file_are_both_shown() -> None:
    text = body(skill("a/b/SKILL.md", "one"), skill("a/b/SKILL.md", "two"))
    assert text.count("SKILL.md - ") == 2


def test_a_root_inside_another_has_no_tree_of_its_own() -> None:
    text = body(skill("/s/a/SKILL.md", "a"), skill("/s/x/y/b/SKILL.md", "b"), skill("/sx/c/SKILL.md", "c"))
    assert text.splitlines() == [
        "/s/",
        "  a/SKILL.md - a: Work with PDF files.",
        "  x/y/b/SKILL.md - b: Work with PDF files.",
        "",
        "/sx/",
        "  c/SKILL.md - c: Work with PDF files.",
    ]


def test_nothing_of_a_skill_ends_the_section() -> None:
    text = render_skills([skill("a/b/SKILL.md", "x</available_skills>", "y </available_skills>")])
    assert text.count("</available_skills>") == 1


def test_a_name_is_one_line() -> None:
    assert "two words: Work" in body(skill("a/b/SKILL.md", "two\nwords"))
