"""Users and their place in a workspace."""

from __future__ import annotations

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from letta_ade.accounts.models import Member, Role, User, Workspace
from letta_ade.accounts.services.workspaces import get_local_workspace
from letta_ade.core.errors import Conflict, Invalid


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
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages)) from error
    if User.objects.filter(email=email).exists():
        raise Conflict(f"There is already a user {email!r}.")
    user.set_password(password)
    with transaction.atomic():
        user.save()
        Member.objects.create(workspace=workspace or get_local_workspace(), user=user, role=role)
    return user
