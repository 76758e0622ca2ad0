"""The command line: `./ade` in a checkout, `ade` and `letta-ade` where it is installed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IS_CHECKOUT = (ROOT / "ade").exists()
PROGRAM = "./ade" if IS_CHECKOUT else "ade"

DESCRIPTION = """\
Letta ADE: a server for agents with durable memory, and the workbench in which people build them.

commands:
  up           start everything and say where it is: web pages, API, runs, jobs and database
  test         run the tests; further arguments go to pytest
  worker       work on jobs only, beside a running server
  createuser   make a user who can log in
  passwd       set a user's password that was forgotten
  apikey       make a key for a program; it is shown once
  doctor       look at what the server needs and say what is wrong

Begin with `{program} up`. Help for one command: `{program} up --help`.
"""

EPILOG = """\
Everything that `up` decides has an environment name too; .env.example lists them, and a file .env is read
at start. ADE_DATA_DIR is the folder that holds all local state.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. What goes wrong in a way we know is one sentence, not a traceback."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["test"] and given[1:2] not in (["-h"], ["--help"]):
        return _test(given[1:])  # everything after it is pytest's
    parser = _parser()
    options = parser.parse_args(given)
    if options.command is None:
        parser.print_help()
        return 0
    os.environ["DJANGO_SETTINGS_MODULE"] = "letta_ade.settings"
    _read_env_file(ROOT / ".env" if IS_CHECKOUT else Path.cwd() / ".env")
    return _guarded(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=DESCRIPTION.format(program=PROGRAM),
        epilog=EPILOG.format(program=PROGRAM),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="command", help=argparse.SUPPRESS)

    up = commands.add_parser("up", description="start the server: web pages, API, runs, jobs and database")
    up.add_argument("--host", metavar="ADDRESS", help="listen here (default 127.0.0.1; ADE_HOST)")
    up.add_argument(
        "--port", type=int, metavar="N", help="and on this port (default 8283; 0 takes a free one; ADE_PORT)"
    )
    up.add_argument("--workers", type=int, metavar="N", help="web processes (default 1; ADE_WORKERS)")
    up.add_argument(
        "--server", choices=["uvicorn", "daphne"], help="what carries the web (default uvicorn; ADE_SERVER)"
    )
    up.set_defaults(run=_up)

    test = commands.add_parser(
        "test", description="run the tests; further arguments go to pytest", add_help=True
    )
    test.set_defaults(run=None)

    worker = commands.add_parser("worker", description="work on jobs only, beside a running server")
    worker.set_defaults(run=_worker)

    user = commands.add_parser("createuser", description="make a user who can log in")
    user.add_argument("email")
    user.add_argument("--name", default="", help="shown beside what the user does")
    user.add_argument("--role", default="editor", choices=["owner", "editor", "reviewer", "viewer"])
    user.set_defaults(run=_create_user)

    password = commands.add_parser(
        "passwd",
        description="set a user's password that was forgotten; it is asked for, or read from the input",
    )
    password.add_argument("email")
    password.set_defaults(run=_set_password)

    key = commands.add_parser("apikey", description="make a key for a program; it is shown once")
    key.add_argument("name", help="what the key is for")
    key.add_argument("--user", metavar="EMAIL", help="whose key it is")
    key.add_argument(
        "--role", choices=["owner", "editor", "reviewer", "viewer"], help="default: the user's, or editor"
    )
    key.set_defaults(run=_create_key)

    doctor = commands.add_parser("doctor", description="look at what the server needs and say what is wrong")
    doctor.set_defaults(run=_doctor)
    return parser


def _guarded(options: argparse.Namespace) -> int:
    from django.core.exceptions import ImproperlyConfigured

    from letta_ade.core.errors import AdeError

    run: Callable[[argparse.Namespace], int | None] = options.run
    try:
        return run(options) or 0
    except (AdeError, ImproperlyConfigured) as error:
        return _complain(str(error))
    except PermissionError as error:
        return _complain(f"{error.filename} cannot be written or read: permission denied.")
    except OSError as error:
        if error.filename is None:
            raise
        return _complain(f"{error.filename}: {error.strerror}.")
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if (
            type(error).__name__ == "OperationalError"
        ):  # Django's or psycopg's; neither is imported for every command
            return _complain(f"The database does not answer: {str(error).strip().splitlines()[0]}")
        raise


def _complain(sentence: str) -> int:
    print(f"ade: {sentence}", file=sys.stderr)
    return 1


def _read_env_file(path: Path) -> None:
    """`NAME=value` lines; what the environment has already stays."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            os.environ.setdefault(name.strip(), value)


def _version() -> str:
    from letta_ade.core.version import product_version

    return product_version()


def _up(options: argparse.Namespace) -> None:
    for name in ("host", "port", "workers", "server"):
        if (value := getattr(options, name)) is not None:
            os.environ[f"ADE_{name.upper()}"] = str(value)
    from letta_ade.commands import up

    up.run()


def _test(arguments: list[str]) -> int:  # noqa: RET503  # execv does not return
    if not (ROOT / "tests").is_dir():
        return _complain("The tests come with the source: clone the repository and run ./ade test there.")
    os.chdir(ROOT)
    command = [sys.executable, "-m", "pytest"]
    if not any(argument.startswith(("-n", "--numprocesses", "--pdb")) for argument in arguments):
        command += ["-n", "auto", "--dist", "loadgroup"]
    sys.stdout.flush()
    os.execv(sys.executable, command + arguments)


def _worker(options: argparse.Namespace) -> None:
    from letta_ade.commands import worker

    worker.run()


def _create_user(options: argparse.Namespace) -> None:
    from letta_ade.commands import people

    people.create_user(email=options.email, name=options.name, role=options.role)


def _set_password(options: argparse.Namespace) -> None:
    from letta_ade.commands import people

    people.set_password(email=options.email)


def _create_key(options: argparse.Namespace) -> None:
    from letta_ade.commands import people

    people.create_key(name=options.name, email=options.user, role=options.role)


def _doctor(options: argparse.Namespace) -> int:
    from letta_ade.commands import doctor

    return doctor.run()


if __name__ == "__main__":
    sys.exit(main())
