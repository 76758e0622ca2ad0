"""Users and their place in a workspace."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from letta_ade.accounts.models import Member, Role, User, Workspace
from letta_ade.accounts.services.workspaces import get_local_workspace
from letta_ade.core.errors import Conflict, Invalid, NotAllowed, NotFound
from letta_ade.core.ids import LOCAL_USER_ID


class WrongPassword(Invalid):
    """This is not your current password."""


class WeakPassword(Invalid):
    """This password is too easy to guess."""


def create_user(
    *, email: str, password: str, name: str = "", role: str = Role.EDITOR, workspace: Workspace | None = None
) -> User:
    """A new user who is a member of the workspace (default: the first one).

    Raises Invalid for a bad address, role or password, Conflict when the address is taken.
    """
    email = email.strip().lower()
    if role not in Role.values:
        raise Invalid(f"Role must be one of {', '.join(Role.values)}, not {role!r}.")
    user = User(email=email, name=name.strip())
    try:
        validate_email(email)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages)) from error
    _check_password(user, password)
    if User.objects.filter(email=email).exists():
        raise Conflict(f"There is already a user {email!r}.")
    user.set_password(password)
    with transaction.atomic():
        user.save()
        Member.objects.create(workspace=workspace or get_local_workspace(), user=user, role=role)
    return user


def change_password(*, user: User, current: str, new: str) -> None:
    """Give the person another password. Every session that knew the old one ends with the next request.

    Raises WrongPassword unless `current` is right, and WeakPassword for a new one that is weak or no other.
    """
    if not user.check_password(current):
        raise WrongPassword()
    if new == current:
        raise WeakPassword("This is the password that you have.")
    _set_password(user, new)


def reset_password(*, email: str, new: str) -> User:
    """Set a password that nobody remembers any more; for whoever runs the server. All sessions of the person end.

    Raises NotFound for an unknown address, WeakPassword, and NotAllowed for the user of trusted local mode.
    """
    user = User.objects.filter(email=email.strip().lower()).first()
    if user is None:
        raise NotFound(f"There is no user {email!r}.")
    if user.id == LOCAL_USER_ID:
        raise NotAllowed(f"{user.email} stands for this machine itself; nobody signs in as it.")
    _set_password(user, new)
    return user


def _set_password(user: User, password: str) -> None:
    _check_password(user, password)
    user.set_password(password)
    user.save(update_fields=["password", "updated_at"])


def _check_password(user: User, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise WeakPassword(" ".join(error.messages)) from error
