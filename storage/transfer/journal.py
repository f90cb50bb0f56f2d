"""The journal: what was done, a line for each reference, on the disk before it counts as done.

A run that was cut off leaves at most half a line, which is understood as not written. `state` is `moving`
when the object is in its place and the row is about to name it, `done` when it does. `back` stands where a
rollback began: what was done before it counts no more.
"""

import json
import os
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from django.apps import apps
from django.conf import settings
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.core.files import locks
from django.db import models

from storage.errors import StorageError
from storage.transfer.local_files import Outside, find
from storage.transfer.references import Column, Reference
from storage.transfer.sending import Sent

NAME = "migrate_to_supabase"
BACK = "back"


class WrongJournal(Exception):
    """The file is no journal, or one of another project, or in use, or cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Line:
    """`old` is the name that the row had, `new` the key of the object; the rest tells the file's bytes.

    `pk` has one text for each column of the primary key.
    """

    state: str
    model: str
    field: str
    pk: list[str]
    bucket: str
    old: str
    new: str
    size: int
    mtime_ns: int
    sha256: str
    at: str = ""

    def reference(self, name: str) -> Reference:
        """The row, as naming this file. Raises LookupError for a model or field that is gone or another."""
        try:
            field = apps.get_model(self.model)._meta.get_field(self.field)
            parts = zip(field.model._meta.pk_fields, self.pk, strict=True)
            pk = tuple(part.to_python(text) for part, text in parts)
        except (LookupError, ValueError, FieldDoesNotExist, ValidationError) as error:
            raise LookupError(f"{self.model}.{self.field}") from error
        if not isinstance(field, models.FileField):
            raise LookupError(f"{self.model}.{self.field}")
        return Reference(Column(field, self.bucket), pk if len(pk) > 1 else pk[0], name)

    @classmethod
    def of(cls, state: str, reference: Reference, brought: Sent) -> Self:
        column, file = reference.column, brought.source
        return cls(
            state,
            column.field.model._meta.label,
            column.field.name,
            list(reference.key),
            column.bucket,
            reference.name,
            brought.key,
            file.size,
            file.mtime_ns,
            brought.sha256,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """What became of it: `done`, or the reason why not, with a message for people."""

    what: str
    message: str = ""


class Journal:
    """Opened once a run, by one process at a time. What was added is on the disk after `sync`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            try:
                if self.path.exists() and not self.path.is_file():
                    raise WrongJournal(f"{self.path} is no file: name another: --journal.")
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.file = opened.enter_context(self.path.open("ab+"))
                if not locks.lock(self.file, locks.LOCK_EX | locks.LOCK_NB):
                    raise WrongJournal(f"{self.path} is being written by another run: let it end.")
                self._begin()
            except OSError as error:
                raise WrongJournal(
                    f"{self.path} cannot be written: {error}. Name another: --journal."
                ) from error
            opened.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self.file.close()

    def add(self, line: Line) -> None:
        self._write({name: getattr(line, name) for name in Line.__slots__})

    def add_back(self) -> None:
        """A rollback begins."""
        self._write({"state": BACK})
        self.sync()

    def _write(self, said: dict[str, Any]) -> None:
        moment = datetime.now(UTC).isoformat(timespec="seconds")
        self.file.write(json.dumps({**said, "at": moment}).encode() + b"\n")

    def sync(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())

    def _begin(self) -> None:
        self.file.seek(0)
        first = self.file.readline()
        if not first.endswith(b"\n") and _head().startswith(first):  # nothing, or the head was cut off
            self.file.truncate(0)
            self.file.write(_head())
            return self.sync()
        check(self.path)
        self.file.seek(-1, os.SEEK_END)
        if self.file.read() != b"\n":
            self.file.write(b"\n")  # what was cut off stays a line of its own


class Done:
    """What earlier runs did, by hashes of rows and their files, to stay small."""

    def __init__(self, path: Path) -> None:
        self.hashes: set[int] = set()
        for line in lines(path):
            if line.state == "done":
                row = (line.bucket, line.model, line.field, *line.pk, line.new)
                self.hashes |= {hash(row), hash((*row, line.size, line.mtime_ns))}

    def has(self, reference: Reference) -> bool:
        """Whether its object was brought, and the file is still the one that was, or is gone since."""
        row = (reference.column.bucket, *reference.column.names, *reference.key, reference.name)
        if hash(row) not in self.hashes:
            return False
        try:
            stat = find(reference.column, reference.name).path.stat()
        except (Outside, OSError, StorageError):
            return True
        return hash((*row, stat.st_size, stat.st_mtime_ns)) in self.hashes


def check(path: Path) -> None:
    """Raises WrongJournal."""
    first = next((said for _, said in _objects(path)), {})
    if first.get("journal") != NAME:
        raise WrongJournal(f"{path} is no journal of this command.")
    if first.get("target") != settings.SUPABASE_URL:
        raise WrongJournal(f"{path} is of a move to {first.get('target')}, and SUPABASE_URL is another.")


def lines(path: Path) -> Iterator[Line]:
    """Those that count, in their order. Raises WrongJournal."""
    check(path)
    begin = max((start for start, said in _objects(path) if said.get("state") == BACK), default=0)
    for start, said in _objects(path):
        if start >= begin and (line := _line(said)):
            yield line


def backwards(path: Path) -> Iterator[Line]:
    """All, the last first, and no more than one at a time in memory. Raises WrongJournal."""
    check(path)
    starts = array("Q", (start for start, _ in _objects(path)))
    with path.open("rb") as file:
        for start in reversed(starts):
            file.seek(start)
            if line := _line(json.loads(file.readline())):
                yield line


def _head() -> bytes:
    return json.dumps({"journal": NAME, "target": settings.SUPABASE_URL}).encode() + b"\n"


def _line(said: dict[str, Any]) -> Line | None:
    try:
        line = Line(**said)
    except TypeError:
        return None  # the head, or a rollback
    texts = (line.state, line.model, line.field, line.bucket, line.old, line.new, *line.pk)
    return line if all(isinstance(text, str) for text in texts) else None


def _objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each with the offset at which it begins."""
    start = 0
    try:
        with path.open("rb") as file:
            for line in file:
                try:
                    said = json.loads(line)
                except ValueError:
                    said = None  # cut off
                if isinstance(said, dict):
                    yield start, said
                start += len(line)
    except OSError as error:
        raise WrongJournal(f"{path} cannot be read: {error.strerror}.") from error
