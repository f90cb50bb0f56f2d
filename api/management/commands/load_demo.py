"""Loads demo data: a small zoo and two members. Can be repeated. Requires DEBUG=true."""

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
        try:
            for made in load():
                self.stdout.write(f"made {made}")
        except (StorageError, Refused) as error:
            raise CommandError(f"Some demo data could not be stored, run this again: {error}") from error
