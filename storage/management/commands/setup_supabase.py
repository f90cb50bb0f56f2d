"""Creates and updates the policies and buckets that Vivarium needs in a Supabase project. Safe to run again.

It deletes no bucket. It needs SUPABASE_URL and SUPABASE_SECRET_KEY, with any value of STORAGE. The script for
row-level security is printed, for the SQL editor, or applied with --database. So is that of the storage
webhook, with --webhook; the printed one has no secret. Only scripts go to standard output, so that it can be
saved and run; all else goes to standard error. Exit code 1 if anything was refused.
"""

from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from storage.control_characters import printable
from storage.errors import StorageError
from storage.findings import redact_url
from storage.management.base import BaseCommand
from storage.supabase import policies, webhook
from storage.supabase.policies import PolicyError, PolicyOptions
from storage.supabase.policy_audit import audit
from storage.supabase.setup import Outcome, blocking_problems, set_up_buckets
from storage.supabase.webhook import Webhook


class Command(BaseCommand):
    help = __doc__
    # The site may still use another store, so the checks of its settings may fail.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="print what would change, and change nothing"
        )

        parser.add_argument(
            "--database",
            metavar="URL",
            help="apply row-level security, and the webhook, to this database, as the role `postgres`",
        )
        parser.add_argument(
            "--webhook",
            metavar="URL",
            help="let Storage report new files to this URL of the API, signed with STORAGE_WEBHOOK_SECRET",
        )
        parser.add_argument(
            "--direct-uploads", action="store_true", help="let members also create files without a ticket"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not hasattr(settings, "STORAGE"):
            raise CommandError(
                "This command sets up Vivarium's own buckets and policies; create yours in the dashboard."
            )
        if problems := list(blocking_problems()):
            raise CommandError("\n".join(f"{found.what} {found.cure}" for found in problems))
        if options["webhook"]:
            _check_webhook(options["webhook"])
        policy_options = policies.from_settings(direct_uploads=options["direct_uploads"])
        if options["database"]:
            self._set_up_policies(options["database"], policy_options, options["dry_run"])
        else:
            self.stdout.write(policies.render(policy_options))
        if options["webhook"] and options["database"]:
            self._set_up_webhook(options["database"], options["webhook"], options["dry_run"])
        elif options["webhook"]:
            self.stdout.write(webhook.render(options["webhook"]))
        self._set_up_buckets(options["dry_run"])  # last: no bucket exists before its policies

    def _set_up_policies(self, database: str, policy_options: PolicyOptions, dry_run: bool) -> None:
        try:
            before = audit(database, policy_options)
            if not dry_run:
                policies.apply(database, policy_options)
            after = before if dry_run else audit(database, policy_options)
        except PolicyError as error:
            raise CommandError(f"Row-level security: {error}") from error
        would_be = "would be " if dry_run else ""
        self._report(
            f"policies: {would_be}created {len(before.missing)}, {would_be}changed {len(before.changed)}, "
            f"unchanged {len(policies.NAMES) - len(before.missing) - len(before.changed)}"
        )
        for policy, effect in after.others:
            self._report(
                f"policy {policy.name!r} on {policy.table} is not Vivarium's and was not changed; "
                f"its effect on Vivarium's buckets: {effect}"
            )

    def _set_up_webhook(self, database: str, url: str, dry_run: bool) -> None:
        wanted = Webhook(url, is_as_shipped=True, has_secret=True)
        try:
            found = webhook.find(database, settings.STORAGE_WEBHOOK_SECRET)
            if found != wanted and not dry_run:
                webhook.apply(database, url, settings.STORAGE_WEBHOOK_SECRET)
        except PolicyError as error:
            raise CommandError(f"Webhook: {error}") from error
        result = "created" if found is None else "unchanged" if found == wanted else "changed"
        would_be = "would be " if dry_run and found != wanted else ""
        self._report(f"webhook to {redact_url(url)}: {would_be}{result}")

    def _set_up_buckets(self, dry_run: bool) -> None:
        counts: Counter[str] = Counter()
        try:
            for outcome in set_up_buckets(dry_run=dry_run):
                counts[outcome.result] += 1
                self._print(outcome)
        except StorageError as error:
            raise CommandError(
                f"Not finished: {error}\nIt is safe to run again. `manage.py check_supabase` finds the cause."
            ) from error
        would_be = "would be " if dry_run else ""
        self._report(
            f"{counts.total()} buckets: {would_be}created {counts['created']}, "
            f"{would_be}updated {counts['updated']}, unchanged {counts['unchanged']}"
        )
        if counts["refused"]:
            raise CommandError(f"Refused: {counts['refused']}. Follow the advice above, then run this again.")

    def _report(self, message: str) -> None:
        """Write a line for people to standard error, but not in red as a problem."""
        self.stderr.write(printable(message), str)

    def _print(self, outcome: Outcome) -> None:
        for each in outcome.differences:
            self._report(f"{outcome.bucket}: {each.field}: {each.current} → {each.wanted}")
        if outcome.problem:
            self.stderr.write(printable(f"{outcome.problem.what} {outcome.problem.cure}"))


def _check_webhook(url: str) -> None:
    """Raise CommandError if the webhook cannot be set up with this URL and the settings."""
    if not settings.STORAGE_WEBHOOK_SECRET:
        raise CommandError("--webhook needs STORAGE_WEBHOOK_SECRET, the same as that of the server.")
    try:
        webhook.check_url(url)
    except ValueError as error:
        raise CommandError(f"--webhook: {error}") from None
