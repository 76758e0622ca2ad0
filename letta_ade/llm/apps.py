"""Model providers as a Django app."""

from django.apps import AppConfig


class LlmConfig(AppConfig):
    name = "letta_ade.llm"
    label = "llm"

    def ready(self) -> None:
        # Models exist only now.
        from letta_ade.llm.provider_store import use_store
        from letta_ade.llm.services.stored_providers import StoredProviders

        use_store(StoredProviders())
