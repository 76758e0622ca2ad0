#!/usr/bin/env python
"""Django's command line, for developers: `./ade` is the one for everybody else."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "letta_ade.settings")
    from django.core.management import execute_from_command_line

    from letta_ade.commands.database import database

    with database():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
