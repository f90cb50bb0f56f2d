"""The whole move: files by many threads, rows and journal by one.

Each reference goes through the same steps, and may be cut off between any two of them: the object stands
in its bucket, proved; the file has its new name on this disk too; the journal says that the row is about
to change; the row changes, if it still names what it did; the journal says so.
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
from storage.supabase.transport import minimum_rate
from storage.transfer import hard_links
from storage.transfer.journal import Done, Journal, Line
from storage.transfer.local_files import identity
from storage.transfer.references import Column, Reference
from storage.transfer.renaming import new_name
from storage.transfer.sending import Failed, SendOptions, Sent, bring
from storage.transfer.target import LONGEST_PAUSE

PROVING = 2  # for so many files that may be sent at once, one more may be read back or moved meanwhile
IN_FLIGHT = 2  # files that are begun or wait, for each thread
GRACE = 25  # seconds that files in flight have to end once the move is to stop
SLOW = 1  # seconds for a row to change: once the move is to stop, no other is begun
LOOK = 0.2  # seconds between two looks whether it is to stop
PAUSES = (1, 3, 9, 27)  # seconds between the attempts at one file, after those at each call
MOST_LOST = 3  # files in a row, for each thread, that the storage's trouble may cost


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one reference. Size in bytes.

    `what` is moved, there (before), done (by an earlier run), remote (never on this disk), changed (the row
    names another file by now, which the next run takes), or another reason of a Failed, storage,
    misconfigured or database.
    """

    what: str
    reference: Reference
    size: int = 0
    message: str = ""

    @property
    def is_good(self) -> bool:
        return self.what in ("moved", "there", "done", "remote", "changed")


class Stopped(Exception):
    """The move ended early; what was done stands in the journal."""


@dataclass
class Move:
    """`buckets`: by name, as the project has them. Set `stop` to end it early."""

    columns: list[Column]
    buckets: dict[str, Bucket]
    rules: SendOptions
    path: Path  # of the journal
    jobs: int = 8
    limit: int | None = None
    stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.threads = self.jobs + self.jobs // PROVING
        self.rules = replace(self.rules, turns=threading.BoundedSemaphore(self.jobs))
        self.begun: set[int] = set()  # hashes of files: what another row names too is not sent again
        self.sharing: dict[tuple[str, ...], list[Reference]] = {}  # by file: who waits for it
        self.waiting: dict[Future[Sent], tuple[str, ...]] = {}
        self.ended: SimpleQueue[Future[Sent]] = SimpleQueue()
        self.expect = False  # whether objects are there: if the last one was, it is cheaper to look first
        self.lost = 0  # files in a row
        self.slow = False  # whether the last row took long
        self.taken = 0  # references that were begun and have not failed

    def run(self) -> Iterator[Outcome]:
        """Raises Stopped, once the files in flight have ended, or have had their time."""
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="move")
        try:
            with Journal(self.path) as self.journal:
                yield from self._all(pool, Done(self.path))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _all(self, pool: ThreadPoolExecutor, done: Done) -> Iterator[Outcome]:
        for reference in wanted(self.columns, self.rules):
            if self.stop.is_set():
                break
            if done.has(reference):
                yield Outcome("done", reference)
                continue
            while self._must_wait():
                yield from self._finished()
            if self.taken == self.limit:
                break
            self.taken += 1
            self._begin(pool, reference)
        yield from self._rest()

    def _must_wait(self) -> bool:
        """For room, or to know whether the limit is reached: what fails is not counted."""
        full = len(self.waiting) >= self.threads * IN_FLIGHT or self.taken == self.limit
        return bool(self.waiting) and full and not self.stop.is_set()

    def _begin(self, pool: ThreadPoolExecutor, reference: Reference) -> None:
        """Rows that name the same file share one journey; if it has ended, the object is looked for."""
        file = (*identity(reference), _destination(reference))
        if file in self.sharing:
            return self.sharing[file].append(reference)
        rules = replace(self.rules, look_first=self.expect or hash(file) in self.begun)
        self.begun.add(hash(file))
        self.sharing[file] = [reference]
        future = pool.submit(self._bring, reference, rules)
        self.waiting[future] = file
        future.add_done_callback(self.ended.put)

    def _bring(self, reference: Reference, rules: SendOptions) -> Sent:
        with minimum_rate(rules.pace.slowest):
            return self._patiently(reference, rules)

    def _patiently(self, reference: Reference, rules: SendOptions) -> Sent:
        """Storage in trouble is given time: longer each time, and as long as it asks for."""
        bucket = self.buckets[reference.column.bucket]
        for pause in PAUSES:
            try:
                return bring(bucket, reference, rules)
            except StorageMisconfigured:
                raise
            except (StorageUnavailable, ObjectMissing) as error:
                asked = getattr(error, "retry_after", None) or 0
                if self.stop.wait(min(max(pause, asked), LONGEST_PAUSE)):
                    raise
                rules = replace(rules, look_first=True)
        return bring(bucket, reference, rules)

    def _rest(self) -> Iterator[Outcome]:
        """Wait for what is in flight; nothing new is begun."""
        until = None
        while self.waiting and (until is None or time.monotonic() < until):
            if self.stop.is_set() and until is None:
                until = time.monotonic() + GRACE
                self.waiting = {each: file for each, file in self.waiting.items() if not each.cancel()}
            yield from self._finished()
        if self.stop.is_set():
            raise Stopped

    def _finished(self) -> Iterator[Outcome]:
        brought: list[tuple[Reference, Sent]] = []
        for future in self._ended():
            references = self.sharing.pop(self.waiting.pop(future))
            try:
                result = future.result()
                brought += [(reference, result) for reference in references]
                self.expect, self.lost = result.was_there, 0
            except (Failed, StorageError) as error:
                yield from (self._failed(reference, error) for reference in references)
        yield from self._recorded(brought)

    def _ended(self) -> list[Future[Sent]]:
        """At least one, unless none ends for a while; what was cancelled has been forgotten."""
        found: list[Future[Sent]] = []
        with suppress(Empty):
            found.append(self.ended.get(timeout=LOOK))
            while True:
                found.append(self.ended.get_nowait())
        return [future for future in found if not future.cancelled()]

    def _failed(self, reference: Reference, error: Failed | StorageError) -> Outcome:
        self.taken -= 1
        if isinstance(error, Failed):
            gone = error.reason == "missing" and not reference.is_current()
            if error.reason == "conflict" and self.rules.on_conflict == "fail":
                self.stop.set()
            return Outcome("changed" if gone else error.reason, reference, message=str(error))
        self.lost += 1
        if isinstance(error, StorageMisconfigured) or self.lost >= MOST_LOST * self.threads:
            self.stop.set()
        what = "misconfigured" if isinstance(error, StorageMisconfigured) else "storage"
        return Outcome(what, reference, message=f"{reference.name!r}: {error}")

    def _recorded(self, brought: Iterable[tuple[Reference, Sent]]) -> Iterator[Outcome]:
        """What ended at the same time shares the waits for the disk."""
        moving = []
        for reference, each in brought:
            try:
                if each.key != reference.name:
                    _must_fit(reference, each.key)
                    hard_links.make(each)
                    self.journal.add(Line.of("moving", reference, each))
                moving.append((reference, each))
            except Failed as failed:
                yield Outcome(failed.reason, reference, each.source.size, str(failed))
        self.journal.sync()
        outcomes = []
        for reference, each in moving:
            if self.stop.is_set() and self.slow:
                break  # a database that is locked: the next run takes these up
            asked = time.monotonic()
            outcomes.append(self._pointed(reference, each))
            self.slow = time.monotonic() - asked > SLOW
        self.journal.sync()
        yield from outcomes

    def _pointed(self, reference: Reference, brought: Sent) -> Outcome:
        size = brought.source.size
        try:
            if brought.key != reference.name and not reference.point_to(
                brought.key, instead_of=reference.name
            ):
                return Outcome("changed", reference, size, f"{reference.name!r} is named no more.")
        except DatabaseError as error:
            return Outcome("database", reference, size, f"The row cannot be changed: {error}")
        self.journal.add(Line.of("done", reference, brought))
        return Outcome("there" if brought.was_there else "moved", reference, size)


def wanted(columns: Iterable[Column], rules: SendOptions) -> Iterator[Reference]:
    for column in columns:
        for reference in column.references():
            if not rules.excludes(reference.name):
                yield reference


def _destination(reference: Reference) -> str:
    """Rows of shorter columns may have to give the same file a shorter name."""
    try:
        return new_name(reference.name, reference.column.max_length)
    except InvalidKey:
        return ""


def _must_fit(reference: Reference, key: str) -> None:
    most = reference.column.max_length
    if most is not None and len(key) > most:
        raise Failed("name", f"{key!r} has more than the {most} letters of {reference.column.label}.")
