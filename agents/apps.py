"""Agents, conversations and runs as a Django app."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"

    def ready(self) -> None:
        from agents import builtin_tools, multi_agent_tools

        builtin_tools.register()
        multi_agent_tools.register()
