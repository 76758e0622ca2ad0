"""What is sent packed: pages and own text files, to whoever takes it, and nothing else."""

from __future__ import annotations

import gzip

import pytest
from django.conf import settings
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.test import Client, RequestFactory

from letta_ade.web.packing import PackedPagesMiddleware

PACKED = {"Accept-Encoding": "gzip, deflate, br"}
LONG = b"<p>" + b"tea " * 2000


def through(response: HttpResponseBase, taken: str = "gzip") -> HttpResponseBase:
    request = RequestFactory().get("/", HTTP_ACCEPT_ENCODING=taken)
    answer = PackedPagesMiddleware(lambda _: response)(request)
    assert isinstance(answer, HttpResponseBase)
    return answer


def test_a_page_is_packed_for_who_takes_it() -> None:
    answer = through(HttpResponse(LONG))
    assert isinstance(answer, HttpResponse)
    assert gzip.decompress(answer.content) == LONG
    assert answer["Content-Length"] == str(len(answer.content))
    assert (answer["Content-Encoding"], answer["Vary"]) == ("gzip", "Accept-Encoding")


@pytest.mark.parametrize("taken", ["", "br", "gzip;q=0", "gzip; q=0.0, br"])
def test_who_does_not_take_it_gets_the_page_as_it_is(taken: str) -> None:
    answer = through(HttpResponse(LONG), taken)
    assert isinstance(answer, HttpResponse)
    assert answer.content == LONG
    assert "Content-Encoding" not in answer


def test_a_small_preference_is_still_one() -> None:
    assert through(HttpResponse(LONG), "br, gzip;q=0.5")["Content-Encoding"] == "gzip"


@pytest.mark.parametrize(
    "response",
    [
        HttpResponse(b"<p>short</p>"),
        JsonResponse({"text": "tea " * 2000}),
        StreamingHttpResponse([LONG], content_type="text/html"),
        HttpResponse(LONG, headers={"Content-Encoding": "br"}),
    ],
)
def test_small_pages_data_and_streams_go_as_they_are(response: HttpResponseBase) -> None:
    assert through(response).get("Content-Encoding") != "gzip"


@pytest.mark.django_db
def test_a_style_sheet_is_packed_and_the_same() -> None:
    client = Client(HTTP_HOST="localhost")
    plain = client.get("/static/css/ade.css?v=1")
    packed = client.get("/static/css/ade.css?v=1", headers=PACKED)
    assert "Content-Encoding" not in plain
    assert packed["Content-Encoding"] == "gzip"
    assert packed["Content-Length"] == str(len(packed.content))
    assert len(packed.content) < len(plain.content) / 3
    assert gzip.decompress(packed.content) == plain.content
    assert {plain["Vary"], packed["Vary"]} == {"Accept-Encoding"}


@pytest.mark.django_db
def test_a_font_and_a_part_of_a_file_are_not_packed() -> None:
    client = Client(HTTP_HOST="localhost")
    fonts = settings.ASSETS_DIR / "static/vendor/fonts"
    font = next(path.name for path in fonts.iterdir() if path.suffix == ".woff2")
    assert "Content-Encoding" not in client.get(f"/static/vendor/fonts/{font}", headers=PACKED)
    part = client.get("/static/css/ade.css", headers={**PACKED, "Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
    assert "Content-Encoding" not in part
