"""What `ade up` says once it serves."""

from __future__ import annotations

import ipaddress
import os
import sys
import threading
from pathlib import Path

from django.conf import settings

from letta_ade.core.version import product_version

#: How the program is called here: from a checkout, or installed.
PROGRAM = "./ade" if (Path(__file__).resolve().parents[2] / "ade").exists() else "ade"

SNIPPET = """\
from letta_client import Letta

client = Letta({arguments})
agent = client.agents.create(
    model="{model}",
    memory_blocks=[{{"label": "human", "value": "Nothing is known yet."}}],
)
reply = client.agents.messages.create(agent.id, input="Hello, my name is Ada.")
print(reply.messages[-1].content)
"""


def display_url(host: str, port: int) -> str:
    """The address to open in a browser on this machine."""
    name = "localhost" if host in {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::", ""} else host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}{settings.URL_PREFIX}"


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def greet(url: str) -> None:
    """Say where the server is, what it found, and what to do next; in a thread, since it may ask providers."""
    threading.Thread(target=_greet, args=(url,), name="greeting", daemon=True).start()


def _greet(url: str) -> None:
    from letta_ade.accounts.auth import trusts_loopback
    from letta_ade.llm import catalog

    is_open = trusts_loopback()
    providers = ", ".join(f"{found.name} ({found.source})" for found in catalog.describe_environment())
    reach = "" if is_loopback(settings.HOST) else dim(" and every address of this machine")
    rows = [
        ("Open", bold(url) + reach),
        ("Data", str(settings.DATA_DIR)),
        ("Database", "the one of DATABASE_URL" if settings.DATABASE_URL else "embedded PostgreSQL 18"),
        ("Providers", providers),
        ("", dim("Add one by its key, such as OPENAI_API_KEY or ANTHROPIC_API_KEY, in the environment")),
        ("", dim("or in a file .env beside this program; .env.example names them all.")),
    ]
    if not is_open:
        rows += [
            ("Access", "everybody needs a login or a key:"),
            ("", f"{PROGRAM} createuser you@example.org --role owner"),
            ("", f"{PROGRAM} apikey my-program"),
        ]
    head = ["", f"  {bold('Letta ADE')} {dim(product_version())}", ""]
    _print(head + [f"  {dim(f'{label:10}')} {text}" for label, text in rows])
    arguments = f'base_url="{url}"' + ("" if is_open else ', api_key="sk-ade-…"')
    snippet = SNIPPET.format(arguments=arguments, model=catalog.suggested_handle())
    _print(["", f"  {dim('From Python, after `pip install letta-client`:')}", ""])
    _print([f"    {line}".rstrip() for line in snippet.splitlines()])
    _print(["", f"  {dim('Ctrl-C stops everything.')}", ""])


def _print(lines: list[str]) -> None:
    print("\n".join(lines), flush=True)


def say(text: str) -> None:
    """A line of progress; not a result, so not on the output."""
    print(dim(text), file=sys.stderr, flush=True)


def bold(text: str) -> str:
    return _styled(text, "1")


def dim(text: str) -> str:
    return _styled(text, "2")


def _styled(text: str, code: str) -> str:
    wanted = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    return f"\033[{code}m{text}\033[0m" if wanted else text
