"""Embeddings over OpenAI's protocol, with the real SDK."""

from __future__ import annotations

import pytest

from letta_ade.llm.errors import InvalidReply, ModelAuthentication, ModelConnection
from letta_ade.llm.providers.openai_embeddings import OpenAIEmbedder
from tests.llm.support import provider
from tests.support.fake_openai import FakeOpenAI, vector
from tests.support.fake_provider import Answer, Received, json_answer


def embedder(fake: FakeOpenAI, name: str = "vllm") -> OpenAIEmbedder:
    config = provider(name, VLLM_API_BASE=fake.url, OPENAI_API_KEY="k", OPENAI_BASE_URL=fake.url)
    return OpenAIEmbedder(config=config, model="text-embedding-3-small")


def test_vectors_come_in_the_order_of_the_texts(fake_openai: FakeOpenAI) -> None:
    model = embedder(fake_openai)
    assert model.dimensions is None
    texts = ["green tea", "black tea", "a pump"]
    vectors = model.embed(texts)
    assert [pytest.approx(found) for found in vectors] == [vector(text, 1536) for text in texts]
    assert model.dimensions == 1536


def test_many_texts_go_in_batches(fake_openai: FakeOpenAI) -> None:
    vectors = embedder(fake_openai).embed([f"text {number}" for number in range(70)])
    assert len(vectors) == 70
    assert [len(body["input"]) for body in fake_openai.bodies] == [32, 32, 6]


def test_long_texts_make_smaller_batches(fake_openai: FakeOpenAI) -> None:
    embedder(fake_openai, "openai").embed(["x" * 400_000] * 3)
    assert [len(body["input"]) for body in fake_openai.bodies] == [1, 1, 1]


def test_nothing_to_embed_asks_nobody(fake_openai: FakeOpenAI) -> None:
    assert embedder(fake_openai).embed([]) == []
    assert fake_openai.received == []


def test_an_empty_text_is_sent_as_a_blank(fake_openai: FakeOpenAI) -> None:
    embedder(fake_openai).embed([""])
    assert fake_openai.bodies[0]["input"] == [" "]
    assert fake_openai.bodies[0]["encoding_format"] == "float"


class Broken(FakeOpenAI):
    answer = json_answer({"error": {"message": "No such key."}}, status=401)

    def route(self, request: Received) -> Answer:
        return self.answer


def test_a_refused_key_is_an_error_with_the_providers_text() -> None:
    fake = Broken()
    with fake, pytest.raises(ModelAuthentication) as caught:
        embedder(fake).embed(["x"])
    assert caught.value.detail == "No such key."


@pytest.mark.parametrize("body", [{"data": []}, {"data": [{"index": 0, "embedding": []}]}, {"odd": 1}])
def test_an_answer_without_the_vectors_is_an_invalid_reply(body: dict[str, object]) -> None:
    fake = Broken()
    fake.answer = json_answer(body)
    with fake, pytest.raises(InvalidReply):
        embedder(fake).embed(["x"])


def test_a_server_that_is_gone_cannot_be_reached(fake_openai: FakeOpenAI) -> None:
    model = embedder(fake_openai)
    fake_openai.stop()
    with pytest.raises(ModelConnection):
        model.embed(["x"])
