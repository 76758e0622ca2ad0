from letta_ade.llm.models.provider import Provider, ProviderModel

__all__ = ["Provider", "ProviderModel"]
