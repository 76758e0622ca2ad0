"""Embeddings over OpenAI's protocol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.providers import failures
from letta_ade.llm.providers.clients import request_headers, sync_openai_client
from letta_ade.llm.tokens import estimate_text

#: OpenAI refuses more in one request, whatever the number of texts; below its 300,000 because ours is an estimate.
_BATCH_TOKENS = 150_000


class OpenAIEmbedder:
    """One embedding model of one provider."""

    def __init__(
        self,
        *,
        config: ProviderConfig,
        model: str,
        dimensions: int | None = None,
        silence_seconds: float = 60,
    ) -> None:
        self._config = config
        self._model = model
        self._dimensions = dimensions
        self._silence_seconds = silence_seconds

    @property
    def handle(self) -> str:
        return f"{self._config.name}/{self._model}"

    @property
    def dimensions(self) -> int | None:
        return self._dimensions

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [vector for batch in self._batches(texts) for vector in self._embed_batch(batch)]

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        tokens = 0
        for text in texts:
            size = estimate_text(text)
            if batch and (
                len(batch) >= self._config.profile.embedding_batch or tokens + size > _BATCH_TOKENS
            ):
                yield batch
                batch, tokens = [], 0
            # An empty text is refused; a space stands for it.
            batch.append(text or " ")
            tokens += size
        if batch:
            yield batch

    def _embed_batch(self, texts: list[str]) -> list[list[float]]:
        import httpx2
        from openai import OpenAIError

        client = sync_openai_client(self._config, silence_seconds=self._silence_seconds)
        try:
            # The low-level call: the typed one knows no path of a deployment, and builds an object for each vector.
            answer: Any = client.post(
                self._config.path("/embeddings", self._model),
                # Plain numbers: not every server knows the base64 form that the SDK asks for by itself.
                body={"model": self._model, "input": texts, "encoding_format": "float"},
                cast_to=object,
                options={"headers": request_headers(self._config), "params": self._config.query},
            )
            rows = sorted(answer["data"], key=lambda row: row.get("index") or 0)
            vectors = [[float(number) for number in row["embedding"]] for row in rows]
        except (OpenAIError, httpx2.HTTPError) as error:
            raise failures.from_sdk(error, self._config, timeout_seconds=self._silence_seconds) from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise failures.not_understood(self._config, str(error)) from error
        if len(vectors) != len(texts) or not all(vectors):
            raise failures.not_understood(self._config, f"{len(vectors)} vectors for {len(texts)} texts")
        self._dimensions = len(vectors[0])
        return vectors
