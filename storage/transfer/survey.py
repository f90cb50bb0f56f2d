"""What a move would meet: looked at without writing anything, anywhere."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from storage.base import StorageError
from storage.buckets import Bucket
from storage.transfer.files import Failed, Rules, key_of, source
from storage.transfer.moving import wanted
from storage.transfer.references import Column, Reference
from storage.transfer.sources import Outside, find, identity, media_root


@dataclass
class Survey:
    """Of one bucket and model field: names as the database has them, files and bytes of what would move."""

    bucket: str
    label: str
    files: int = 0
    bytes: int = 0
    renamed: dict[str, str] = field(default_factory=dict)
    collisions: list[str] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    messages: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return not self.problems and not self.collisions


def survey(columns: list[Column], buckets: dict[str, Bucket], rules: Rules) -> Iterator[Survey]:
    taken: dict[int, int] = {}  # hashes of the new key and of the file that would get it
    for column in columns:
        found = Survey(column.bucket, column.label)
        for reference in wanted([column], rules):
            _look(found, buckets[column.bucket], reference, taken)
        yield found


def _look(found: Survey, bucket: Bucket, reference: Reference, taken: dict[int, int]) -> None:
    try:
        file = source(bucket, reference)
        key = key_of(bucket, file)
    except Failed as failed:
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


def orphans(columns: list[Column]) -> Iterator[str]:
    """Files below MEDIA_ROOT that no row names; the store's own are none. Give it every column."""
    root = media_root()
    named = {hash(path) for column in columns for path in _paths(column)}
    for folder, folders, files in os.walk(root):
        if folder == str(root) and ".objects" in folders:
            folders.remove(".objects")
        for file in sorted(files):
            path = os.path.join(folder, file)
            if hash(path) not in named:
                yield os.path.relpath(path, root)


def _paths(column: Column) -> Iterator[str]:
    for reference in column.references():
        try:
            yield str(find(column, reference.name).path)
        except (Outside, OSError, StorageError):
            continue
