"""Makes new QR codes for all species, or for those that have none. Can be repeated."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from api.catalog import qr_codes
from storage.errors import StorageError
from storage.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--missing", action="store_true", help="only for species without a QR code")
        parser.add_argument(
            "--prune",
            action="store_true",
            help="also remove QR codes that belong to no species and are older than an hour",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        results = []
        for slug, is_made in qr_codes.make_all(only_missing=options["missing"]):
            self.stdout.write(f"{slug}: {'made' if is_made else 'failed'}")
            results.append(is_made)
        self.stdout.write(f"{results.count(True)} made, {results.count(False)} failed")
        if not all(results):
            raise CommandError("Some QR codes could not be stored: run this again.")
        if options["prune"]:
            self.prune()

    def prune(self) -> None:
        try:
            for key in qr_codes.delete_abandoned():
                self.stdout.write(f"{key}: removed")
        except StorageError as error:
            raise CommandError(f"Some QR codes could not be removed, run this again: {error}") from error
