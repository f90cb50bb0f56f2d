"""Clearing up: local files go once the journal, the row, the object and the bytes all agree."""

from collections.abc import Iterator
from pathlib import Path

from storage.base import StorageError
from storage.keys import InvalidKey
from storage.local_objects import LocalObjects
from storage.supabase import SupabaseStorage
from storage.transfer.files import is_there, sha256_of
from storage.transfer.journal import Done, Line, lines
from storage.transfer.references import Column, columns
from storage.transfer.sources import Outside, find, home_of, identity, media_root
from storage.transfer.steps import Step


def buckets_in(journal: Path) -> set[str]:
    """Raises WrongJournal."""
    return {line.bucket for line in lines(journal)}


def purge(journal: Path, verify: str) -> Iterator[Step]:
    """Raises WrongJournal."""
    done = Done(journal)
    needed = {
        hash(identity(reference))
        for column in columns()
        for reference in column.references()
        if not done.has(reference)
    }
    for line in lines(journal):
        if line.state == "done":
            yield from _purge(line, needed, verify)


def _purge(line: Line, needed: set[int], verify: str) -> Iterator[Step]:
    file = f"{line.bucket}: {line.old!r}"
    try:
        reference = line.reference(line.new)
        path = find(reference.column, line.old).path
        names = {hash(identity(line.reference(name))) for name in (line.old, line.new)}
        store = SupabaseStorage(line.bucket)
        if not reference.is_current():
            yield Step("changed", f"{file}: its row has changed since, or is gone: kept.")
        elif names & needed:
            yield Step("needed", f"{file}: a row that was not moved names it: kept.")
        elif sha256_of(path) != line.sha256:
            yield Step("changed", f"{file} is another file than the one that was moved: kept.")
        elif not is_there(store, line.new, line.size, line.sha256, verify):
            yield Step("unproved", f"{file}: the object in the bucket is not this file: kept.")
        else:
            _remove(reference.column, {line.old, line.new})
            yield Step("done")
    except FileNotFoundError:
        return  # purged before
    except (LookupError, Outside, OSError, StorageError) as error:
        yield Step("kept", f"{file}: kept: {type(error).__name__} {error}")


def _remove(column: Column, names: set[str]) -> None:
    """Under both names, with what the local store knew of it."""
    for name in names:
        try:
            place = find(column, name)
        except (FileNotFoundError, Outside):
            continue
        try:
            if place.folder != media_root() / home_of(column):
                raise InvalidKey(name)
            LocalObjects(home_of(column)).remove(name)
        except InvalidKey:  # a name, or a place, that somebody gave it by hand
            place.path.unlink()
