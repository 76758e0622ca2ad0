"""Secrets at rest, encrypted with a key made from the server's secret key; and secrets made from it that need no rest."""

from __future__ import annotations

import base64
import hashlib
import hmac
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


def derived_secret(purpose: str, subject: str) -> str:
    """A secret of 256 bits for this purpose and subject, the same each time; another one once the server's secret key changes."""
    digest = hmac.new(
        settings.SECRET_KEY.encode(), f"ade {purpose}\0{subject}".encode(), hashlib.sha256
    ).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
