"""Makes a Supabase project have the buckets that Vivarium needs. Safe to repeat; never deletes.

It needs SUPABASE_URL and SUPABASE_SECRET_KEY, whatever STORAGE is. Exit code 1 if anything was refused.
"""

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from storage.base import StorageError
from storage.setup import Outcome, obstacles, set_up_buckets


class Command(BaseCommand):
    help = __doc__
    # A site may still run on another store, and so be told it is wrong.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would change, and change nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if wrong := list(obstacles()):
            raise CommandError("\n".join(f"{found.what} {found.cure}" for found in wrong))
        self._buckets(options["dry_run"])

    def _buckets(self, dry_run: bool) -> None:
        done: Counter[str] = Counter()
        try:
            for outcome in set_up_buckets(dry_run=dry_run):
                done[outcome.did] += 1
                self._show(outcome)
        except StorageError as error:
            raise CommandError(
                f"Not finished, and safe to repeat: {error}\n`manage.py check_supabase` looks for the reason."
            ) from error
        would_be = "would be " if dry_run else ""
        self.stdout.write(
            f"{done.total()} buckets: {would_be}created {done['created']}, "
            f"{would_be}updated {done['updated']}, as they should be {done['unchanged']}"
        )
        if done["refused"]:
            raise CommandError(f"Refused: {done['refused']}. See above for the cure, then run this again.")

    def _show(self, outcome: Outcome) -> None:
        for each in outcome.differences:
            self.stdout.write(f"{outcome.bucket}: {each.field}: {each.there} → {each.wanted}")
        if outcome.problem:
            self.stderr.write(f"{outcome.problem.what} {outcome.problem.cure}")
