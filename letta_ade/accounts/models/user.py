"""A person who logs in."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

from letta_ade.core.models import IdField, Timed


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractBaseUser, Timed):
    id = IdField(kind="user")
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    is_active = models.BooleanField(default=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return self.email

    def clean(self) -> Any:
        super().clean()
        self.email = self.email.lower()

    @property
    def display_name(self) -> str:
        return self.name or self.email.split("@")[0]
