#!/usr/bin/env python
"""Django's command line."""

import gc
import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import BaseCommand, ManagementUtility
from django.db import OperationalError


class CommandLine(ManagementUtility):
    def fetch_command(self, subcommand: str) -> BaseCommand:
        """Return the command. The garbage collector never looks at what is loaded by now.

        At the end of a short command, that would take a quarter of its time.
        """
        command = super().fetch_command(subcommand)
        gc.freeze()
        gc.enable()
        return command


if __name__ == "__main__":
    gc.disable()  # while all is loaded: none of it is garbage
    # Tests ask the same of every machine, whatever its environment says.
    chosen = "tests.settings" if sys.argv[1:2] == ["test"] else "backend.settings"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", chosen)
    try:
        CommandLine(sys.argv).execute()
    except ImproperlyConfigured as error:
        if settings.configured:
            raise
        sys.exit(str(error))  # it names the setting and the cure: where it was found helps nobody
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"The database does not answer, or cannot do this: {error}".rstrip())
