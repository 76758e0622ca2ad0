"""A real browser against a real server: Debian's chromium, and a process that serves the test's database.

pytest may load this file before Django is set up (tests/conftest.py), so what needs Django is imported in the fixtures.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from letta_client import Letta
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    Response,
    sync_playwright,
)

if TYPE_CHECKING:
    from tests.support.fake_openai import FakeOpenAI
    from tests.support.server import RunningServer

CHROMIUM = Path(os.environ.get("CHROMIUM") or "/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
#: How long the browser waits for something to appear before a test fails.
PATIENCE_MS = 15_000
#: A key that meets a navigation may never be acknowledged, and Playwright waits for that without end: then the browser is ended.
LONGEST_TEST_SECONDS = 150


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))  # one browser, on one worker
            # The server is another process: it sees committed rows only.
            item.add_marker(pytest.mark.django_db(transaction=True))


class Chromium:
    """The browser of all tests here; it is started anew when a test has lost it."""

    def __init__(self, playwright: Playwright) -> None:
        self._playwright = playwright
        #: Nothing to the browser; its processes are found by it.
        self._mark = f"--ade-tests-of={os.getpid()}"
        self._browser: Browser | None = None

    def new_context(self, **options: Any) -> BrowserContext:
        if self._browser is None or not self._browser.is_connected():
            self._browser = self._playwright.chromium.launch(
                executable_path=CHROMIUM, args=[*FLAGS, self._mark]
            )
        return self._browser.new_context(**options)

    def kill(self) -> None:
        """End its processes, from any thread: whoever waits for the browser gets an error."""
        for place in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if self._mark.encode() in place.read_bytes().split(b"\0"):
                    os.kill(int(place.parent.name), signal.SIGKILL)

    def close(self) -> None:
        if self._browser is not None and self._browser.is_connected():
            self._browser.close()


# Not for the session: Playwright keeps an event loop running on this thread, and asynchronous tests that come after
# these on the same worker could not run theirs.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Chromium]:
    """One browser for all tests here. Without one: a failure on CI, a skip with a reason anywhere else."""
    if not CHROMIUM.exists():
        reason = f"There is no browser at {CHROMIUM}; install Debian's chromium or set CHROMIUM."
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    # Playwright keeps an event loop running on this thread; Django must not take that for asynchronous code.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        chromium = Chromium(playwright)
        yield chromium
        chromium.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def server_process(django_db_setup: None) -> Iterator[RunningServer]:
    """The whole server on a free port, one for all tests; the demonstration writes without pauses."""
    from tests.support.server import running_server

    with running_server() as running:
        yield running


@pytest.fixture
def server(transactional_db: None, server_process: RunningServer) -> RunningServer:
    """The server with an empty workspace. A test must wait for its runs to end: the tables are emptied after it."""
    from tests.support.factories import local_workspace

    local_workspace()
    return server_process


@pytest.fixture
def fake() -> Iterator[FakeOpenAI]:
    from tests.support.fake_openai import FakeOpenAI

    with FakeOpenAI() as fake:
        yield fake


@pytest.fixture
def slow_server(transactional_db: None, fake: FakeOpenAI) -> Iterator[RunningServer]:
    """A server of its own whose demonstration takes its time, so that there is a middle to look at. OpenAI is the fake."""
    from tests.support.factories import local_workspace
    from tests.support.server import running_server

    local_workspace()
    environment = {
        "ADE_DEMO_WORD_PAUSE_MS": "20",
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": fake.base_url,
        "ADE_LLM_RETRIES": "0",
    }
    with running_server(environment) as running:
        yield running


@pytest.fixture
def sdk(server: RunningServer) -> Iterator[Letta]:
    with Letta(base_url=server.url) as client:
        yield client


class Complaints:
    """What a page did that no page of ours may do: script errors, refused content, foreign requests."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.found: list[str] = []

    def watch(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.found.append(f"script error: {error}"))
        page.on("request", self._on_request)
        page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        # An answer of 4xx is somebody's test; the browser and htmx complain about each.
        is_answer = message.text.startswith(("Failed to load resource", "Response Status Error"))
        # Whoever leaves a page ends the requests of its parts, of which htmx tells twice. A request that fails is `htmx:sendError`.
        is_left = message.text.startswith(("htmx:sendAbort", "htmx:afterRequest"))
        if message.type == "error" and not (is_answer or is_left):
            self.found.append(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        own = (self.base_url, self.base_url.replace("http", "ws"), "data:", "blob:")
        if not request.url.startswith(own):
            self.found.append(f"foreign request: {request.url}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 500:
            self.found.append(f"{response.status}: {response.url}")


OpenPages = Callable[..., AbstractContextManager[Page]]


@pytest.fixture
def impatience(chromium: Chromium) -> Iterator[None]:
    """No test waits for the browser for ever."""
    timer = threading.Timer(LONGEST_TEST_SECONDS, chromium.kill)
    timer.daemon = True
    timer.start()
    yield
    timer.cancel()


@pytest.fixture
def open_page(chromium: Chromium, impatience: None, server: RunningServer) -> Iterator[OpenPages]:
    """Opens pages, each in a browser of its own; what they complained about fails the test at its end."""
    complaints = Complaints(server.url)

    @contextmanager
    def open_page(
        path: str = "/", *, width: int = 1440, height: int = 900, theme: str = "light"
    ) -> Iterator[Page]:
        context: BrowserContext = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if theme == "dark" else "light",
            base_url=server.url,
        )
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        complaints.watch(page)
        page.goto(path)
        try:
            yield page
        finally:
            context.close()

    yield open_page
    assert not complaints.found, "\n".join(complaints.found)


@pytest.fixture
def page(open_page: OpenPages) -> Iterator[Page]:
    """A wide page at the agents' list."""
    with open_page("/agents/") as page:
        yield page
