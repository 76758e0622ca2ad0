"""Workspaces, members and keys as a Django app."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "letta_ade.accounts"
    label = "accounts"
