"""Copies every file that the database names from MEDIA_ROOT to Supabase, and verifies each. Safe to repeat.

Run it with the settings of the target (STORAGE=supabase, SUPABASE_URL, SUPABASE_SECRET_KEY); the site may
keep running with STORAGE=local. Exit code: 0 for success, 1 if some files failed or it was stopped, 2 if it
did not start.
"""

import os
import signal
import sys
from argparse import ArgumentParser
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

from storage.base import SignedStorage
from storage.buckets import Bucket
from storage.control_characters import printable
from storage.errors import StorageError
from storage.management.base import BaseCommand
from storage.supabase import configuration
from storage.transfer import backup, console
from storage.transfer.bandwidth import Bandwidth
from storage.transfer.dry_run import dry_run, orphans
from storage.transfer.entries import EntryResult
from storage.transfer.file_index import FileIndex
from storage.transfer.journal import CompletedReferences, Journal, JournalError
from storage.transfer.mentions import MentionFinder
from storage.transfer.options import CannotStart, add_arguments, check
from storage.transfer.purge import buckets_in, moved_references, purge
from storage.transfer.references import Column, NoSuchField, Reference, columns, has_table
from storage.transfer.report import Report
from storage.transfer.rewriting import add_moved_files, find_mentions, rewrite_texts
from storage.transfer.rollback import roll_back
from storage.transfer.run import Stopped, Transfer, selected
from storage.transfer.sending import SendOptions
from storage.transfer.target import is_same_store, required_buckets

START_ERRORS = (CannotStart, NoSuchField, JournalError, StorageError, backup.BackupFailed)


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_arguments(parser)

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
        check(options)
        for name in ("SUPABASE_URL", "SUPABASE_SECRET_KEY"):
            if not getattr(settings, name):
                raise CannotStart(f"Set {name} of the project that files are sent to.")
        for wrong in configuration.check_url():
            if wrong.level == "problem":
                raise CannotStart(f"{wrong.what} {wrong.cure}")
        if options["rollback"]:
            return self._roll_back(options["rollback"], is_fetching=options["fetch"])
        if options["purge_source"]:
            return self._purge(options)
        return self._transfer(options)

    # --- Transfer ---------------------------------------------------------------------------------------

    def _transfer(self, options: dict[str, Any]) -> bool:
        found = columns(options["model"])
        for column in found:
            if not has_table(column.field.model):
                raise CannotStart(f"{column.label} has no table: run migrate, or select others with --model.")
            store = column.field.storage
            if isinstance(store, SignedStorage) and store.location:
                raise CannotStart(
                    f"The storage of {column.label} has the option location, with which files are not found "
                    "under their names: leave it out, or select other fields with --model."
                )
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
            return self._dry_run(found, buckets, send_options, options)
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
        return self._run_transfer(transfer, options)

    def _back_up(self, transfer: Transfer, parent: Path) -> None:
        folder = backup.create_folder(parent)
        path = transfer.journal_path
        completed = CompletedReferences(path) if path.exists() else None
        references = selected(transfer.columns, transfer.options)
        left = (each for each in references if not (completed and completed.has(each)))
        copies = backup.back_up(islice(left, transfer.limit), transfer.buckets, folder)
        self.stdout.write(f"backup of {sum(1 for _ in copies)} files in {folder.absolute()}")

    def _run_transfer(self, transfer: Transfer, options: dict[str, Any]) -> bool:
        report, is_stopped, failure = Report(transfer.journal_path), False, None
        total = sum(column.count() for column in transfer.columns)
        with _stop_on_interrupt(transfer.stop.set):
            try:
                with console.progress(self.stdout, total) as show:
                    for outcome in transfer.run():
                        report.add(outcome)
                        try:
                            show(outcome, report)
                        except BrokenPipeError:  # what was moved must still be recorded
                            transfer.stop.set()
                self._examine_texts(transfer, report, options)
            except Stopped:
                is_stopped = True
            except DatabaseError as error:
                is_stopped, failure = True, error
        is_partial = _is_partial(options)
        try:
            for line in console.summary(report, is_stopped=is_stopped, is_partial=is_partial):
                self.stdout.write(line)
        finally:  # also if the reader of the output has ended
            if options["report"]:
                _write_report(report, options["report"], is_stopped)
        if failure:
            raise failure
        if transfer.pending:
            self._exit_now()
        return not report.failures and not is_stopped

    def _examine_texts(self, transfer: Transfer, report: Report, options: dict[str, Any]) -> None:
        """Report the texts that mention moved files, and change them if asked. Raises Stopped."""
        index = FileIndex(transfer.buckets)
        add_moved_files(index, transfer.journal_path)
        finder = MentionFinder(index, options["site_host"])
        is_rewriting = options["rewrite_text"]
        mentions = rewrite_texts(finder, transfer.journal_path) if is_rewriting else find_mentions(finder)
        for mention in mentions:
            if mention.status != "unmoved" or not _is_partial(options):  # a later run may move the file
                report.add_mention(mention)
                self.stdout.write(console.mention_line(mention))
            if transfer.stop.is_set():
                raise Stopped

    def _exit_now(self) -> NoReturn:
        """End the process without joining threads that may hang in network calls."""
        self.stdout.flush()
        self.stderr.flush()
        os._exit(1)

    def _dry_run(
        self,
        found: list[Column],
        buckets: dict[str, Bucket],
        send_options: SendOptions,
        options: dict[str, Any],
    ) -> bool:
        write, journal = self.stdout.write, options["journal"]
        completed, index = None, FileIndex(buckets)
        if journal.exists():
            completed = CompletedReferences(journal)
            add_moved_files(index, journal)
        results = list(dry_run(found, buckets, send_options, completed, index, options["limit"]))
        for line in console.dry_run_lines(results):
            write(line)
        for path in orphans(columns(), journal):
            write(printable(f"  orphan: {path!r} is named by no row and is not moved"))
        texts: Counter[str] = Counter()
        for mention in find_mentions(MentionFinder(index, options["site_host"])):
            if mention.status != "unmoved" or not _is_partial(options):
                texts[mention.status] += 1
                write(console.mention_line(mention))
        if texts:
            write("--rewrite-text changes the texts above that have an arrow; links in the others will break")
        write("nothing was written; conflicts with existing objects are only found when files are sent")
        return all(result.is_success for result in results) and not texts["failed"]

    # --- Rollback and purge -----------------------------------------------------------------------------

    def _roll_back(self, journal: Path, *, is_fetching: bool) -> bool:
        left = self._print_results("put back", roll_back(journal, is_fetching=is_fetching))
        self.stdout.write(
            "rows whose name did not change need no update; with STORAGE=local the site reads local files"
        )
        return not left.keys() & {"database", "disk", "storage", "failed"}

    def _purge(self, options: dict[str, Any]) -> bool:
        buckets = buckets_in(options["journal"])
        if not buckets:
            self.stdout.write("nothing was moved since the journal began, or since the last rollback")
            return True
        index = FileIndex(required_buckets(buckets))
        add_moved_files(index, options["journal"])
        _check_target(moved_references(options["journal"]))
        question = (
            f"Delete the files below {settings.MEDIA_ROOT} that were moved and have verified objects? [y/N] "
        )
        if not options["yes"] and _answer(question) not in ("y", "yes"):
            self.stdout.write("nothing was deleted")
            return True
        finder = MentionFinder(index, options["site_host"])
        return not self._print_results("deleted", purge(options["journal"], options["verify"], finder))

    def _print_results(self, verb: str, results: Iterable[EntryResult]) -> Counter[str]:
        """Print the results, and return how many files were left for each reason."""
        counts: Counter[str] = Counter()
        for result in results:
            counts[result.status] += 1
            if result.message:
                self.stdout.write(printable(f"  {result.status}: {result.message}"))
        done, fetched = counts.pop("done", 0), counts.pop("fetched", 0)
        fetches = f", {fetched} fetched" if fetched else ""
        self.stdout.write(f"{done} {verb}{fetches}, {counts.total()} left as they are")
        return counts


def _is_partial(options: dict[str, Any]) -> bool:
    """Return True if the options select some of the files."""
    return bool(options["limit"] or options["exclude"] or options["model"])


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


def _check_target(references: Iterable[Reference]) -> None:
    """Raise CannotStart if the target is a local store in this MEDIA_ROOT."""
    if is_same_store(references):
        raise CannotStart(
            f"SUPABASE_URL {settings.SUPABASE_URL} is a local store that uses the same MEDIA_ROOT: "
            "set it to your Supabase project."
        )


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
