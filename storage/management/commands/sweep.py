"""Deletes what interrupted uploads have left in the buckets of STORAGES more than a day ago.

Safe to run at any time, also several at once; once a day is enough. Exit code 1 if something failed: the
other buckets are swept, and the next run tries it again. --json prints {"ok": …, "counts": {…}, "errors":
[{action, name, error}]}.
"""

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.management.base import CommandError

from storage.control_characters import printable
from storage.management.base import BaseCommand
from storage.sweep import LEFTOVERS, Options, Result, leftover_steps, run_steps


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ArgumentTypeError("must be a whole number above 0")
    return int(text)


@dataclass(frozen=True, slots=True)
class Report:
    """How many rows or objects were handled, by action, and what failed."""

    counts: Counter[str] = field(default_factory=Counter)
    errors: list[Result] = field(default_factory=list)


# An app that comes before `storage` in INSTALLED_APPS may have a subclass with more steps.
class Command(BaseCommand):
    help = __doc__
    actions: tuple[str, ...] = (LEFTOVERS,)  # of the results

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
        parser.add_argument(
            "--limit", type=positive, default=1000, help="how many items each step handles at most (1000)"
        )
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        if self.run(options, retry_all=True).errors:
            raise CommandError("Something could not be done. The next run tries again.")

    def sweep(self, options: Options) -> Iterator[Result]:
        return run_steps(leftover_steps(), options)

    def run(self, options: dict[str, Any], *, retry_all: bool = False) -> Report:
        """Sweep once, and print what was done."""
        report = Report(Counter(dict.fromkeys(self.actions, 0)))
        for result in self.sweep(Options(options["limit"], options["dry_run"], retry_all)):
            if result.error:
                report.errors.append(result)
            else:
                report.counts[result.action] += result.count
            if not options["json"]:
                self.print_result(result, options)
        self.print_report(report, options)
        return report

    def print_report(self, report: Report, options: dict[str, Any]) -> None:
        counts, errors = report.counts, report.errors
        if options["json"]:
            failed = [{"action": each.action, "name": each.name, "error": each.error} for each in errors]
            self.stdout.write(json.dumps({"ok": not errors, "counts": counts, "errors": failed}))
        else:
            done = ", ".join(f"{action} {count}" for action, count in counts.items() if count)
            would_be = "would be done: " if options["dry_run"] else ""
            self.stdout.write(f"{would_be}{done or 'nothing to do'}; failed {len(errors)}")

    def print_result(self, result: Result, options: dict[str, Any]) -> None:
        if result.error:
            self.stderr.write(printable(f"failed   {result.action} {result.name}: {result.error}"))
        elif options["dry_run"] or options["verbosity"] > 1:
            self.stdout.write(f"{result.action:9} {result.name}")
