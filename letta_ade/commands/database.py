"""What every command needs first: Django with a database behind it, and the tables in their newest form."""

from __future__ import annotations

import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import django
from django.conf import settings

from letta_ade.commands.greeting import say
from letta_ade.core.data_folder import make_data_dir
from letta_ade.core.errors import AdeError

#: Any number will do, as long as every process takes the same one.
MIGRATION_LOCK = 8_283_001


class CommandFailed(AdeError):
    """The command cannot do this."""


@contextmanager
def database() -> Iterator[None]:
    """Django, set up, with the database of `DATABASE_URL` or the embedded one, which is given back at the end."""
    with ExitStack() as stack:
        make_data_dir(settings.DATA_DIR)
        if not settings.DATABASE_URL:
            _use_embedded(stack)
        django.setup()
        stack.callback(_close_connections)
        yield


def _use_embedded(stack: ExitStack) -> None:
    if sys.platform == "win32":
        raise CommandFailed(
            "The embedded PostgreSQL runs on Linux and macOS. Set DATABASE_URL to use another one."
        )
    from letta_ade.core import postgres  # needs modules that Windows lacks
    from letta_ade.settings import database_from_url

    share = stack.enter_context(postgres.acquire(settings.DATA_DIR))
    settings.DATABASES["default"].update(database_from_url(share.url))
    os.environ["DATABASE_URL"] = share.url  # for the processes that we start


def _close_connections() -> None:
    from django.db import connections

    connections.close_all()


def pending_migrations() -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """The migrations that the database lacks, and those of our apps that it has and this release does not know.

    Compares file names with one query: loading the migrations themselves takes a second that every start would pay.
    """
    from django.db import connection

    here = _migrations_on_disk()
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('django_migrations')")
        row = cursor.fetchone()
        if row is None or row[0] is None:
            return here, set()
        cursor.execute("SELECT app, name FROM django_migrations")
        applied = {(app, name) for app, name in cursor.fetchall()}
    ours = {app for app, _ in here}
    return here - applied, {migration for migration in applied - here if migration[0] in ours}


def _migrations_on_disk() -> set[tuple[str, str]]:
    from django.apps import apps
    from django.db.migrations.loader import MigrationLoader

    found = set()
    for app in apps.get_app_configs():
        module, _ = MigrationLoader.migrations_module(app.label)
        spec = importlib.util.find_spec(module) if module else None
        if spec and spec.submodule_search_locations:
            for file in pkgutil.iter_modules(spec.submodule_search_locations):
                if not file.ispkg and file.name[0] not in "_~":
                    found.add((app.label, file.name))
    return found


def migrate() -> int:
    """Bring the tables up to date; how many migrations that took. Several processes may call it at once."""
    from django.core.management import call_command
    from django.db import connection

    missing, unknown = pending_migrations()
    if unknown:
        newest = ".".join(max(unknown))
        raise CommandFailed(
            f"This database has been used by a newer release (it knows {newest}). Start that release, or restore a backup."
        )
    if not missing:
        return 0
    say("Preparing the database …")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
    try:
        call_command("migrate", interactive=False, verbosity=0)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
    return len(missing)
