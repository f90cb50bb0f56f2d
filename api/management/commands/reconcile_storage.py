"""Compares the files that rows name with the objects in storage, and prints one line for each difference.

Exit code 0 if there is none, 1 if there are some, 2 if the comparison could not be completed.
"""

import sys
from argparse import ArgumentParser
from collections import Counter
from contextlib import ExitStack
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from api.reconciliation import Finding, Report, Status, delete_orphan, reconcile, stores
from storage.base import SignedStorage
from storage.errors import StorageError
from storage.management.base import BaseCommand

NOT_COMPLETED = 2


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--bucket", action="append", metavar="NAME", help="only this bucket; can be repeated"
        )
        parser.add_argument("--report", metavar="FILE", help="write the differences to this new JSON file")
        parser.add_argument(
            "--delete-orphans",
            action="store_true",
            help="delete objects that nothing names; the report records each before it is deleted",
        )
        parser.add_argument("--yes", action="store_true", help="delete without asking")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = _chosen(options["bucket"])
        if options["delete_orphans"]:
            _confirm_deletion(options)
            if not options["report"]:
                options["report"] = f"reconcile_storage-{timezone.now():%Y%m%dT%H%M%SZ}.json"
                self.stdout.write(f"Deleted objects are recorded in {options['report']}")
        counts: Counter[str] = Counter()
        try:
            with ExitStack() as stack:
                report = stack.enter_context(Report(options["report"])) if options["report"] else None
                for finding in reconcile(chosen):
                    self.process(finding, report, counts, delete=options["delete_orphans"])
        except (StorageError, OSError) as error:
            raise CommandError(
                f"Not completed, run it again: {type(error).__name__}: {error}", returncode=NOT_COMPLETED
            ) from error
        self.finish(chosen, counts)

    def process(self, finding: Finding, report: Report | None, counts: Counter[str], *, delete: bool) -> None:
        counts[finding.status] += 1
        if delete and report and finding.status == Status.ORPHAN and delete_orphan(finding, report):
            counts["deleted"] += 1
            return self.stdout.write(f"{finding}: deleted")
        if report:
            report.add(finding.as_json())
        self.stdout.write(str(finding))

    def finish(self, chosen: list[SignedStorage], counts: Counter[str]) -> None:
        """Print the numbers, and exit with 1 if a difference is left that nothing takes care of."""
        buckets = ", ".join(store.bucket for store in chosen)
        found = ", ".join(f"{counts[status]} {status}" for status in Status)
        self.stdout.write(f"{buckets}: {found}, {counts['deleted']} deleted")
        if counts.total() - 2 * counts["deleted"] - counts[Status.PENDING_REMOVAL]:
            sys.exit(1)


def _chosen(names: list[str] | None) -> list[SignedStorage]:
    known = stores()
    for name in names or []:
        if name not in known:
            raise CommandError(
                f"{name!r} is not a bucket of the models: choose from {', '.join(known)}.",
                returncode=NOT_COMPLETED,
            )
    return [store for name, store in known.items() if not names or name in names]


def _confirm_deletion(options: dict[str, Any]) -> None:
    """Raise CommandError unless the user agrees."""
    if not options["yes"] and _answer("Delete every object that nothing names? [y/N] ") not in ("y", "yes"):
        raise CommandError("Nothing was deleted.", returncode=NOT_COMPLETED)


def _answer(question: str) -> str:
    if not sys.stdin.isatty():
        raise CommandError(
            "There is no terminal for the question: use --yes to delete without asking.",
            returncode=NOT_COMPLETED,
        )
    return input(question).strip().lower()
