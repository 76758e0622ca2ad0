"""Our own scripts, styles and fonts, served from where they lie; text is packed."""

from __future__ import annotations

import gzip
import os
from collections.abc import Awaitable, Callable
from functools import lru_cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from whitenoise.middleware import WhiteNoiseMiddleware

from letta_ade.core import threads
from letta_ade.web.packing import takes_gzip

_YEAR_SECONDS = 365 * 24 * 3600
#: Fonts and pictures are packed already.
_PACKABLE = (".css", ".js", ".json", ".map", ".svg", ".txt")


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise, but a file is sent whole: streamed, it would be read to its end first, with a warning, under ASGI.

    And it awaits the view, as letta_ade/web/security.py does and for the same reason.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if iscoroutinefunction(self):
            return self._asynchronously(request)
        answer: HttpResponseBase = super().__call__(request)
        return answer

    async def _asynchronously(self, request: HttpRequest) -> HttpResponseBase:
        if self.autorefresh:
            found = await threads.run(self.find_file, request.path_info)
        else:
            found = self.files.get(request.path_info)
        if found is not None:
            return await threads.run(self.serve, found, request)
        answer: HttpResponseBase = await self.get_response(request)
        return answer

    @staticmethod
    def serve(static_file: Any, request: HttpRequest) -> HttpResponse:
        """The file, or 304. One that is asked for with its stamp (`{% asset %}`) may be kept; any other is asked for again."""
        found = static_file.get_response(request.method, request.META)
        content, is_packed = b"", False
        if found.file is not None:
            with found.file as file:
                # A part of a file is a part of what is not packed.
                is_packed = found.status == HTTPStatus.OK and _may_be_packed(request)
                content = _packed(file.name, _stamp(file)) if is_packed else file.read()
        response = HttpResponse(content, status=int(found.status))
        del response.headers["Content-Type"]
        for name, value in found.headers:
            response.headers[name] = value
        if found.file is not None:
            # WhiteNoise measured the file at the start; a checkout may have been updated under the running server.
            response.headers["Content-Length"] = str(len(content))
        if is_packed:
            response.headers["Content-Encoding"] = "gzip"
        if request.path_info.endswith(_PACKABLE):
            patch_vary_headers(response, ["Accept-Encoding"])
        is_stamped = "v" in request.GET
        response.headers["Cache-Control"] = (
            f"public, max-age={_YEAR_SECONDS}, immutable" if is_stamped else "no-cache"
        )
        return response


def _may_be_packed(request: HttpRequest) -> bool:
    return request.path_info.endswith(_PACKABLE) and takes_gzip(request)


def _stamp(file: Any) -> int:
    return os.fstat(file.fileno()).st_mtime_ns


@lru_cache(maxsize=256)
def _packed(path: str, _changed_ns: int) -> bytes:
    """The file as gzip. All of ours together take a few hundred KB."""
    return gzip.compress(Path(path).read_bytes(), mtime=0)
