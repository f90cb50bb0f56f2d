"""The dry run: report what a transfer would do, without writing to disk, database or bucket."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from django.db import DatabaseError

from storage.buckets import Bucket
from storage.errors import StorageError
from storage.transfer.file_index import FileIndex
from storage.transfer.journal import CompletedReferences, entries
from storage.transfer.local_files import OutsideMediaRoot, locate, media_root
from storage.transfer.references import Column, Reference
from storage.transfer.run import selected
from storage.transfer.sending import (
    SendOptions,
    TransferFailed,
    find_source,
    is_taken_locally,
    key_for,
    sha256_of,
    unexpected,
)


@dataclass
class DryRunResult:
    """The result for one bucket and model field. `files` and `bytes` count what would be transferred."""

    bucket: str
    label: str
    files: int = 0
    bytes: int = 0
    done: int = 0  # rows that an earlier run completed
    remote: int = 0  # rows whose object was uploaded to the bucket directly, without a local file
    renamed: dict[str, str] = field(default_factory=dict)  # names in the database to keys
    collisions: list[str] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)

    def add_problem(self, reason: str, message: str) -> None:
        self.problems[reason] += 1
        self.messages.append(message)

    @property
    def is_success(self) -> bool:
        return not self.problems and not self.collisions


def dry_run(
    columns: list[Column],
    buckets: dict[str, Bucket],
    options: SendOptions,
    completed: CompletedReferences | None,
    index: FileIndex,
    limit: int | None = None,
) -> Iterator[DryRunResult]:
    """Yield a result for each column, and add the files that would be moved to the index.

    `completed`: what earlier runs completed, according to the journal. `limit`: references that are examined
    without a failure.
    """
    taken: dict[int, int] = {}  # hash of the new key: hash of the file that would get it
    counted = 0
    for column in columns:
        result = DryRunResult(column.bucket, column.label)
        for reference in selected([column], options):
            if completed and completed.has(reference):
                result.done += 1
            elif counted == limit:
                break
            else:
                counted += _examine(result, buckets[column.bucket], reference, taken, index)
        yield result


def _examine(
    result: DryRunResult, bucket: Bucket, reference: Reference, taken: dict[int, int], index: FileIndex
) -> bool:
    """Add a reference to the result, and return True if its file would be sent."""
    try:
        file = find_source(bucket, reference)
        key = key_for(bucket, file)
        if is_taken_locally(file, key, lambda: sha256_of(file.location.path)):
            result.collisions.append(
                f"{reference}: {file.name!r} and another local file would both become {key!r}."
            )
    except TransferFailed as failed:
        if failed.reason == "remote":
            result.remote += 1
            return False
        result.add_problem(failed.reason, f"{failed.reason}: {reference}: {failed}")
        return False
    except (StorageError, DatabaseError):
        raise
    except Exception as error:
        result.add_problem("failed", f"failed: {reference}: {unexpected(reference.name, error)}")
        return False
    index.add(reference.column, reference.name, key)
    if key != reference.name:
        result.renamed[reference.name] = key
    target, this = hash((bucket.name, key)), hash(file.location.path)
    if target not in taken:
        result.files += 1
        result.bytes += file.size
    if taken.setdefault(target, this) != this:
        result.collisions.append(f"{reference}: {file.name!r} and another file would both become {key!r}.")
    return True


def orphans(columns: list[Column], journal: Path) -> Iterator[str]:
    """Yield paths below MEDIA_ROOT that no row names, except those of the local store itself.

    `columns` must be all columns. Names that rows had before the transfer count as named, because a rollback
    restores them.
    """
    root = media_root()
    references = chain.from_iterable(column.references() for column in columns)
    named = {hash(path) for path in _paths(chain(references, _references_before_transfer(journal)))}
    for folder, folders, files in os.walk(root):
        if folder == str(root) and ".objects" in folders:
            folders.remove(".objects")
        for file in sorted(files):
            path = os.path.join(folder, file)
            if hash(path) not in named:
                yield os.path.relpath(path, root)


def _references_before_transfer(journal: Path) -> Iterator[Reference]:
    for entry in entries(journal) if journal.exists() else ():
        with suppress(LookupError):
            yield entry.reference(entry.old)


def _paths(references: Iterable[Reference]) -> Iterator[str]:
    for reference in references:
        try:
            yield str(locate(reference.column, reference.name).path)
        except (OutsideMediaRoot, OSError, StorageError):
            continue
