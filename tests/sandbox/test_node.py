"""JavaScript and TypeScript in the sandbox, where there is Node."""

from __future__ import annotations

import pytest

from tests.support.sandboxes import QUICK, asked
from tools.sandbox import place
from tools.sandbox.port import Limits, Requirement

needs_node = pytest.mark.skipif(place.node_program() is None, reason="Node is not installed")


def js(source: str, function: str | None = "f", **fields):
    return asked(source, function, language=fields.pop("language", "javascript"), **fields)


@needs_node
async def test_a_function_gets_its_arguments_by_name(sandbox):
    source = """
    export async function f(city, days = 2, unit) {
      console.log("for", city);
      return { city, days, unit: unit ?? null, secret: process.env.TOKEN };
    }
    """
    result = await sandbox.run(
        js(source, arguments={"days": 5, "city": "Oslo"}, secrets={"TOKEN": "tok-123"})
    )
    assert result.value == {"city": "Oslo", "days": 5, "unit": None, "secret": "[secret TOKEN]"}, result
    assert result.stdout == "for Oslo\n"


@needs_node
@pytest.mark.parametrize(
    "head",
    [
        "function f(a, b, c)",
        "async function f(a = [1, 2], b = {x: 1, y: '),'}, c = (1, 2))",
        "function f(a /* one, two */, b = `,)${1}`, // three, four\n  c,)",
        "function f({ a, b, c })",
        "function f({ a, b = [3, 4] } = {}, c)",
        "const f = (a, b, c) =>",
        "const f = async (a = g(1, [2]), b, c = 'it\\'s, ') =>",
    ],
)
async def test_defaults_and_comments_do_not_move_the_arguments(sandbox, head):
    source = f"function g() {{ return 1 }}\nexport {head} {{ return [a, b, c] }}"
    result = await sandbox.run(js(source, arguments={"c": 3, "a": 1, "b": 2}))
    assert result.value == [1, 2, 3], result


@needs_node
async def test_a_function_with_one_bare_parameter_gets_it(sandbox):
    assert (await sandbox.run(js("export const f = a => [a]", arguments={"a": 1}))).value == [1]
    assert (await sandbox.run(js("export function f() { return arguments.length }"))).value == 0


@needs_node
@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        ("export function f() { throw new RangeError('too far') }", "exception", "too far"),
        ("export function f( {", "syntax", ""),
        ("export function g() {}", "syntax", "f"),
        ("export function f() { const a = {}; a.a = a; return a }", "exception", "circular"),
        ("export function f() { process.exit(0) }", "killed", "exit code 0"),
    ],
)
async def test_what_goes_wrong_is_said(sandbox, source, kind, words):
    result = await sandbox.run(js(source))
    assert result.error is not None, result
    assert result.error.kind == kind, result
    assert words in result.error.message


@needs_node
async def test_names_of_prototypes_are_plain_arguments(sandbox):
    source = "export function f(constructor, toString) { return [constructor ?? null, toString ?? null, ({}).polluted ?? null] }"
    arguments = {"__proto__": {"polluted": 1}, "constructor": "a"}
    assert (await sandbox.run(js(source, arguments=arguments))).value == ["a", None, None]


@needs_node
async def test_it_is_confined_as_python_is(sandbox, tmp_path):
    (tmp_path / "secret").write_text("secret")
    source = """
    import fs from "node:fs";
    import net from "node:net";
    const tried = (call) => { try { return String(call()) } catch (error) { return error.code ?? String(error) } };
    export async function f(path) {
      const connected = await new Promise((done) => {
        const attempt = net.connect(80, "127.0.0.1");
        attempt.on("connect", () => done("connected")).on("error", (error) => done(error.code));
      });
      const files = [() => fs.readFileSync(path), () => fs.readdirSync("/proc"), () => fs.readFileSync("/etc/passwd")];
      return [...files.map(tried), connected];
    }
    """
    result = await sandbox.run(js(source, arguments={"path": str(tmp_path / "secret")}))
    assert result.error is None, result
    assert set(result.value) <= {"ENOENT", "EACCES", "EPERM"}


@needs_node
async def test_a_script_gives_the_value_of_its_last_expression(sandbox):
    result = await sandbox.run(js("const x = 2; console.log('hi'); x * 21", None))
    assert (result.value, result.stdout) == ("42", "hi\n")
    awaited = await sandbox.run(js("const x = await Promise.resolve(2); console.log(x)", None))
    assert (awaited.value, awaited.stdout) == (None, "2\n"), awaited


@needs_node
async def test_an_endless_script_ends_with_its_time(sandbox):
    result = await sandbox.run(js("for (;;) {}", None, limits=Limits(seconds=1.0)))
    assert result.error is not None
    assert result.error.kind == "timeout"


@needs_node
async def test_typescript_runs_where_node_strips_types_and_is_refused_where_not(sandbox):
    result = await sandbox.run(
        js("export function f(n: number): number { return n + 1 }", language="typescript", arguments={"n": 1})
    )
    if result.error is None:
        assert result.value == 2
    else:
        assert "TypeScript needs Node 22.13 or newer" in result.error.message


@needs_node
async def test_packages_of_npm_are_refused_with_a_reason(sandbox):
    result = await sandbox.run(js("export function f() {}", requirements=(Requirement(name="lodash"),)))
    assert result.error is not None
    assert "npm" in result.error.message


async def test_without_node_it_is_refused(sandbox, monkeypatch):
    monkeypatch.setattr(place, "node_program", lambda: None)
    result = await sandbox.run(js("1", None, limits=QUICK))
    assert result.error is not None
    assert "needs Node" in result.error.message
