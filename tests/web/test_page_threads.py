"""Pages whose views are asynchronous, more of them at once than there are threads."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from django.conf import settings

from agents.services.agents import AgentDraft, create_agent
from letta_ade.core import threads
from letta_ade.core.asgi import PageHandler
from letta_ade.llm.testing import ScriptedModel, installed
from tests.support.factories import make_caller

pytestmark = pytest.mark.django_db(transaction=True)

#: Django takes the bare secret for a token.
TOKEN = "a" * 32


async def test_more_posts_than_threads_do_not_wait_for_each_other() -> None:
    model = ScriptedModel()
    with installed(model):
        draft = AgentDraft(name="a", model=model.handle)
        agent = await threads.run(lambda: create_agent(caller=make_caller(), draft=draft))
    transport = httpx.ASGITransport(app=PageHandler())
    headers = {
        "X-CSRFToken": TOKEN,
        "Cookie": f"{settings.CSRF_COOKIE_NAME}={TOKEN}",
        "Accept": "application/json",
    }
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers) as client:
        posts = (client.post(f"/agents/{agent.id}/stop/") for _ in range(settings.DATABASE_THREADS * 3))
        answers = await asyncio.wait_for(asyncio.gather(*posts), timeout=60)
    assert {answer.status_code for answer in answers} == {200}
