"""Tools as a Django app."""

from django.apps import AppConfig


class ToolsConfig(AppConfig):
    name = "tools"

    def ready(self) -> None:
        from tools.builtin import archival, core_memory

        core_memory.register()
        archival.register()
