"""The journal: an append-only file with an entry for each row that was transferred.

An entry is written to disk before its row counts as done. A run that was interrupted leaves at most half a
line, which is ignored. `state` is `moving` when the object is in its bucket and the row is about to be
changed, and `done` when the row names the object. `text` is a text that is about to be changed, because it
mentions moved files. `back` marks the start of a rollback: entries before it
no longer count as done.
"""

import json
import os
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.core.files import locks

from storage.errors import StorageError
from storage.transfer.entries import KEPT_TEXT_STATE, TEXT_STATE, Entry, TextEntry
from storage.transfer.local_files import OutsideMediaRoot, locate
from storage.transfer.references import Reference

COMMAND = "migrate_to_supabase"
ROLLBACK_STATE = "back"


class JournalError(Exception):
    """The file is not a journal, belongs to another project, is in use, or cannot be read or written."""


class Journal:
    """The journal file, opened for appending by one process at a time. Entries are on disk after `sync`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_synced = True

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            try:
                if self.path.exists() and not self.path.is_file():
                    raise JournalError(f"{self.path} is not a file: choose another with --journal.")
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.file = stack.enter_context(self.path.open("ab+"))
                if not locks.lock(self.file, locks.LOCK_EX | locks.LOCK_NB):
                    raise JournalError(f"{self.path} is being written by another run: wait for it to end.")
                self._prepare()
            except OSError as error:
                raise JournalError(
                    f"{self.path} cannot be written: {error}. Choose another with --journal."
                ) from error
            stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self.file.close()

    def add(self, entry: Entry) -> None:
        self._write({name: getattr(entry, name) for name in Entry.__slots__})

    def add_text(self, entry: TextEntry) -> None:
        self._write({name: getattr(entry, name) for name in TextEntry.__slots__})

    def add_rollback(self) -> None:
        """Mark the start of a rollback."""
        self._write({"state": ROLLBACK_STATE})
        self.sync()

    def _write(self, record: dict[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.file.write(json.dumps({**record, "at": now}).encode() + b"\n")
        self.is_synced = False

    def sync(self) -> None:
        """Wait until all entries are on disk."""
        if not self.is_synced:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.is_synced = True

    def _prepare(self) -> None:
        """Write the header if the file is new, otherwise check it."""
        self.file.seek(0)
        first = self.file.readline()
        if not first.endswith(b"\n") and _header().startswith(first):  # empty, or the header is incomplete
            self.file.truncate(0)
            self.file.write(_header())
            self.is_synced = False
            return self.sync()
        check(self.path)
        self.file.seek(-1, os.SEEK_END)
        if self.file.read() != b"\n":
            self.file.write(b"\n")  # an incomplete entry stays on a line of its own


class CompletedReferences:
    """The references that earlier runs completed. Keeps hashes only, to save memory."""

    def __init__(self, path: Path) -> None:
        self.hashes: set[int] = set()
        for entry in entries(path):
            if entry.state == "done":
                row = (entry.bucket, entry.model, entry.field, *entry.pk, entry.new)
                self.hashes |= {hash(row), hash((*row, entry.size, entry.mtime_ns))}

    def has(self, reference: Reference) -> bool:
        """Return True if the file was sent, and is unchanged or deleted since."""
        row = (reference.column.bucket, *reference.column.names, *reference.pk_texts, reference.name)
        if hash(row) not in self.hashes:
            return False
        try:
            stat = locate(reference.column, reference.name).path.stat()
        except (OutsideMediaRoot, OSError, StorageError):
            return True
        return hash((*row, stat.st_size, stat.st_mtime_ns)) in self.hashes


def check(path: Path) -> None:
    """Check the header. Raises JournalError."""
    first = next((record for _, record in _records(path)), {})
    if first.get("journal") != COMMAND:
        raise JournalError(f"{path} is not a journal of this command.")
    if first.get("target") != settings.SUPABASE_URL:
        raise JournalError(
            f"{path} is the journal of a move to {first.get('target')}, but SUPABASE_URL is different."
        )


def entries(path: Path) -> Iterator[Entry]:
    """Yield the entries since the last rollback, in order. Raises JournalError."""
    check(path)
    begin = max(
        (start for start, record in _records(path) if record.get("state") == ROLLBACK_STATE), default=0
    )
    for start, record in _records(path):
        if start >= begin and (entry := _parse(record)):
            yield entry


def entries_reversed(path: Path) -> Iterator[Entry]:
    """Yield all entries, the last first, with no more than one in memory. Raises JournalError."""
    return filter(None, map(_parse, _records_reversed(path)))


def text_entries_reversed(path: Path) -> Iterator[TextEntry]:
    """Yield all entries of texts, the last first, with no more than one in memory. Raises JournalError."""
    return filter(None, map(_parse_text, _records_reversed(path)))


def _records_reversed(path: Path) -> Iterator[dict[str, Any]]:
    check(path)
    starts = array("Q", (start for start, _ in _records(path)))
    with path.open("rb") as file:
        for start in reversed(starts):
            file.seek(start)
            yield json.loads(file.readline())


def _header() -> bytes:
    return json.dumps({"journal": COMMAND, "target": settings.SUPABASE_URL}).encode() + b"\n"


def _parse(record: dict[str, Any]) -> Entry | None:
    """Return None for the header, a rollback, or an entry of an unknown format."""
    try:
        entry = Entry(**record)
    except TypeError:
        return None
    texts = (entry.state, entry.model, entry.field, entry.bucket, entry.old, entry.new, *entry.pk)
    return entry if all(isinstance(text, str) for text in texts) else None


def _parse_text(record: dict[str, Any]) -> TextEntry | None:
    """Return None for other entries, or for one of an unknown format."""
    try:
        entry = TextEntry(**record)
        changes = [(int(start), str(old), str(new)) for start, old, new in entry.changes]
    except (TypeError, ValueError):
        return None
    texts = (entry.model, entry.field, entry.old_sha256, entry.new_sha256, *entry.pk)
    is_valid = entry.state in (TEXT_STATE, KEPT_TEXT_STATE) and all(isinstance(text, str) for text in texts)
    return replace(entry, changes=changes) if is_valid else None


def _records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON object of each line with its offset in bytes. Incomplete lines are skipped."""
    start = 0
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    record = json.loads(line)
                except ValueError:
                    record = None  # incomplete
                if isinstance(record, dict):
                    yield start, record
                start += len(line)
    except OSError as error:
        raise JournalError(f"{path} cannot be read: {error.strerror}.") from error
