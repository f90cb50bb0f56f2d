"""Delete local files that were transferred, once journal, rows, object and bytes all agree."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from django.db import DatabaseError

from storage.errors import StorageError
from storage.local import metadata
from storage.supabase import SupabaseStorage
from storage.supabase.deadlines import minimum_rate
from storage.transfer.bandwidth import MIN_RATE
from storage.transfer.entries import Entry, EntryResult
from storage.transfer.journal import CompletedReferences, Journal, check, entries
from storage.transfer.local_files import Location, OutsideMediaRoot, find_existing, local_bucket
from storage.transfer.mentions import LINKS, MentionFinder
from storage.transfer.references import Column, Reference, columns
from storage.transfer.rewriting import find_mentions
from storage.transfer.sending import object_matches, sha256_of, unexpected


class FileKept(Exception):
    """The file must not be deleted. The arguments are a status word and the end of the message."""


def buckets_in(journal: Path) -> set[str]:
    """Return the names of the buckets that files were moved to. Raises JournalError."""
    return {entry.bucket for entry in entries(journal)}


def moved_references(journal: Path) -> Iterator[Reference]:
    """Yield references to the new names that the journal lists. Raises JournalError."""
    for entry in entries(journal):
        with suppress(LookupError):
            yield entry.reference(entry.new)


def purge(journal: Path, verify: str, finder: MentionFinder) -> Iterator[EntryResult]:
    """Delete files and yield results. Holds the journal's lock, so that no other run changes anything.

    Files to which texts still link are kept. Raises JournalError.
    """
    check(journal)
    with Journal(journal):
        completed, all_columns = CompletedReferences(journal), columns()
        rows = chain.from_iterable(column.references() for column in all_columns)
        needed = {
            hash(location.path.resolve())
            for row in rows
            if not completed.has(row)
            for location in _locations([row])
        }
        linked = {
            hash((each.mention.file.old, each.mention.file.new))
            for each in find_mentions(finder)
            if each.mention and each.mention.file and each.status in LINKS
        }
        purger = Purger(completed, all_columns, needed, linked, verify)
        for group in _entries_by_file(journal):
            yield from purger.purge_file(group)


@dataclass(frozen=True, slots=True)
class Purger:
    """`needed`: hashes of the paths named by rows that were not transferred. `linked`: hashes of the old and
    new names of files to which texts link.
    """

    completed: CompletedReferences
    columns: list[Column]
    needed: set[int]
    linked: set[int]
    verify: str

    def purge_file(self, group: list[Entry]) -> Iterator[EntryResult]:
        """Delete one file, given all its entries, unless one of them still needs it."""
        about = f"{group[0].bucket}: {group[0].old!r}"
        try:
            references = [entry.reference(name) for entry in group for name in (entry.old, entry.new)]
            locations = list({location.path: location for location in _locations(references)}.values())
            if not locations:
                return  # purged before
            for entry in group:
                if hash((entry.old, entry.new)) in self.linked:
                    raise FileKept("needed", ": a text links to it")
                self._check_object(entry)
            for location in locations:
                self._check_unused(location)
            for location in locations:
                _delete(location, group[0].sha256)
            for reference in references:
                metadata.delete_records(metadata.digest(local_bucket(reference.column), reference.name))
            yield EntryResult("done")
        except FileKept as kept:
            status, message = kept.args
            yield EntryResult(status, f"{about}{message}: kept.")
        except (LookupError, OutsideMediaRoot, OSError, StorageError) as error:
            yield EntryResult("kept", f"{about}: kept: {type(error).__name__} {error}")
        except DatabaseError:
            raise
        except Exception as error:
            yield EntryResult("failed", f"{unexpected(group[0].old, error)}: kept.")

    def _check_object(self, entry: Entry) -> None:
        """Raise FileKept unless the row names the object and the object has the bytes of the file."""
        if not entry.reference(entry.new).is_current():
            raise FileKept("changed", ": its row has changed since, or was deleted")
        with minimum_rate(MIN_RATE):
            matches = object_matches(
                SupabaseStorage(entry.bucket), entry.new, entry.size, entry.sha256, self.verify
            )
        if not matches:
            raise FileKept("unproved", f": the object {entry.new!r} in {entry.bucket} is not this file")

    def _check_unused(self, location: Location) -> None:
        """Raise FileKept if a row that was not transferred names the file, even since `needed` was built."""
        path, folder = location.path, location.folder
        name = str(path.relative_to(folder)) if path.is_relative_to(folder) else ""
        rows = chain.from_iterable(column.references_to(name) for column in self.columns if name)
        is_named = any(path in _paths([row]) for row in rows if not self.completed.has(row))
        if is_named or hash(path.resolve()) in self.needed:
            raise FileKept("needed", ": a row that was not moved names it")


def _entries_by_file(journal: Path) -> Iterable[list[Entry]]:
    """Return the entries that are done, grouped by local file."""
    found: dict[str, list[Entry]] = {}
    for entry in entries(journal):
        if entry.state == "done":
            found.setdefault(_file_of(entry), []).append(entry)
    return found.values()


def _file_of(entry: Entry) -> str:
    with suppress(LookupError):
        for path in _paths([entry.reference(entry.old), entry.reference(entry.new)]):
            return str(path.resolve())
    return f"{entry.bucket}/{entry.old}"


def _paths(references: Iterable[Reference]) -> list[Path]:
    return [location.path for location in _locations(references)]


def _locations(references: Iterable[Reference]) -> Iterator[Location]:
    """Yield the locations of the files that exist."""
    return filter(None, map(find_existing, references))


def _delete(location: Location, sha256: str) -> None:
    """Delete the file and the folders that it leaves empty. Raises FileKept, OSError.

    The file is renamed before it is hashed, so that a file written meanwhile is not deleted unchecked.
    """
    renamed = location.path.with_name(f".purged-{secrets.token_hex(16)}")
    location.path.rename(renamed)
    if sha256_of(renamed) != sha256:
        if not location.path.exists():
            renamed.rename(location.path)
        raise FileKept("changed", " is not the file that was moved")
    renamed.unlink()
    for folder in location.path.parents:
        if not folder.is_relative_to(location.folder) or folder == location.folder:
            return
        try:
            folder.rmdir()
        except OSError:  # not empty
            return
