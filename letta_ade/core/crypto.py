"""Secrets at rest: encrypted with a key made from the server's secret key."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings

from letta_ade.core.errors import AdeError


class SecretUnreadable(AdeError):
    """A stored secret cannot be decrypted: the server's secret key (secret.key or ADE_SECRET_KEY) has changed."""


@lru_cache(maxsize=4)
def _cipher(secret_key: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"ade secrets\0" + secret_key.encode()).digest()))


def encrypt(text: str) -> str:
    """The text, encrypted and authenticated; printable."""
    return _cipher(settings.SECRET_KEY).encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """What `encrypt` was given. Raises SecretUnreadable."""
    try:
        return _cipher(settings.SECRET_KEY).decrypt(token.encode()).decode()
    except InvalidToken:
        raise SecretUnreadable from None
