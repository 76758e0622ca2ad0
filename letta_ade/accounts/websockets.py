"""Who opened a websocket. Channels' own middleware would look the session up on a thread that is not ours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import DatabaseError

from letta_ade.accounts.auth import Caller, Door, resolve_caller
from letta_ade.accounts.sessions import user_of_cookies
from letta_ade.core import threads
from letta_ade.core.errors import AdeError

logger = logging.getLogger(__name__)


def resolve_websocket(scope: Mapping[str, Any]) -> Caller:
    """The caller of a connection, by key, session or trusted local mode. Synchronous; raises as `resolve_caller` does."""
    door = door_of(scope)
    return resolve_caller(door, user_of_cookies(door.headers.get("cookie", "")))


def door_of(scope: Mapping[str, Any]) -> Door:
    """What a websocket's request tells about its origin. It carries private data, so it is no safe method."""
    headers = {name.decode("latin1").lower(): value.decode("latin1") for name, value in scope["headers"]}
    client = scope.get("client")
    return Door(headers=headers, client_host=client[0] if client else None, method="CONNECT")


async def until_shut_out(scope: Mapping[str, Any]) -> AdeError:
    """Wait until the caller of this connection may not be here any more, and return why.

    A connection outlives the request that opened it: meanwhile somebody signs out, changes the password, or revokes the key.
    """
    while True:
        await asyncio.sleep(settings.ACCESS_CHECK_SECONDS)
        try:
            await threads.run(resolve_websocket, scope)
        except AdeError as error:
            return error
        except DatabaseError:
            # Not known is not refused; the next look may reach the database again.
            logger.warning("an open connection could not be checked", exc_info=True)
