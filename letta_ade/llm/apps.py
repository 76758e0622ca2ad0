"""Model providers as a Django app."""

from django.apps import AppConfig


class LlmConfig(AppConfig):
    name = "letta_ade.llm"
    label = "llm"
