"""`ade createuser`, `ade passwd` and `ade apikey`: who may come in when the server is open to more than its own machine."""

from __future__ import annotations

import getpass
import sys

from letta_ade.commands.database import CommandFailed, database, migrate


def create_user(*, email: str, name: str, role: str) -> None:
    password = _read_password()
    with database():
        migrate()
        from letta_ade.accounts.services.users import create_user as create

        user = create(email=email, name=name, password=password, role=role)
        print(f"Made {user.email}, {role}.")


def set_password(*, email: str) -> None:
    password = _read_password()
    with database():
        migrate()
        from letta_ade.accounts.services.users import reset_password

        user = reset_password(email=email, new=password)
        print(f"{user.email} signs in with the new password now, and nowhere with the old one.")


def _read_password() -> str:
    """Typed twice at a terminal, else the first line of the input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise CommandFailed("The two passwords differ.")
    return password


def create_key(*, name: str, email: str | None, role: str | None) -> None:
    with database():
        migrate()
        from letta_ade.accounts.models import Member, Role, User
        from letta_ade.accounts.services.api_keys import create_api_key

        member = None
        if email:
            member = (
                Member.objects.select_related("user", "workspace").filter(user__email=email.lower()).first()
            )
            if member is None:
                known = (
                    ", ".join(User.objects.order_by("email").values_list("email", flat=True)[:10]) or "none"
                )
                raise CommandFailed(f"There is no user {email!r}. Known: {known}.")
        created = create_api_key(
            name=name,
            user=member.user if member else None,
            role=role or (member.role if member else Role.EDITOR),
            workspace=member.workspace if member else None,
        )
        print(created.secret)
        print(
            "This key is shown only now. Keep it, and send it as a bearer token (api_key in the SDK).",
            file=sys.stderr,
        )
