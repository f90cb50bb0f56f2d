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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from storage.buckets import Bucket
from storage.errors import StorageError
from storage.supabase import configuration
from storage.transfer import backup, console
from storage.transfer.bandwidth import Bandwidth
from storage.transfer.dry_run import dry_run, orphans
from storage.transfer.journal import Done, Journal, Step, WrongJournal
from storage.transfer.purge import buckets_in, moved, purge
from storage.transfer.references import Column, NoSuchField, Reference, columns, has_table, printable
from storage.transfer.report import Report, size
from storage.transfer.rollback import roll_back
from storage.transfer.run import Move, Stopped, wanted
from storage.transfer.sending import SendOptions
from storage.transfer.target import buckets_of, is_same_store

JOURNAL = Path("migrate_to_supabase.journal")
BACKUPS = Path("media_backup")
MOST_JOBS = 64
GOING_BACK = ("rollback", "purge_source")
#: What says nothing to those, and must not be passed over in silence.
OF_MOVES = ("model", "dry_run", "backup", "report", "limit", "exclude", "bwlimit")
SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)([kMG]?)B?", re.IGNORECASE)
UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


class Refused(Exception):
    """The command cannot start as it was typed, or where it was; the message has the cure."""


REFUSALS = (Refused, NoSuchField, WrongJournal, StorageError, backup.BackupFailed)


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
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # a terminal that lacks letters must not end a move
                stream.reconfigure(errors="backslashreplace")
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
        _must_agree(options)
        for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY"):
            if not getattr(settings, name):
                raise Refused(f"Set {name}: files go to that project.")
        for wrong in configuration.check_url():
            if wrong.level == "problem":
                raise Refused(f"{wrong.what} {wrong.cure}")
        if options["rollback"]:
            return self._roll_back(options["rollback"])
        if options["purge_source"]:
            return self._purge(options)
        return self._move(options)

    # --- Moving -----------------------------------------------------------------------------------------

    def _move(self, options: dict[str, Any]) -> bool:
        found = columns(options["model"])
        for column in found:
            if not has_table(column.field.model):
                raise Refused(f"{column.label} has no table: migrate, or name the others by --model.")
        if any(column.count() for column in found) and not Path(settings.MEDIA_ROOT).is_dir():
            raise Refused(f"MEDIA_ROOT {settings.MEDIA_ROOT} is not there: set it to where the files are.")
        buckets = buckets_of(column.bucket for column in found)
        rules = SendOptions(
            verify=options["verify"],
            on_conflict=options["on_conflict"],
            exclude=options["exclude"],
            pace=Bandwidth(options["bwlimit"], options["jobs"]),
        )
        if options["dry_run"]:
            return self._survey(found, buckets, rules, options["journal"])
        for column in found:
            _must_be_another_store(column.references())
        move = Move(found, buckets, rules, options["journal"], options["jobs"], options["limit"])
        if options["report"]:
            _try_to_write(options["report"])
        self.stdout.write(f"from {settings.MEDIA_ROOT} to {settings.SUPABASE_URL}")
        self.stdout.write(f"journal {options['journal'].absolute()}")
        with Journal(options["journal"]):  # before anything is copied
            pass
        if options["backup"]:
            self._back_up(move, options["backup"])
        return self._watch(move, options["report"], narrowed=bool(options["model"]))

    def _back_up(self, move: Move, folder: Path) -> None:
        place = backup.place_in(folder)
        done = Done(move.path) if move.path.exists() else None
        left = (each for each in wanted(move.columns, move.rules) if not (done and done.has(each)))
        copied = sum(1 for _ in backup.back_up(islice(left, move.limit), move.buckets, place))
        self.stdout.write(f"backup of {copied} files in {place.absolute()}")

    def _watch(self, move: Move, report_path: Path | None, *, narrowed: bool) -> bool:
        report, stopped, failure = Report(move.path), False, None
        total = sum(column.count() for column in move.columns)
        with _interrupt(move.stop.set), console.progress(self.stdout, total) as show:
            try:
                for outcome in move.run():
                    report.add(outcome)
                    show(outcome, report)
            except Stopped:
                stopped = True
            except DatabaseError as error:
                stopped, failure = True, error
        self._conclude(report, stopped, all_asked=not (move.limit or move.rules.exclude or narrowed))
        if report_path:
            _written(report, report_path, stopped)
        if failure:
            raise failure
        if move.waiting:
            self._leave()
        return not report.failures and not stopped

    def _leave(self) -> NoReturn:
        """Threads that hang in the network would keep this process from ending."""
        self.stdout.flush()
        self.stderr.flush()
        os._exit(1)

    def _conclude(self, report: Report, stopped: bool, *, all_asked: bool) -> None:
        say = self.stdout.write
        if report.counts:
            say(console.summary(report))
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
        elif not all_asked or report.totals["changed"]:
            say("what was asked for is there: run it again, for all, before the site is switched")
        elif report.totals["moved"] + report.totals["there"]:
            say("all is there: switch the site to Supabase, then run this once more")
        else:
            say("all is there, and nothing was left to move")

    def _survey(
        self, columns_: list[Column], buckets: dict[str, Bucket], rules: SendOptions, journal: Path
    ) -> bool:
        say = self.stdout.write
        found = list(dry_run(columns_, buckets, rules, Done(journal) if journal.exists() else None))
        say(console.findings(found))
        for each in found:
            for old, new in each.renamed.items():
                say(f"  becomes: {each.bucket}: {old!r} → {new!r}")
            for message in each.collisions:
                say(f"  collision: {message}")
            for message in each.messages:
                say(f"  {message}")
        for path in orphans(columns(), journal):
            say(f"  orphan: {path!r} is named by no row: it stays where it is")
        say("nothing was written; whether other objects have these keys shows when they are sent")
        return all(each.is_good for each in found)

    # --- Going back, and clearing up --------------------------------------------------------------------

    def _roll_back(self, journal: Path) -> bool:
        left = self._steps("put back", roll_back(journal))
        self.stdout.write(
            "rows whose name had not changed need nothing; with STORAGE=local the site reads this disk"
        )
        return "database" not in left

    def _purge(self, options: dict[str, Any]) -> bool:
        buckets = buckets_in(options["journal"])
        if not buckets:
            self.stdout.write("nothing was moved since the journal began, or since the last rollback")
            return True
        buckets_of(buckets)
        _must_be_another_store(moved(options["journal"]))
        question = (
            f"Delete the files below {settings.MEDIA_ROOT} that were moved and prove to be there? [y/N] "
        )
        if not options["yes"] and _answer(question) not in ("y", "yes"):
            self.stdout.write("nothing was deleted")
            return True
        return not self._steps("deleted", purge(options["journal"], options["verify"]))

    def _steps(self, verb: str, steps: Iterable[Step]) -> Counter[str]:
        """Why some were left, and how many."""
        counts: Counter[str] = Counter()
        for step in steps:
            counts[step.what] += 1
            if step.message:
                self.stdout.write(printable(f"  {step.what}: {step.message}"))
        done = counts.pop("done", 0)
        self.stdout.write(f"{done} {verb}, {counts.total()} left as they are")
        return counts


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


def _must_agree(options: dict[str, Any]) -> None:
    """Whoever asks for a dry run, or for some files only, must not see all deleted. Raises Refused."""
    for mode in GOING_BACK:
        others = [name for name in (*OF_MOVES, *GOING_BACK) if name != mode and options[name]]
        if options[mode] and others:
            raise Refused(f"{_spelled(mode)} does not go with {', '.join(map(_spelled, others))}.")
    if options["report"] and options["report"].absolute() == options["journal"].absolute():
        raise Refused("--report and --journal name the same file, and the journal is the way back.")


def _must_be_another_store(references: Iterable[Reference]) -> None:
    if is_same_store(references):
        raise Refused(
            f"SUPABASE_URL {settings.SUPABASE_URL} is a store that keeps its files in this very MEDIA_ROOT: "
            "set it to your project."
        )


def _spelled(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _try_to_write(path: Path) -> None:
    try:
        path.open("ab").close()
    except OSError as error:
        raise Refused(f"--report {path} cannot be written: {error.strerror}.") from error


def _written(report: Report, path: Path, stopped: bool) -> None:
    try:
        report.write(path, stopped=stopped)
    except OSError as error:
        raise CommandError(
            f"--report {path} cannot be written: {error.strerror}. All else is as it says above."
        ) from error


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
