"""How our PostgreSQL is reached by what does not go through Django, and how to tell that it cannot be reached."""

from __future__ import annotations

import select
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper

#: SQLSTATEs of a server that ends, starts or has no connection left; all of class 08 say that a connection broke.
_AWAY_STATES = {"57P01", "57P02", "57P03", "53300"}
#: A transaction that lost against another: a deadlock, a failed serialisation, a lock that could not be had.
LOST_RACE_STATES = {"40P01", "40001", "55P03"}


def is_away(error: BaseException) -> bool:
    """Whether the error says that the database could not be reached, or that the connection was lost on the way."""
    if isinstance(error, InterfaceError):
        return True  # the connection is closed
    if not isinstance(error, OperationalError):
        return False
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state.startswith("08") or state in _AWAY_STATES


def may_pass(error: BaseException) -> bool:
    """Whether the same work may succeed a moment later."""
    state = getattr(error.__cause__, "sqlstate", None)
    return is_away(error) or (isinstance(error, OperationalError) and state in LOST_RACE_STATES)


def drop_if_cut(connection: BaseDatabaseWrapper) -> None:
    """Close a connection that the server has ended while nobody used it, so that the next query opens another.

    An idle connection has nothing to say: what can be read from it is its end. Asking the kernel takes 2 µs, a query a hundred.
    """
    raw = connection.connection
    if raw is not None and (raw.closed or _has_input(raw.fileno())):
        connection.close()


def _has_input(handle: int) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([handle], [], [], 0)[0])
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))


_DJANGOS = ("server_side_binding",)


def connection_parameters() -> dict[str, Any]:
    """Keyword arguments for psycopg, as DATABASES describes the database now (the launcher and tests change it)."""
    database = settings.DATABASES["default"]
    # sslmode and the like from DATABASE_URL; some options are Django's own.
    options = {name: value for name, value in database["OPTIONS"].items() if name not in _DJANGOS}
    return {
        "dbname": database["NAME"],
        "user": database["USER"] or None,
        "password": database["PASSWORD"] or None,
        "host": database["HOST"] or None,
        "port": database["PORT"] or None,
        **options,
    }
