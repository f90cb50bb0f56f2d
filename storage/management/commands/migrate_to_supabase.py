"""Moves every file that the database names from MEDIA_ROOT to Supabase, and proves each. Safe to repeat.

Its own process has the target's settings (STORAGE=supabase, SUPABASE_URL, SUPABASE_SECRET_KEY); the site
may run on with STORAGE=local meanwhile. Exit code: 0 all is well, 1 some files failed or it was stopped,
2 it refused to start.
"""

import os
import re
import signal
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from storage.base import StorageUnavailable
from storage.transfer import backup, display
from storage.transfer.files import Rules
from storage.transfer.journal import Done, WrongJournal
from storage.transfer.moving import Move, Stopped, wanted
from storage.transfer.pace import Pace
from storage.transfer.purge import buckets_in, purge
from storage.transfer.references import NoSuchField, columns
from storage.transfer.report import Report, size
from storage.transfer.rollback import roll_back
from storage.transfer.steps import Step
from storage.transfer.survey import orphans, survey
from storage.transfer.target import buckets_of

JOURNAL = Path("migrate_to_supabase.journal")
BACKUPS = Path("media_backup")
MOST_JOBS = 64
SIZE = re.compile(r"(\d+(?:\.\d+)?)([kMG]?)B?", re.IGNORECASE)
UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


class Refused(Exception):
    """The command cannot start as it was typed, or where it was; the message has the cure."""


REFUSALS = (Refused, NoSuchField, WrongJournal, StorageUnavailable, backup.BackupFailed)


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--model",
            action="append",
            default=[],
            help="Species, api.Species or api.Species.image; repeatable",
        )
        add("--dry-run", action="store_true", help="write nothing anywhere, and say what would happen")
        add("--backup", nargs="?", const=BACKUPS, type=Path, metavar="DIR", help="copy first (media_backup/)")
        add("--jobs", type=_jobs, default=8, help=f"files sent at the same time (8; at most {MOST_JOBS})")
        add("--journal", type=Path, default=JOURNAL, help=f"where it stands what was done ({JOURNAL})")
        add("--report", type=Path, metavar="FILE.json", help="the result, for machines")
        conflicts = ["skip", "fail", "rename"]
        add("--on-conflict", choices=conflicts, default="skip", help="another object has the key (skip)")
        add("--verify", choices=["sha256", "size"], default="sha256", help="how an object is proved (sha256)")
        add("--rollback", type=Path, metavar="JOURNAL", help="rows name their local files again")
        add("--purge-source", action="store_true", help="delete local files that were moved and verify")
        add("--yes", action="store_true", help="do not ask")
        add("--limit", type=_positive, help="stop after so many files")
        add("--exclude", action="append", default=[], metavar="GLOB", help="names to leave alone; repeatable")
        add("--bwlimit", type=_bytes, metavar="5M", help="bytes a second, for all jobs together")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            good = self._run(options)
        except REFUSALS as error:
            raise CommandError(str(error), returncode=2) from error
        except DatabaseError as error:
            raise CommandError(f"The database fails: {error}. Type the same command again.") from error
        except KeyboardInterrupt:
            self.stderr.write("Stopped at once. Type the same command again, and it goes on.")
            self._leave()
        if not good:
            sys.exit(1)

    def _run(self, options: dict[str, Any]) -> bool:
        if getattr(settings, "STORAGE", "supabase") != "supabase":
            raise Refused("Set STORAGE=supabase for this command: it is where files go.")
        for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY"):
            if not getattr(settings, name, ""):
                raise Refused(f"Set {name}: it is where files go.")
        if options["rollback"]:
            return self._roll_back(options["rollback"])
        if options["purge_source"]:
            return self._purge(options)
        return self._move(options)

    # --- Moving -----------------------------------------------------------------------------------------

    def _move(self, options: dict[str, Any]) -> bool:
        found = columns(options["model"])
        if any(column.count() for column in found) and not Path(settings.MEDIA_ROOT).is_dir():
            raise Refused(f"MEDIA_ROOT {settings.MEDIA_ROOT} is not there: set it to where the files are.")
        buckets = buckets_of(column.bucket for column in found)
        rules = Rules(
            verify=options["verify"],
            on_conflict=options["on_conflict"],
            exclude=options["exclude"],
            pace=Pace(options["bwlimit"]),
        )
        if options["dry_run"]:
            return self._survey(list(survey(found, buckets, rules)))
        move = Move(found, buckets, rules, options["journal"], options["jobs"], options["limit"])
        if options["report"]:
            _try_to_write(options["report"])
        self.stdout.write(f"from {settings.MEDIA_ROOT} to {settings.SUPABASE_URL}")
        self.stdout.write(f"journal {options['journal'].absolute()}")
        if options["backup"]:
            self._back_up(move, options["backup"])
        return self._watch(move, options["report"])

    def _back_up(self, move: Move, folder: Path) -> None:
        place = backup.place_in(folder)
        done = Done(move.path) if move.path.exists() else None
        left = (each for each in wanted(move.columns, move.rules) if not (done and done.has(each)))
        copied = sum(1 for _ in backup.back_up(left, move.buckets, place))
        self.stdout.write(f"backup of {copied} files in {place.absolute()}")

    def _watch(self, move: Move, report_path: Path | None) -> bool:
        report, stopped = Report(move.path), False
        total = sum(column.count() for column in move.columns)
        with _interrupt(move.stop.set), display.progress(self.stdout, total) as show:
            try:
                for outcome in move.run():
                    report.add(outcome)
                    show(outcome, report)
            except Stopped:
                stopped = True
        if report_path:
            report.write(report_path, stopped=stopped)
        self._conclude(report, stopped)
        if move.waiting:
            self._leave()
        return not report.failures and not stopped

    def _leave(self) -> None:
        """Threads that hang in the network would keep this process from ending."""
        self.stdout.flush()
        self.stderr.flush()
        os._exit(1)

    def _conclude(self, report: Report, stopped: bool) -> None:
        say = self.stdout.write
        if report.counts:
            say(display.summary(report))
        counts = ", ".join(f"{number} {what}" for what, number in sorted(report.totals.items()))
        say(f"{counts or 'nothing to move'}; {size(report.bytes)} in {report.seconds:.0f} s")
        for failed in report.failed:
            say(f"  {failed['reason']}: {failed['model']} {failed['id']}: {failed['message']}")
        if report.failures > len(report.failed):
            say(f"  and {report.failures - len(report.failed)} more")
        if report.failures:
            say("mend what is named above, and type the same command again: it goes on from here")
        elif stopped:
            say("stopped: type the same command again, and it goes on from here")
        else:
            say("all is there: set STORAGE=supabase for the site, then run this once more")

    def _survey(self, found: list[Any]) -> bool:
        say = self.stdout.write
        say(display.findings(found))
        for each in found:
            for old, new in each.renamed.items():
                say(f"  becomes: {each.bucket}: {old!r} → {new!r}")
            for message in each.collisions:
                say(f"  collision: {message}")
            for message in each.messages:
                say(f"  {message}")
        for path in orphans(columns()):
            say(f"  orphan: {path!r} is named by no row: it stays where it is")
        say("nothing was written")
        return all(each.is_good for each in found)

    # --- Going back, and clearing up --------------------------------------------------------------------

    def _roll_back(self, journal: Path) -> bool:
        self._steps("put back", roll_back(journal))
        return True

    def _purge(self, options: dict[str, Any]) -> bool:
        buckets_of(buckets_in(options["journal"]))
        question = f"Delete the files below {settings.MEDIA_ROOT} that were moved and verify? [y/N] "
        if not options["yes"] and _answer(question) not in ("y", "yes"):
            self.stdout.write("nothing was deleted")
            return True
        return self._steps("deleted", purge(options["journal"], options["verify"]))

    def _steps(self, verb: str, steps: Iterable[Step]) -> bool:
        done, left = 0, 0
        for step in steps:
            done += step.what == "done"
            left += step.what != "done"
            if step.message:
                self.stdout.write(f"  {step.what}: {step.message}")
        self.stdout.write(f"{done} {verb}, {left} left as they are")
        return not left


@contextmanager
def _interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C once lets the files in flight end; twice, and it is over."""

    def handle(*args: Any) -> None:
        stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _try_to_write(path: Path) -> None:
    try:
        path.open("ab").close()
    except OSError as error:
        raise Refused(f"--report {path} cannot be written: {error.strerror}.") from error


def _answer(question: str) -> str:
    try:
        return input(question).strip().lower()
    except EOFError:
        raise Refused("Nobody is here to answer: say --yes to delete without a question.") from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _jobs(text: str) -> int:
    if _positive(text) > MOST_JOBS:
        raise ArgumentTypeError(f"{text} is more than {MOST_JOBS}")
    return int(text)


def _bytes(text: str) -> int:
    match = SIZE.fullmatch(text)
    if not match or int(float(match[1]) * UNITS[match[2].upper()]) < 1:
        raise ArgumentTypeError(f"{text!r} is no rate: 500k, 5M, 1.5G")
    return int(float(match[1]) * UNITS[match[2].upper()])
