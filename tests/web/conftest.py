"""A browser without a screen: the owner in local mode, and people who sign in.

pytest may load this file before Django is set up (tests/conftest.py), so what needs Django is imported in the fixtures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from django.test import Client

    from tests.web.pages import SignIn


@pytest.fixture
def browser(db: None) -> Client:
    """The owner, on the machine itself."""
    from django.test import Client

    from tests.support.factories import local_workspace

    local_workspace()
    return Client(headers={"host": "localhost:8283"})


@pytest.fixture
def sign_in(db: None) -> SignIn:
    """A browser of a user with a role."""
    from django.test import Client

    from letta_ade.accounts.services.users import create_user
    from tests.support.factories import local_workspace
    from tests.web.pages import PASSWORD

    local_workspace()

    def sign_in(role: str) -> Client:
        user = create_user(
            email=f"{role}@example.org", password=PASSWORD, name=f"{role.title()} Person", role=role
        )
        client = Client(headers={"host": "localhost:8283"})
        client.force_login(user)
        return client

    return sign_in
