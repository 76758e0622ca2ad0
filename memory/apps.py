"""Blocks and archives as a Django app."""

from django.apps import AppConfig


class MemoryConfig(AppConfig):
    name = "memory"
