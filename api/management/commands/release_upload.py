"""Publishes a file that the scanner holds, or deletes it with --reject. Exit code 1 if it cannot."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from api.exceptions import Refused
from api.uploads import lifecycle
from api.uploads.models import Upload
from api.uploads.scanning import Reject
from storage.errors import StorageError
from storage.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("upload", type=UUID, help="the id of the ticket")
        parser.add_argument(
            "--reject",
            nargs="?",
            const="file_rejected",
            metavar="CODE",
            help="delete the file; the client gets this error code (file_rejected)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        upload = Upload.objects.filter(pk=options["upload"]).first()
        if upload is None or not _is_held(upload):
            state = upload.shown_state if upload else "missing"
            raise CommandError(f"The upload {options['upload']} is not held: it is {state}.")
        try:
            if options["reject"]:
                lifecycle.reject(upload, Reject(options["reject"]))
            else:
                lifecycle.release(upload)
        except (Refused, StorageError) as error:
            raise CommandError(f"Not done, run it again: {type(error).__name__}: {error}") from error
        self.stdout.write("rejected" if options["reject"] else "released")


def _is_held(upload: Upload) -> bool:
    """Return True also if an earlier release could not be finished, because the storage failed."""
    return upload.state == Upload.State.HELD or (upload.is_released and not upload.is_settled)
