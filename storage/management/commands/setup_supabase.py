"""Makes a Supabase project have the policies and buckets that Vivarium needs; deletes none. Safe to repeat.

It needs SUPABASE_URL and SUPABASE_SECRET_KEY, whatever STORAGE is. Row-level security is printed, for the
SQL editor, or put in place with --database. Exit code 1 if anything was refused.
"""

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from storage.errors import StorageError
from storage.supabase import policies
from storage.supabase.policies import PolicyError, PolicyOptions
from storage.supabase.policy_audit import inspect
from storage.supabase.setup import Outcome, obstacles, set_up_buckets


class Command(BaseCommand):
    help = __doc__
    # A site may still run on another store, and so be told it is wrong.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="show what would change, and change nothing"
        )

        parser.add_argument(
            "--database",
            metavar="URL",
            help="the project's database, as `postgres`: apply row-level security",
        )
        parser.add_argument(
            "--direct-uploads", action="store_true", help="members may also create files without a ticket"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not hasattr(settings, "STORAGE"):
            raise CommandError("This makes Vivarium's buckets and policies: make yours in the dashboard.")
        if wrong := list(obstacles()):
            raise CommandError("\n".join(f"{found.what} {found.cure}" for found in wrong))
        rules = policies.from_settings(direct_uploads=options["direct_uploads"])
        if options["database"]:
            self._policies(options["database"], rules, options["dry_run"])
        else:
            self.stdout.write(policies.render(rules))
        self._buckets(options["dry_run"])  # last: no bucket is there before its policies

    def _policies(self, database: str, rules: PolicyOptions, dry_run: bool) -> None:
        try:
            before = inspect(database, rules)
            if not dry_run:
                policies.apply(database, rules)
            after = before if dry_run else inspect(database, rules)
        except PolicyError as error:
            raise CommandError(f"Row-level security: {error}") from error
        would_be = "would be " if dry_run else ""
        self.stdout.write(
            f"policies: {would_be}created {len(before.missing)}, {would_be}changed {len(before.changed)}, "
            f"as they should be {len(policies.NAMES) - len(before.missing) - len(before.changed)}"
        )
        for policy, effect in after.others:
            self.stdout.write(
                f"policy {policy.name!r} on {policy.table} is not ours and was left alone: {effect}"
            )

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
