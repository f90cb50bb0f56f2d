"""Finishes what requests have begun or forgotten: removals, uploads without a callback, expired tickets.

Safe to run at any time, also several at once. A single run also carries out the removals that wait because
the storage has failed. Exit code 1 if something failed: the next run tries it again. --json prints
{"ok": …, "counts": {…}, "errors": [{action, name, error}]}, one line for each run.
"""

import os
import signal
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import structlog
from django.db import Error, close_old_connections

from api import sweep_status
from api.database_outages import is_outage
from api.sweep import ACTIONS, sweep
from storage.management.commands import sweep as base
from storage.management.commands.sweep import Report, positive
from storage.sweep import Options, Result

PARENT_CHECK_SECONDS = 1.0

logger = structlog.get_logger("api.sweep")


class Command(base.Command):
    help = __doc__
    actions = ACTIONS

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--every", type=positive, metavar="SECONDS", help="run again and again, until it is terminated"
        )
        super().add_arguments(parser)
        parser.add_argument(
            "--parent",
            type=positive,
            metavar="PID",
            help="with --every: end when this parent process has ended",
        )
        parser.add_argument(
            "--touch",
            type=Path,
            metavar="FILE",
            help="with --every: touch this file after each run that did not break off, for health checks",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stop = Event()
        if options["every"]:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: self.stop.set())
            self._repeat(options)
        else:
            super().handle(*args, **options)

    def sweep(self, options: Options) -> Iterator[Result]:
        for result in sweep(options):
            yield result
            if self.stop.is_set():
                return

    def run(self, options: dict[str, Any], *, retry_all: bool = False) -> Report:
        """Sweep once, print what was done, log it, and record when it was."""
        started = time.monotonic()
        report = super().run(options, retry_all=retry_all)
        seconds = round(time.monotonic() - started, 3)
        failed, dry_run = len(report.errors), options["dry_run"]
        logger.info("sweep_finished", **report.counts, failed=failed, dry_run=dry_run, seconds=seconds)
        self.is_recorded = not dry_run and self._record(seconds, failed)
        return report

    def _record(self, seconds: float, failed: int) -> bool:
        """Return False if the database does not answer. What was done is done."""
        try:
            sweep_status.record(seconds, failed)
        except Error as error:
            logger.warning("sweep_not_recorded", outage="database", exc_info=error)
            return False
        return True

    def print_result(self, result: Result, options: dict[str, Any]) -> None:
        """With --every, what failed is in the logs: an outage once a minute, a fault when it happens."""
        if not (result.error and options["every"]):
            super().print_result(result, options)
        elif result.is_outage:
            what = result.error.partition(":")[0]
            task = {"action": result.action, "name": result.name, "error": result.error}
            logger.warning("sweep_task_failed", outage=what, **task)

    def print_report(self, report: Report, options: dict[str, Any]) -> None:
        if options["json"] or not options["every"]:
            super().print_report(report, options)

    def _repeat(self, options: dict[str, Any]) -> None:
        while not self.stop.is_set():
            try:
                close_old_connections()
                self.run(options)
                if options["touch"] and self.is_recorded:
                    options["touch"].touch()
            except Exception as error:  # the next run tries again
                if is_outage(error):
                    logger.warning("sweep_failed", outage="database", exc_info=error)
                else:
                    logger.exception("sweep_failed")
            self._pause(options["every"], options["parent"])

    def _pause(self, seconds: int, parent: int | None) -> None:
        until = time.monotonic() + seconds
        while not self.stop.wait(max(0, min(PARENT_CHECK_SECONDS, until - time.monotonic()))):
            if parent and os.getppid() != parent:
                self.stop.set()
            if time.monotonic() >= until:
                return
