"""Images in the composer: chosen, pasted, dropped, taken back, refused, sent, and seen again."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import Page, expect

from tests.browser.bench import expect_end, say, workbench
from tests.browser.conftest import OpenPages
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeReply
from tests.support.server import RunningServer

#: One red pixel.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
_GIVE = """([kind, name, type, data]) => {
  const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  const event = kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.getElementById("say").dispatchEvent(event);
}"""


@pytest.fixture
def server(slow_server: RunningServer) -> RunningServer:
    return slow_server


@pytest.fixture
def agent(sdk: Letta) -> Any:
    return sdk.agents.create(name="seer", model="openai/gpt-4o-mini")


def give(page: Page, kind: str, name: str, media_type: str = "image/png", data: bytes = PNG) -> None:
    """Paste or drop a file, as a browser tells of it."""
    page.evaluate(_GIVE, [kind, name, media_type, base64.b64encode(data).decode()])


def expect_drawn(page: Page, count: int) -> None:
    """So many images of the transcript that the browser could draw."""
    expect(page.locator(".shot")).to_have_count(count)
    for image in page.locator(".shot").all():
        image.scroll_into_view_if_needed()
        image.evaluate("(image) => image.decode()")
        assert image.evaluate("(image) => image.naturalWidth") == 1


def test_chosen_pasted_and_dropped_images_are_sent_and_shown_again(
    open_page: OpenPages, agent: Any, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as page:
        page.set_input_files("#images", {"name": "one.png", "mimeType": "image/png", "buffer": PNG})
        give(page, "paste", "two.png")
        give(page, "drop", "three.png")
        expect(page.locator(".preview")).to_have_count(3)
        page.get_by_role("button", name="Remove two.png").click()
        expect(page.locator(".preview")).to_have_count(2)
        fake.replies.append(FakeReply(text="Red, twice."))
        say(page, "What is it?")
        expect(page.locator(".preview")).to_have_count(0)
        expect_end(page)
        sent = [part["type"] for part in fake.bodies[-1]["messages"][-1]["content"]]
        assert sent == ["text", "image_url", "image_url"]
        expect_drawn(page, 2)
        expect(page.get_by_alt_text("Image 1 of 2, sent by You")).to_be_visible()
        page.reload()
        expect_drawn(page, 2)


def test_an_image_is_seen_before_its_message_is_stored(open_page: OpenPages, sdk: Letta) -> None:
    agent = sdk.agents.create(name="slow-seer", model="demo/assistant")
    with workbench(open_page, agent) as mine, workbench(open_page, agent) as theirs:
        give(mine, "paste", "one.png")
        say(mine, "/slow 100")
        expect(theirs.locator("#runline[data-busy]")).to_be_visible()
        expect_drawn(theirs, 1)
        assert theirs.locator("#runline[data-busy]").count() == 1
        expect_end(mine)


def test_an_image_alone_is_a_message(open_page: OpenPages, agent: Any, fake: FakeOpenAI) -> None:
    with workbench(open_page, agent) as page:
        give(page, "paste", "one.png")
        fake.replies.append(FakeReply(text="Red."))
        page.locator("#send").click()
        expect_end(page)
        expect_drawn(page, 1)


def test_what_cannot_be_sent_is_said_before_and_after_it_is_tried(open_page: OpenPages, agent: Any) -> None:
    with workbench(open_page, agent) as page:
        give(page, "drop", "notes.txt", "text/plain", b"no image")
        expect(page.locator("#image-words")).to_have_text("notes.txt is no PNG, JPEG, GIF or WebP image.")
        give(page, "paste", "fake.png", "image/png", b"no image either")
        say(page, "Look.")
        expect(page.locator(".notice")).to_contain_text("fake.png is no PNG, JPEG, GIF or WebP image.")
        expect(page.locator("#say")).to_have_value("Look.")
        expect(page.locator(".preview")).to_have_count(1)


def test_an_image_of_a_program_is_shown(
    open_page: OpenPages, sdk: Letta, agent: Any, fake: FakeOpenAI
) -> None:
    source = {"type": "url", "url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}
    with workbench(open_page, agent) as page:
        fake.replies.append(FakeReply(text="Red."))
        content: Any = [{"type": "image", "source": source}]
        sdk.agents.messages.create(agent.id, messages=[{"role": "user", "content": content}])
        expect_end(page)
        expect_drawn(page, 1)
