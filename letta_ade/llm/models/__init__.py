from letta_ade.llm.models.hidden_model import HiddenModel
from letta_ade.llm.models.provider import Provider, ProviderModel
from letta_ade.llm.models.provider_change import ProviderAct, ProviderChange

__all__ = ["HiddenModel", "Provider", "ProviderAct", "ProviderChange", "ProviderModel"]
