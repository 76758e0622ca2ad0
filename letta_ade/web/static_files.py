"""Our own scripts, styles and fonts, served from where they lie."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

from letta_ade.core import threads

_YEAR_SECONDS = 365 * 24 * 3600


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
        content = b""
        if found.file is not None:
            with found.file as file:
                content = file.read()
        response = HttpResponse(content, status=int(found.status))
        del response.headers["Content-Type"]
        for name, value in found.headers:
            response.headers[name] = value
        if found.file is not None:
            # WhiteNoise measured the file at the start; a checkout may have been updated under the running server.
            response.headers["Content-Length"] = str(len(content))
        is_stamped = "v" in request.GET
        response.headers["Cache-Control"] = (
            f"public, max-age={_YEAR_SECONDS}, immutable" if is_stamped else "no-cache"
        )
        return response
