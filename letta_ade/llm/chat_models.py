"""The class that speaks a provider's protocol, for a model of it."""

from __future__ import annotations

from django.conf import settings

from letta_ade.core.errors import NotFound
from letta_ade.llm.client import ChatModel
from letta_ade.llm.profiles import model_profile
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.providers.anthropic import AnthropicChat, BedrockChat
from letta_ade.llm.providers.demo import DEMO_MODEL, DemoChat
from letta_ade.llm.providers.openai import OpenAIChat
from letta_ade.llm.providers.openai_responses import OpenAIResponses
from letta_ade.llm.providers.wire import Limits


def make_chat_model(config: ProviderConfig, name: str, *, base_model: str | None = None) -> ChatModel:
    """The model, ready to be called; nobody is asked. NotFound for another demonstration than the one there is.

    `base_model`: what the model is, where its name does not tell.
    """
    limits = Limits(
        silence_seconds=settings.LLM_REQUEST_TIMEOUT_SECONDS,
        reply_seconds=settings.LLM_STREAM_TIMEOUT_SECONDS,
    )
    match config.profile.protocol:
        case "openai" if config.uses_responses(model_profile(base_model or name)):
            return OpenAIResponses(config=config, model=name, limits=limits)
        case "openai":
            return OpenAIChat(config=config, model=name, limits=limits, base_model=base_model)
        case "anthropic":
            return AnthropicChat(config=config, model=name, limits=limits)
        case "bedrock":
            return BedrockChat(config=config, model=name, limits=limits, base_model=base_model)
        case "demo" if name == DEMO_MODEL:
            return DemoChat(word_seconds=settings.DEMO_WORD_PAUSE_SECONDS)
        case "demo":
            raise NotFound(
                f"The model '{config.name}/{name}' is not available. The demonstration is 'demo/{DEMO_MODEL}'."
            )
