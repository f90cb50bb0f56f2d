"""Copies every file that the database names from MEDIA_ROOT to Supabase, and verifies each. Safe to repeat.

Run it with the settings of the target (STORAGE=supabase, SUPABASE_URL, SUPABASE_SECRET_KEY); the site may
keep running with STORAGE=local. Exit code: 0 for success, 1 if some files failed or it was stopped, 2 if it
did not start.
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
from django.core.management.base import CommandError
from django.db import DatabaseError

from storage.buckets import Bucket
from storage.control_characters import printable
from storage.errors import StorageError
from storage.management.base import BaseCommand
from storage.supabase import configuration
from storage.transfer import backup, console
from storage.transfer.bandwidth import Bandwidth
from storage.transfer.dry_run import dry_run, orphans
from storage.transfer.journal import CompletedReferences, EntryResult, Journal, JournalError
from storage.transfer.purge import buckets_in, moved_references, purge
from storage.transfer.references import Column, NoSuchField, Reference, columns, has_table
from storage.transfer.report import Report, format_size
from storage.transfer.rollback import roll_back
from storage.transfer.run import Stopped, Transfer, selected
from storage.transfer.sending import SendOptions
from storage.transfer.target import is_same_store, required_buckets

JOURNAL = Path("migrate_to_supabase.journal")
BACKUPS = Path("media_backup")
MAX_JOBS = 64
OTHER_MODES = ("rollback", "purge_source")
#: Options of a transfer. Other modes refuse them instead of ignoring them.
TRANSFER_OPTIONS = ("model", "dry_run", "backup", "report", "limit", "exclude", "bwlimit")
SIZE = re.compile(r"(\d{1,12}(?:\.\d{1,12})?)([kMG]?)B?", re.IGNORECASE)
UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3}


class CannotStart(Exception):
    """The options or settings are wrong; the message has the cure."""


START_ERRORS = (CannotStart, NoSuchField, JournalError, StorageError, backup.BackupFailed)


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add(
            "--model",
            action="append",
            default=[],
            help="only these files: Species, api.Species or api.Species.image; repeatable",
        )
        add("--dry-run", action="store_true", help="write nothing, and report what would happen")
        add(
            "--backup",
            nargs="?",
            const=BACKUPS,
            type=Path,
            metavar="DIR",
            help="copy the files first (media_backup/)",
        )
        add("--jobs", type=_jobs, default=8, help=f"files uploaded at the same time (8; at most {MAX_JOBS})")
        add("--journal", type=Path, default=JOURNAL, help=f"record of what was done ({JOURNAL})")
        add("--report", type=Path, metavar="FILE.json", help="write the result as JSON")
        conflicts = ["skip", "fail", "rename"]
        add("--on-conflict", choices=conflicts, default="skip", help="if another object has the key (skip)")
        add(
            "--verify", choices=["sha256", "size"], default="sha256", help="how objects are verified (sha256)"
        )
        add("--rollback", type=Path, metavar="JOURNAL", help="undo: rows name their local files again")
        add(
            "--purge-source",
            action="store_true",
            help="delete local files that were moved, after verifying their objects",
        )
        add("--yes", action="store_true", help="do not ask for confirmation")
        add("--limit", type=_positive, help="stop after this number of files")
        add("--exclude", action="append", default=[], metavar="GLOB", help="file names to skip; repeatable")
        add("--bwlimit", type=_bytes, metavar="5M", help="bytes per second, for all jobs together")

    def handle(self, *args: Any, **options: Any) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # a terminal without Unicode must not abort a transfer
                stream.reconfigure(errors="backslashreplace")
        try:
            is_success = self._run(options)
        except START_ERRORS as error:
            raise CommandError(str(error), returncode=2) from error
        except DatabaseError as error:
            raise CommandError(f"Database error: {error}. Run the same command again.") from error
        except KeyboardInterrupt:
            self.stderr.write("Stopped immediately. Run the same command again to continue.")
            self._exit_now()
        if not is_success:
            sys.exit(1)

    def _run(self, options: dict[str, Any]) -> bool:
        if getattr(settings, "STORAGE", "supabase") != "supabase":
            raise CannotStart("Set STORAGE=supabase for this command: it sends files to Supabase.")
        _check_options(options)
        for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY"):
            if not getattr(settings, name):
                raise CannotStart(f"Set {name} of the project that files are sent to.")
        for wrong in configuration.check_url():
            if wrong.level == "problem":
                raise CannotStart(f"{wrong.what} {wrong.cure}")
        if options["rollback"]:
            return self._roll_back(options["rollback"])
        if options["purge_source"]:
            return self._purge(options)
        return self._transfer(options)

    # --- Transfer ---------------------------------------------------------------------------------------

    def _transfer(self, options: dict[str, Any]) -> bool:
        found = columns(options["model"])
        for column in found:
            if not has_table(column.field.model):
                raise CannotStart(f"{column.label} has no table: run migrate, or select others with --model.")
        if any(column.count() for column in found) and not Path(settings.MEDIA_ROOT).is_dir():
            raise CannotStart(
                f"MEDIA_ROOT {settings.MEDIA_ROOT} does not exist: set it to the folder of the files."
            )
        buckets = required_buckets(column.bucket for column in found)
        send_options = SendOptions(
            verify=options["verify"],
            on_conflict=options["on_conflict"],
            exclude=options["exclude"],
            bandwidth=Bandwidth(options["bwlimit"], options["jobs"]),
        )
        if options["dry_run"]:
            return self._dry_run(found, buckets, send_options, options["journal"])
        for column in found:
            _check_target(column.references())
        transfer = Transfer(
            found, buckets, send_options, options["journal"], options["jobs"], options["limit"]
        )
        if options["report"]:
            _check_writable(options["report"])
        self.stdout.write(f"from {settings.MEDIA_ROOT} to {settings.SUPABASE_URL}")
        self.stdout.write(f"journal {options['journal'].absolute()}")
        with Journal(options["journal"]):  # check it before anything is copied
            pass
        if options["backup"]:
            self._back_up(transfer, options["backup"])
        return self._run_transfer(transfer, options["report"], has_models=bool(options["model"]))

    def _back_up(self, transfer: Transfer, parent: Path) -> None:
        folder = backup.create_folder(parent)
        path = transfer.journal_path
        completed = CompletedReferences(path) if path.exists() else None
        references = selected(transfer.columns, transfer.options)
        left = (each for each in references if not (completed and completed.has(each)))
        copies = backup.back_up(islice(left, transfer.limit), transfer.buckets, folder)
        self.stdout.write(f"backup of {sum(1 for _ in copies)} files in {folder.absolute()}")

    def _run_transfer(self, transfer: Transfer, report_path: Path | None, *, has_models: bool) -> bool:
        report, is_stopped, failure = Report(transfer.journal_path), False, None
        total = sum(column.count() for column in transfer.columns)
        with _stop_on_interrupt(transfer.stop.set), console.progress(self.stdout, total) as show:
            try:
                for outcome in transfer.run():
                    report.add(outcome)
                    show(outcome, report)
            except Stopped:
                is_stopped = True
            except DatabaseError as error:
                is_stopped, failure = True, error
        is_partial = bool(transfer.limit or transfer.options.exclude or has_models)
        self._print_summary(report, is_stopped, is_partial=is_partial)
        if report_path:
            _write_report(report, report_path, is_stopped)
        if failure:
            raise failure
        if transfer.pending:
            self._exit_now()
        return not report.failures and not is_stopped

    def _exit_now(self) -> NoReturn:
        """End the process without joining threads that may hang in network calls."""
        self.stdout.flush()
        self.stderr.flush()
        os._exit(1)

    def _print_summary(self, report: Report, is_stopped: bool, *, is_partial: bool) -> None:
        write = self.stdout.write
        if report.counts:
            write(console.summary_table(report))
        counts = ", ".join(f"{number} {status}" for status, number in sorted(report.totals.items()))
        write(f"{counts or 'nothing to move'}; {format_size(report.bytes)} in {report.seconds:.0f} s")
        for failed in report.failed:
            write(printable(f"  {failed['reason']}: {failed['model']} {failed['id']}: {failed['message']}"))
        if report.failures > len(report.failed):
            write(f"  and {report.failures - len(report.failed)} more")
        if report.failures:
            write("fix the failures above, and run the same command again to continue")
        elif is_stopped:
            write("stopped: run the same command again to continue")
        elif is_partial or report.totals["changed"]:
            write("the selected files are moved: run it again for all files before you switch the site")
        elif report.totals["moved"] + report.totals["there"]:
            write("all files are moved: switch the site to Supabase, then run this command once more")
        else:
            write("all files are moved, and nothing was left to move")

    def _dry_run(
        self, found: list[Column], buckets: dict[str, Bucket], send_options: SendOptions, journal: Path
    ) -> bool:
        write = self.stdout.write
        completed = CompletedReferences(journal) if journal.exists() else None
        results = list(dry_run(found, buckets, send_options, completed))
        write(console.dry_run_table(results))
        for result in results:
            for old, new in result.renamed.items():
                write(f"  becomes: {result.bucket}: {old!r} → {new!r}")
            for message in result.collisions:
                write(printable(f"  collision: {message}"))
            for message in result.messages:
                write(printable(f"  {message}"))
        for path in orphans(columns(), journal):
            write(f"  orphan: {path!r} is named by no row and is not moved")
        write("nothing was written; conflicts with existing objects are only found when files are sent")
        return all(result.is_success for result in results)

    # --- Rollback and purge -----------------------------------------------------------------------------

    def _roll_back(self, journal: Path) -> bool:
        left = self._print_results("put back", roll_back(journal))
        self.stdout.write(
            "rows whose name did not change need no update; with STORAGE=local the site reads local files"
        )
        return "database" not in left

    def _purge(self, options: dict[str, Any]) -> bool:
        buckets = buckets_in(options["journal"])
        if not buckets:
            self.stdout.write("nothing was moved since the journal began, or since the last rollback")
            return True
        required_buckets(buckets)
        _check_target(moved_references(options["journal"]))
        question = (
            f"Delete the files below {settings.MEDIA_ROOT} that were moved and have verified objects? [y/N] "
        )
        if not options["yes"] and _answer(question) not in ("y", "yes"):
            self.stdout.write("nothing was deleted")
            return True
        return not self._print_results("deleted", purge(options["journal"], options["verify"]))

    def _print_results(self, verb: str, results: Iterable[EntryResult]) -> Counter[str]:
        """Print the results, and return how many files were left for each reason."""
        counts: Counter[str] = Counter()
        for result in results:
            counts[result.status] += 1
            if result.message:
                self.stdout.write(printable(f"  {result.status}: {result.message}"))
        done = counts.pop("done", 0)
        self.stdout.write(f"{done} {verb}, {counts.total()} left as they are")
        return counts


@contextmanager
def _stop_on_interrupt(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on the first Ctrl-C, so that files in flight finish. The second one interrupts."""

    def handle(*args: Any) -> None:
        stop()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _check_options(options: dict[str, Any]) -> None:
    """Refuse options that a mode would ignore, such as a dry run of a purge. Raises CannotStart."""
    for mode in OTHER_MODES:
        others = [name for name in (*TRANSFER_OPTIONS, *OTHER_MODES) if name != mode and options[name]]
        if options[mode] and others:
            raise CannotStart(f"{_flag(mode)} cannot be combined with {', '.join(map(_flag, others))}.")
    if options["report"] and options["report"].absolute() == options["journal"].absolute():
        raise CannotStart("--report and --journal name the same file, and a rollback needs the journal.")


def _check_target(references: Iterable[Reference]) -> None:
    """Raise CannotStart if the target is a local store in this MEDIA_ROOT."""
    if is_same_store(references):
        raise CannotStart(
            f"SUPABASE_URL {settings.SUPABASE_URL} is a local store that uses the same MEDIA_ROOT: "
            "set it to your Supabase project."
        )


def _flag(option: str) -> str:
    """Return the option as it is typed on the command line."""
    return f"--{option.replace('_', '-')}"


def _check_writable(path: Path) -> None:
    """Raises CannotStart."""
    try:
        path.open("ab").close()
    except OSError as error:
        raise CannotStart(f"--report {path} cannot be written: {error.strerror}.") from error


def _write_report(report: Report, path: Path, is_stopped: bool) -> None:
    try:
        report.write(path, stopped=is_stopped)
    except OSError as error:
        raise CommandError(
            f"--report {path} cannot be written: {error.strerror}. The results above are complete."
        ) from error


def _answer(question: str) -> str:
    try:
        return input(question).strip().lower()
    except EOFError:
        raise CannotStart(
            "There is no terminal for the question: use --yes to delete without asking."
        ) from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def _jobs(text: str) -> int:
    if _positive(text) > MAX_JOBS:
        raise ArgumentTypeError(f"{text} is more than {MAX_JOBS}")
    return int(text)


def _bytes(text: str) -> int:
    match = SIZE.fullmatch(text)
    if not match or int(float(match[1]) * UNITS[match[2].upper()]) < 1:
        raise ArgumentTypeError(f"{text!r} is not a rate such as 500k, 5M or 1.5G")
    return int(float(match[1]) * UNITS[match[2].upper()])
