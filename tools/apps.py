"""Tools as a Django app."""

from django.apps import AppConfig


class ToolsConfig(AppConfig):
    name = "tools"

    def ready(self) -> None:
        from tools.builtin import (
            archival,
            core_memory,
            memory_patch,
            memory_tool,
            run_code,
            send_message,
            voice,
        )

        for builtin in (send_message, core_memory, memory_tool, memory_patch, archival, voice, run_code):
            builtin.register()
