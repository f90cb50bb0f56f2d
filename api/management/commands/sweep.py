"""Finishes what requests have begun or forgotten: removals, uploads without a callback, expired tickets.

Safe to run at any time, also several at once. A single run also carries out the removals that wait because
the storage has failed. Exit code 1 if something failed: the next run tries it again. --json prints
{"ok": …, "counts": {…}, "errors": [{action, name, error}]}, one line for each run.
"""

import json
import os
import signal
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from threading import Event
from typing import Any

import structlog
from django.core.management.base import CommandError
from django.db import close_old_connections

from api.sweep import ACTIONS, Options, Result, sweep
from storage.control_characters import printable
from storage.management.base import BaseCommand

PARENT_CHECK_SECONDS = 1.0

logger = structlog.get_logger("api.sweep")


def positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ArgumentTypeError("must be a whole number above 0")
    return int(text)


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--every", type=positive, metavar="SECONDS", help="run again and again, until it is terminated"
        )
        parser.add_argument("--dry-run", action="store_true", help="print what would be done, and do nothing")
        parser.add_argument(
            "--limit", type=positive, default=1000, help="how many items each step handles at most (1000)"
        )
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")
        parser.add_argument(
            "--parent",
            type=positive,
            metavar="PID",
            help="with --every: end when this parent process has ended",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stop = Event()
        if options["every"]:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop.set())
            self._repeat(options)
        elif not self._run(options, retry_all=True):
            raise CommandError("Something could not be done. The next run tries again.")

    def _repeat(self, options: dict[str, Any]) -> None:
        while not self.stop.is_set():
            try:
                close_old_connections()
                self._run(options)
            except Exception:  # such as a database that does not answer: the next run tries again
                logger.exception("sweep_failed")
            self._pause(options["every"], options["parent"])

    def _pause(self, seconds: int, parent: int | None) -> None:
        until = time.monotonic() + seconds
        while not self.stop.wait(max(0, min(PARENT_CHECK_SECONDS, until - time.monotonic()))):
            if parent and os.getppid() != parent:
                self.stop.set()
            if time.monotonic() >= until:
                return

    def _run(self, options: dict[str, Any], *, retry_all: bool = False) -> bool:
        """Sweep once. Returns False if something failed."""
        started, counts, errors = time.monotonic(), Counter(dict.fromkeys(ACTIONS, 0)), []
        for result in sweep(Options(options["limit"], options["dry_run"], retry_all)):
            if result.error:
                errors.append(result)
            else:
                counts[result.action] += result.count
            if not options["json"]:
                self._print(result, options)
            if self.stop.is_set():
                break
        seconds = round(time.monotonic() - started, 3)
        logger.info(
            "sweep_finished", **counts, failed=len(errors), dry_run=options["dry_run"], seconds=seconds
        )
        self._print_summary(counts, errors, options)
        return not errors

    def _print(self, result: Result, options: dict[str, Any]) -> None:
        if result.error:
            self.stderr.write(printable(f"failed   {result.action} {result.name}: {result.error}"))
        elif options["dry_run"] or options["verbosity"] > 1:
            self.stdout.write(f"{result.action:9} {result.name}")

    def _print_summary(self, counts: Counter[str], errors: list[Result], options: dict[str, Any]) -> None:
        if options["json"]:
            failed = [{"action": each.action, "name": each.name, "error": each.error} for each in errors]
            self.stdout.write(json.dumps({"ok": not errors, "counts": counts, "errors": failed}))
        elif not options["every"]:
            done = ", ".join(f"{action} {count}" for action, count in counts.items() if count)
            would_be = "would be done: " if options["dry_run"] else ""
            self.stdout.write(f"{would_be}{done or 'nothing to do'}; failed {len(errors)}")
