"""Agents, conversations and runs as a Django app."""

from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"

    def ready(self) -> None:
        from agents import builtin_tools, multi_agent_tools
        from agents.services.tool_names import ToolNames
        from tools import followers

        builtin_tools.register()
        multi_agent_tools.register()
        followers.register(ToolNames())
