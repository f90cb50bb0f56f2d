"""Erases a member: profile, documents, files and tickets. Safe to repeat; the account is Supabase's."""

from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from api.exceptions import Refused
from api.profiles.erasure import Removed, erase, summary
from storage.errors import StorageError


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("member", type=UUID, help="the `sub` of their tokens")

    def handle(self, *args: Any, **options: Any) -> None:
        removed: list[Removed] = []
        try:
            for each in erase(options["member"]):
                removed.append(each)
                self.stdout.write(f"removed {each.kind} {each.name}")
        except (Refused, StorageError) as error:
            raise CommandError(f"Not finished, run it again: {type(error).__name__}: {error}") from error
        counts = ", ".join(f"{name} {count}" for name, count in summary(removed).items())
        self.stdout.write(f"erased {options['member']}: {counts}")
