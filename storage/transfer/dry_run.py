"""What a move would meet: looked at without writing anything, anywhere."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from storage.buckets import Bucket
from storage.errors import StorageError
from storage.transfer.journal import Done, lines
from storage.transfer.local_files import Outside, find, identity, media_root
from storage.transfer.references import Column, Reference
from storage.transfer.run import wanted
from storage.transfer.sending import Failed, SendOptions, is_taken, key_of, sha256_of, sought


@dataclass
class DryRunResult:
    """Of one bucket and model field: names as the database has them, files and bytes of what would move."""

    bucket: str
    label: str
    files: int = 0
    bytes: int = 0
    done: int = 0  # rows that an earlier run has moved
    remote: int = 0  # of rows whose file was sent to the bucket, and is not on this disk
    renamed: dict[str, str] = field(default_factory=dict)
    collisions: list[str] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.problems and not self.collisions


def dry_run(
    columns: list[Column], buckets: dict[str, Bucket], rules: SendOptions, done: Done | None
) -> Iterator[DryRunResult]:
    """`done`: what the journal says of earlier runs."""
    taken: dict[int, int] = {}  # hashes of the new key and of the file that would get it
    for column in columns:
        found = DryRunResult(column.bucket, column.label)
        for reference in wanted([column], rules):
            if done and done.has(reference):
                found.done += 1
            else:
                _look(found, buckets[column.bucket], reference, taken)
        yield found


def _look(found: DryRunResult, bucket: Bucket, reference: Reference, taken: dict[int, int]) -> None:
    try:
        file = sought(bucket, reference)
        key = key_of(bucket, file)
        if is_taken(file, key, lambda: sha256_of(file.place.path)):
            found.collisions.append(
                f"{reference}: {file.name!r} and a file of this disk would both be {key!r}."
            )
    except Failed as failed:
        if failed.reason == "remote":
            found.remote += 1
            return
        found.problems[failed.reason] += 1
        found.messages.append(f"{failed.reason}: {reference}: {failed}")
        return
    if key != file.name:
        found.renamed[file.name] = key
    place, this = hash((bucket.name, key)), hash(identity(reference))
    if place not in taken:
        found.files += 1
        found.bytes += file.size
    if taken.setdefault(place, this) != this:
        found.collisions.append(f"{reference}: {file.name!r} and another file would both become {key!r}.")


def orphans(columns: list[Column], journal: Path) -> Iterator[str]:
    """Files below MEDIA_ROOT that no row names; the store's own are none. Give it every column.

    Nor are those that rows named before the move: the way back leads to them.
    """
    root = media_root()
    references = chain.from_iterable(column.references() for column in columns)
    named = {hash(path) for path in _paths(chain(references, _before(journal)))}
    for folder, folders, files in os.walk(root):
        if folder == str(root) and ".objects" in folders:
            folders.remove(".objects")
        for file in sorted(files):
            path = os.path.join(folder, file)
            if hash(path) not in named:
                yield os.path.relpath(path, root)


def _before(journal: Path) -> Iterator[Reference]:
    for line in lines(journal) if journal.exists() else ():
        with suppress(LookupError):
            yield line.reference(line.old)


def _paths(references: Iterable[Reference]) -> Iterator[str]:
    for reference in references:
        try:
            yield str(find(reference.column, reference.name).path)
        except (Outside, OSError, StorageError):
            continue
