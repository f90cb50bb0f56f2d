"""Run the transfer: threads send files, the main thread changes rows and writes the journal.

Each reference goes through the same steps, and may be interrupted between any two of them: the object is in
its bucket and verified; the local file has a hard link with its new name; the journal says that the row is
about to change; the row changes, if it still has the old name; the journal says that it is done.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue

from django.db import DatabaseError

from storage.buckets import Bucket
from storage.errors import ObjectMissing, StorageError, StorageMisconfigured, StorageUnavailable
from storage.keys import InvalidKey
from storage.supabase.deadlines import minimum_rate
from storage.transfer import hard_links
from storage.transfer.entries import Entry
from storage.transfer.journal import CompletedReferences, Journal
from storage.transfer.local_files import identity
from storage.transfer.references import Column, Reference
from storage.transfer.renaming import key_for_name
from storage.transfer.sending import SendOptions, Sent, TransferFailed, send_file, unexpected
from storage.transfer.target import MAX_PAUSE

JOBS_PER_EXTRA_THREAD = 2  # for so many jobs there is one more thread, which verifies and moves objects
FILES_PER_THREAD = 2  # files that are submitted at the same time: being sent, or waiting
STOP_TIMEOUT = 25  # seconds that files in flight have to finish after a stop
SLOW_UPDATE = 1  # seconds: if a change of a row takes longer, no row is changed after a stop
POLL_INTERVAL = 0.2  # seconds between two checks for a stop
RETRY_PAUSES = (1, 3, 9, 27)  # seconds between attempts at one file; each call has attempts of its own
MAX_FAILURES_PER_THREAD = 3  # consecutive files that fail because of the storage; then the transfer stops


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome for one reference. Size in bytes.

    `status` is moved, there (it existed before), done (by an earlier run), remote (uploaded to the bucket
    directly), changed (the row names another file by now, which the next run sends), another reason of a
    TransferFailed, storage, misconfigured, database, or failed for an unexpected error.
    """

    status: str
    reference: Reference
    size: int = 0
    message: str = ""

    @property
    def is_success(self) -> bool:
        return self.status in ("moved", "there", "done", "remote", "changed")


class Stopped(Exception):
    """The transfer ended early; the journal has what was done."""


@dataclass
class Transfer:
    """`buckets`: the buckets of the project by name. Set `stop` to end the transfer early."""

    columns: list[Column]
    buckets: dict[str, Bucket]
    options: SendOptions
    journal_path: Path
    jobs: int = 8
    limit: int | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.threads = self.jobs + self.jobs // JOBS_PER_EXTRA_THREAD
        self.options = replace(self.options, semaphore=threading.BoundedSemaphore(self.jobs))
        self.submitted: set[int] = set()  # hashes of files: one that several rows name is sent only once
        self.references: dict[tuple[str, ...], list[Reference]] = {}  # rows waiting for a file, by file
        self.pending: dict[Future[Sent], tuple[str, ...]] = {}  # files, by future
        self.finished: SimpleQueue[Future[Sent]] = SimpleQueue()
        self.look_first = False  # the last object already existed: so the next one probably does too
        self.storage_failures = 0  # consecutive files
        self.is_database_slow = False  # the last change of a row took longer than SLOW_UPDATE
        self.counted = 0  # references that were submitted and have not failed

    def run(self) -> Iterator[Outcome]:
        """Transfer all files and yield an outcome for each reference.

        Raises Stopped after a stop, once the files in flight have finished or STOP_TIMEOUT has passed.
        """
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="move")
        try:
            with Journal(self.journal_path) as self.journal:
                yield from self._transfer_all(pool, CompletedReferences(self.journal_path))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _transfer_all(self, pool: ThreadPoolExecutor, completed: CompletedReferences) -> Iterator[Outcome]:
        for reference in selected(self.columns, self.options):
            if self.stop.is_set():
                break
            try:
                is_completed, file = completed.has(reference), _file_of(reference)
            except DatabaseError:
                raise
            except Exception as error:
                yield Outcome("failed", reference, message=unexpected(reference.name, error))
                continue
            if is_completed:
                yield Outcome("done", reference)
                continue
            while self._must_wait():
                yield from self._process_finished()
            if self.counted == self.limit:
                break
            self.counted += 1
            self._submit(pool, reference, file)
        yield from self._finish_pending()

    def _must_wait(self) -> bool:
        """Return True while the queue is full, or pending files may still fail and free up the limit."""
        is_full = len(self.pending) >= self.threads * FILES_PER_THREAD or self.counted == self.limit
        return bool(self.pending) and is_full and not self.stop.is_set()

    def _submit(self, pool: ThreadPoolExecutor, reference: Reference, file: tuple[str, ...]) -> None:
        """Submit the file, or wait for it with the other rows that name it.

        If it was sent before and has finished, the object is looked for first.
        """
        if file in self.references:
            return self.references[file].append(reference)
        options = replace(self.options, look_first=self.look_first or hash(file) in self.submitted)
        self.submitted.add(hash(file))
        self.references[file] = [reference]
        future = pool.submit(self._send, reference, options)
        self.pending[future] = file
        future.add_done_callback(self.finished.put)

    def _send(self, reference: Reference, options: SendOptions) -> Sent:
        with minimum_rate(options.bandwidth.min_rate):
            return self._send_with_retries(reference, options)

    def _send_with_retries(self, reference: Reference, options: SendOptions) -> Sent:
        """Retry after growing pauses, or after Retry-After if that is longer."""
        bucket = self.buckets[reference.column.bucket]
        for pause in RETRY_PAUSES:
            try:
                return send_file(bucket, reference, options)
            except StorageMisconfigured:
                raise
            except (StorageUnavailable, ObjectMissing) as error:
                retry_after = getattr(error, "retry_after", None) or 0
                if self.stop.wait(min(max(pause, retry_after), MAX_PAUSE)):
                    raise
                options = replace(options, look_first=True)
        return send_file(bucket, reference, options)

    def _finish_pending(self) -> Iterator[Outcome]:
        """Wait for the files in flight, without submitting more. Raises Stopped after a stop."""
        until = None
        while self.pending and (until is None or time.monotonic() < until):
            if self.stop.is_set() and until is None:
                until = time.monotonic() + STOP_TIMEOUT
                self.pending = {each: file for each, file in self.pending.items() if not each.cancel()}
            yield from self._process_finished()
        if self.stop.is_set():
            raise Stopped

    def _process_finished(self) -> Iterator[Outcome]:
        sent: list[tuple[Reference, Sent]] = []
        for future in self._finished_futures():
            references = self.references.pop(self.pending.pop(future))
            try:
                result = future.result()
                sent += [(reference, result) for reference in references]
                self.look_first, self.storage_failures = result.already_existed, 0
            except DatabaseError:
                raise
            except Exception as error:
                yield from (self._fail(reference, error) for reference in references)
        yield from self._record(sent)

    def _finished_futures(self) -> list[Future[Sent]]:
        """Wait up to POLL_INTERVAL for the first future, and return all that have finished, not cancelled."""
        futures: list[Future[Sent]] = []
        with suppress(Empty):
            futures.append(self.finished.get(timeout=POLL_INTERVAL))
            while True:
                futures.append(self.finished.get_nowait())
        return [future for future in futures if not future.cancelled()]

    def _fail(self, reference: Reference, error: Exception) -> Outcome:
        """Count the failure and return its outcome; set `stop` if the transfer cannot go on.

        An unexpected error does not stop it: it may concern this file only.
        """
        self.counted -= 1
        if isinstance(error, TransferFailed):
            is_changed = error.reason == "missing" and not reference.is_current()
            if error.reason == "conflict" and self.options.on_conflict == "fail":
                self.stop.set()
            return Outcome("changed" if is_changed else error.reason, reference, message=str(error))
        if not isinstance(error, StorageError):
            return Outcome("failed", reference, message=unexpected(reference.name, error))
        self.storage_failures += 1
        is_misconfigured = isinstance(error, StorageMisconfigured)
        if is_misconfigured or self.storage_failures >= MAX_FAILURES_PER_THREAD * self.threads:
            self.stop.set()
        status = "misconfigured" if is_misconfigured else "storage"
        return Outcome(status, reference, message=f"{reference.name!r}: {error}")

    def _record(self, sent: Iterable[tuple[Reference, Sent]]) -> Iterator[Outcome]:
        """Write journal and rows. Files that finished at the same time share one sync of the journal."""
        linked = []
        for reference, each in sent:
            try:
                if each.key != reference.name:
                    _check_length(reference, each.key)
                    hard_links.create(each)
            except TransferFailed as failed:
                yield Outcome(failed.reason, reference, each.source.size, str(failed))
                continue
            except Exception as error:
                message = unexpected(reference.name, error)
                yield Outcome("failed", reference, each.source.size, message)
                continue
            if each.key != reference.name:
                self.journal.add(Entry.of("moving", reference, each))
            linked.append((reference, each))
        self.journal.sync()
        outcomes = []
        for reference, each in linked:
            if self.stop.is_set() and self.is_database_slow:
                break  # the database is locked: the next run changes these rows
            started = time.monotonic()
            outcomes.append(self._update_row(reference, each))
            self.is_database_slow = time.monotonic() - started > SLOW_UPDATE
        self.journal.sync()
        yield from outcomes

    def _update_row(self, reference: Reference, sent: Sent) -> Outcome:
        """Change the row, if its name must change and is still the old one, and add it to the journal."""
        size, old, new = sent.source.size, reference.name, sent.key
        try:
            if new != old and not reference.update_name(new, expected=old):
                return Outcome("changed", reference, size, f"The row no longer names {old!r}.")
        except DatabaseError as error:
            return Outcome("database", reference, size, f"The row cannot be changed: {error}")
        except Exception as error:
            return Outcome("failed", reference, size, unexpected(old, error))
        self.journal.add(Entry.of("done", reference, sent))
        return Outcome("there" if sent.already_existed else "moved", reference, size)


def selected(columns: Iterable[Column], options: SendOptions) -> Iterator[Reference]:
    """Yield the references of all rows whose names are not excluded."""
    for column in columns:
        for reference in column.references():
            if not options.excludes(reference.name):
                yield reference


def _file_of(reference: Reference) -> tuple[str, ...]:
    """Return the identity of the file and its expected key: a shorter column may need a shorter key."""
    try:
        key = key_for_name(reference.name, reference.column.max_length)
    except InvalidKey:
        key = ""
    return (*identity(reference), key)


def _check_length(reference: Reference, key: str) -> None:
    """Raise TransferFailed if the key does not fit in the row's column."""
    max_length = reference.column.max_length
    if max_length is not None and len(key) > max_length:
        message = f"{key!r} has more than the {max_length} characters of {reference.column.label}."
        raise TransferFailed("name", message)
