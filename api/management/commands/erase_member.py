"""Erases a member: profile, documents, files and tickets. Can be repeated. The Supabase account stays."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError

from api.exceptions import Refused
from api.profiles.erasure import Deletion, erase, is_pending, summary
from storage.errors import StorageError
from storage.management.base import BaseCommand


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("member", type=UUID, help="the member's UUID, the `sub` of their tokens")

    def handle(self, *args: Any, **options: Any) -> None:
        deletions: list[Deletion] = []
        try:
            for deletion in erase(options["member"]):
                deletions.append(deletion)
                self.stdout.write(f"removed {deletion.kind} {deletion.name}")
        except (Refused, StorageError) as error:
            raise CommandError(f"Not finished, run it again: {type(error).__name__}: {error}") from error
        counts = ", ".join(f"{name} {count}" for name, count in summary(deletions).items())
        self.stdout.write(f"erased {options['member']}: {counts}")
        if is_pending(options["member"]):
            raise CommandError("Some objects could not be deleted: run it again, or let the sweep do it.")
