"""What stands between a tool and this server, in words."""

from __future__ import annotations

import sys
from typing import Literal

from django.conf import settings

from tools.sandbox import place
from tools.sandbox.port import Isolation
from tools.sandbox.zygotes import Facts

#: From this release on Node takes the types out of TypeScript.
_STRIPS_TYPES = (22, 13)
State = Literal["full", "partial", "unsafe", "off"]


def isolation_of(facts: Facts | None, with_network: Facts | None, *, problem: str = "") -> Isolation:
    """What a zygote has found, as the settings page, `ade doctor` and the log tell it."""
    if facts is None:
        return Isolation(
            state="off", summary=f"Tools written by users do not run: {problem}.", languages=_languages()
        )
    parts = {
        "bubblewrap": facts.is_bubblewrapped,
        "own file system": facts.private_root,
        "own process numbers": facts.pid_namespace,
        f"Landlock {facts.landlock}" if facts.landlock else "Landlock": facts.landlock > 0,
        "seccomp": facts.seccomp,
        "own account": facts.user_drop,
    }
    active = tuple(name for name, is_there in parts.items() if is_there)
    missing = [_why_not(name, facts) for name, is_there in parts.items() if not is_there]
    missing += facts.refusals
    state, summary = _judge(facts)
    return Isolation(
        state=state,
        summary=summary,
        active=active,
        missing=tuple(each for each in missing if each),
        has_network=with_network is not None and with_network.net != "none",
        languages=_languages(),
    )


def _judge(facts: Facts) -> tuple[State, str]:
    if facts.is_enough:
        if facts.private_root and facts.pid_namespace and facts.landlock:
            text = "Tools run isolated: they see neither this server's files and processes nor a network."
            return "full", text
        text = "Tools run isolated from this server's files and sockets; not all that we use is available."
        return "partial", text
    if settings.ALLOW_UNSANDBOXED:
        text = "because ADE_ALLOW_UNSANDBOXED=1: they can do what this server can."
        return "unsafe", f"Tools run WITHOUT full isolation, {text}"
    why = "this kernel gives no isolation (it needs seccomp, and Landlock or namespaces)"
    if sys.platform != "linux":
        why = "their sandbox needs Linux"
    elif facts.is_root and not facts.user_drop:
        why = "the server is root, and they cannot have an account of their own"
    return "off", f"Tools written by users do not run: {why}."


def _why_not(name: str, facts: Facts) -> str:
    switched_off = {"own file system": "namespaces"}.get(name, name.lower())
    if switched_off in settings.SANDBOX_WITHOUT:
        return f"{name}: switched off by ADE_SANDBOX_WITHOUT"
    match name:
        case "bubblewrap":
            return "" if facts.private_root else "bubblewrap: not installed, or not allowed here"
        case "own account":
            if facts.is_root:
                return (
                    "own account: not allowed here, or this Python lies in a folder that is closed to others"
                )
            return "" if facts.private_root else "own account: the server is not root"
        case "Landlock":
            return "Landlock: this kernel has none, or it is off (Linux 5.13 or newer)"
        case _:
            return f"{name}: not allowed on this system"


def _languages() -> dict[str, str | None]:
    node = None if place.node_program() else "Node is not installed on this server"
    types = node
    if node is None and (version := place.node_version()) < _STRIPS_TYPES:
        types = f"it needs Node 22.13 or newer, and this server has {'.'.join(map(str, version))}"
    return {"python": None, "javascript": node, "typescript": types}
