"""Makes the QR codes of all species again, or of those that have none. Safe to repeat."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from api.catalog import qr_codes
from storage.errors import StorageError


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--missing", action="store_true", help="only for species without one")
        parser.add_argument(
            "--prune", action="store_true", help="also remove codes that no species names, if an hour old"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        results = []
        for slug, done in qr_codes.make_all(only_missing=options["missing"]):
            self.stdout.write(f"{slug}: {'made' if done else 'failed'}")
            results.append(done)
        self.stdout.write(f"{results.count(True)} made, {results.count(False)} failed")
        if not all(results):
            raise CommandError("The store did not take every QR code: run this again.")
        if options["prune"]:
            self.prune()

    def prune(self) -> None:
        try:
            for key in qr_codes.remove_abandoned():
                self.stdout.write(f"{key}: removed")
        except StorageError as error:
            raise CommandError(f"The store did not remove every QR code, run this again: {error}") from error
