"""Our own scripts, styles and fonts, served from where they lie."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from whitenoise.middleware import WhiteNoiseMiddleware

_YEAR_SECONDS = 365 * 24 * 3600


class StaticFilesMiddleware(WhiteNoiseMiddleware):
    """WhiteNoise, but a file is sent whole: streamed, it would be read to its end first, with a warning, under ASGI."""

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
