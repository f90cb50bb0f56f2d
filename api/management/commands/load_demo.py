"""Loads demo data: a small zoo, two members, and three accounts. Can be repeated. Requires DEBUG=true."""

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from api.demo.loading import load
from api.exceptions import Refused
from storage.errors import StorageError
from storage.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("This requires DEBUG=true: demo data is for development.")
        listed = options["verbosity"] > 1
        uploads = logging.getLogger("api.uploads")
        level, created = uploads.level, 0
        try:
            if not listed:
                uploads.setLevel(logging.WARNING)  # else there is a line for each file
            for made in load():
                created += 1
                if listed:
                    self.stdout.write(f"made {made}")
        except (StorageError, Refused) as error:
            raise CommandError(f"Some demo data could not be stored, run this again: {error}") from error
        finally:
            uploads.setLevel(level)
        if created and not listed:
            self.stdout.write(f"Loaded demo data. New accounts, entries, members and documents: {created}")
