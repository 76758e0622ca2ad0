"""The schema of a tool from TypeScript: its signature and the comment above."""

from __future__ import annotations

from typing import Any

import pytest

from tools.schemas.errors import SchemaError
from tools.schemas.typescript import derive_typescript_schema

SOURCE = """
import { x } from "y"; // export function commented(
const text = `export function quoted(a: string)`;
/** A helper. */
function helper(a: number) {}

/**
 * Book a table.
 *
 * It may take a while, see export function other().
 *
 * @param guests - How many people.
 * @param {string} [day=today] Which
 *   day.
 * @returns The number.
 */
export async function book(
  guests: number, // how many, of them
  day: string = "today",
): Promise<string> {
  return helper(")");
}
"""


def test_signature_and_comment_make_the_schema():
    assert derive_typescript_schema(SOURCE) == {
        "name": "book",
        "description": "Book a table.\n\nIt may take a while, see export function other().",
        "parameters": {
            "type": "object",
            "properties": {
                "guests": {"type": "number", "description": "How many people."},
                "day": {"type": "string", "description": "Which day."},
            },
            "required": ["guests"],
        },
    }


@pytest.mark.parametrize(
    ("parameter", "schema", "is_required"),
    [
        ("x: string", {"type": "string"}, True),
        ("x?: boolean", {"type": "boolean"}, False),
        ("x: number | undefined", {"type": "number"}, False),
        ("x: number | null", {"type": "number"}, True),
        ("x", {"type": "string"}, True),
        ("x: Foo<Bar, Baz>", {"type": "string"}, True),
        ("x: string[]", {"type": "array", "items": {"type": "string"}}, True),
        ("x: readonly number[]", {"type": "array", "items": {"type": "number"}}, True),
        (
            "x: Array<Array<boolean>> = []",
            {"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}},
            False,
        ),
        ("x: 'a' | \"b\"", {"type": "string", "enum": ["a", "b"]}, True),
        ("x: ('a' | 'b')[]", {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}, True),
        ("x: 1 | 2", {"type": "integer", "enum": [1, 2]}, True),
        ("x: string | number", {"anyOf": [{"type": "string"}, {"type": "number"}]}, True),
        ("x: object", {"type": "object"}, True),
        ("x: Record<string, number[]>", {"type": "object"}, True),
        ("x: (a: string, b: number) => void", {"type": "string"}, True),
        (
            "x: { a: string; b?: number[], c: 'x' | 'y' }",
            {
                "type": "object",
                "properties": {
                    "a": {"type": "string"},
                    "b": {"type": "array", "items": {"type": "number"}},
                    "c": {"type": "string", "enum": ["x", "y"]},
                },
                "required": ["a", "c"],
            },
            True,
        ),
        ("x: /* not number */ string /* nor | null */", {"type": "string"}, True),
        ("x: 'a // b' | 'c'", {"type": "string", "enum": ["a // b", "c"]}, True),
        ("x: Foo = { a: 1, b: [2, 3] }", {"type": "string"}, False),
    ],
)
def test_a_type_has_its_schema(parameter: str, schema: dict[str, Any], is_required: bool) -> None:
    derived = derive_typescript_schema(f"export function act<T extends Map<string, T>>({parameter}) {{}}")
    assert derived["parameters"] == {
        "type": "object",
        "properties": {"x": {**schema, "description": ""}},
        "required": ["x"] if is_required else [],
    }


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("function act() {}", None, "no exported function"),
        ("// export function act() {}", None, "no exported function"),
        ("/* export function act() {}", None, "no exported function"),
        ("\nexport function act {}", 2, "no list of arguments"),
        ("export function act(x: string", 1, "not closed"),
        ("export function act(x: string]) {}", 1, "not closed"),
        ("export function act(\n  { a, b }: Foo,\n) {}", 2, "no plain name"),
        ("export function act(\n  ...rest: string[]) {}", 2, "no plain name"),
        ("export function act(x: string,\nx: number) {}", 2, "'x' is there twice"),
        ("#" * 1_000_001, None, "too long"),
        (f"export function act(x: {'Array<' * 3000}string{'>' * 3000}) {{}}", 1, "nested too deeply"),
    ],
)
def test_a_source_without_a_signature_is_told_with_its_line(
    source: str, line: int | None, message: str
) -> None:
    with pytest.raises(SchemaError) as caught:
        derive_typescript_schema(source)
    assert message in caught.value.message
    assert caught.value.line == line
