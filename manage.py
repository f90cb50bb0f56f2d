#!/usr/bin/env python
"""Django's command line."""

import os
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import OperationalError

if __name__ == "__main__":
    # Tests ask the same of every machine, whatever its environment says.
    chosen = "tests.settings" if sys.argv[1:2] == ["test"] else "backend.settings"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", chosen)
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        if settings.configured:
            raise
        sys.exit(str(error))  # it names the setting and the cure: where it was found helps nobody
    except OperationalError as error:
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"The database does not answer, or cannot do this: {error}".rstrip())
