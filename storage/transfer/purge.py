"""Clearing up: local files go once the journal, every row, the object and the bytes all agree."""

import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from storage.errors import StorageError
from storage.local import metadata
from storage.supabase import SupabaseStorage
from storage.supabase.transport import minimum_rate
from storage.transfer.bandwidth import SLOWEST
from storage.transfer.journal import Done, Journal, Line, Step, check, lines
from storage.transfer.local_files import Outside, Place, home_of, place_of
from storage.transfer.references import Column, Reference, columns
from storage.transfer.sending import is_there, sha256_of


class Kept(Exception):
    """The files stay: one word why, and a message for people."""


def buckets_in(journal: Path) -> set[str]:
    """Raises WrongJournal."""
    return {line.bucket for line in lines(journal)}


def moved(journal: Path) -> Iterator[Reference]:
    """What rows name by now. Raises WrongJournal."""
    for line in lines(journal):
        with suppress(LookupError):
            yield line.reference(line.new)


def purge(journal: Path, verify: str) -> Iterator[Step]:
    """No move and no rollback goes on meanwhile. Raises WrongJournal."""
    check(journal)
    with Journal(journal):
        done, everywhere = Done(journal), columns()
        rows = chain.from_iterable(column.references() for column in everywhere)
        needed = {hash(place.path.resolve()) for row in rows if not done.has(row) for place in _places([row])}
        clearing = Clearing(done, everywhere, needed, verify)
        for same in _by_file(journal):
            yield from clearing.files_of(same)


@dataclass(frozen=True, slots=True)
class Clearing:
    """`needed`: hashes of the paths that rows name which were not moved."""

    done: Done
    columns: list[Column]
    needed: set[int]
    verify: str

    def files_of(self, same: list[Line]) -> Iterator[Step]:
        """All lines of one file: what one of them needs stays."""
        about = f"{same[0].bucket}: {same[0].old!r}"
        try:
            references = [line.reference(name) for line in same for name in (line.old, line.new)]
            places = list({place.path: place for place in _places(references)}.values())
            if not places:
                return  # purged before
            for line in same:
                self._must_be_safe(line)
            for place in places:
                self._must_be_free(place)
            for place in places:
                _remove(place, same[0].sha256)
            for reference in references:
                metadata.delete_records(metadata.digest(home_of(reference.column), reference.name))
            yield Step("done")
        except Kept as kept:
            what, message = kept.args
            yield Step(what, f"{about}{message}: kept.")
        except (LookupError, Outside, OSError, StorageError) as error:
            yield Step("kept", f"{about}: kept: {type(error).__name__} {error}")

    def _must_be_safe(self, line: Line) -> None:
        """The row names the object, the object is this file. Raises Kept."""
        if not line.reference(line.new).is_current():
            raise Kept("changed", ": its row has changed since, or is gone")
        with minimum_rate(SLOWEST):
            proved = is_there(SupabaseStorage(line.bucket), line.new, line.size, line.sha256, self.verify)
        if not proved:
            raise Kept("unproved", f": the object {line.new!r} in {line.bucket} is not this file")

    def _must_be_free(self, place: Place) -> None:
        """Rows may have come to name it a moment ago. Raises Kept."""
        name = str(place.path.relative_to(place.folder)) if place.path.is_relative_to(place.folder) else ""
        rows = chain.from_iterable(column.naming(name) for column in self.columns if name)
        named = any(place.path in _paths([row]) for row in rows if not self.done.has(row))
        if named or hash(place.path.resolve()) in self.needed:
            raise Kept("needed", ": a row that was not moved names it")


def _by_file(journal: Path) -> Iterable[list[Line]]:
    """Lines that are done, together with the others of the same file."""
    found: dict[str, list[Line]] = {}
    for line in lines(journal):
        if line.state == "done":
            found.setdefault(_file(line), []).append(line)
    return found.values()


def _file(line: Line) -> str:
    with suppress(LookupError):
        for path in _paths([line.reference(line.old), line.reference(line.new)]):
            return str(path.resolve())
    return f"{line.bucket}/{line.old}"


def _paths(references: Iterable[Reference]) -> list[Path]:
    return [place.path for place in _places(references)]


def _places(references: Iterable[Reference]) -> Iterator[Place]:
    """Where the files are that there are."""
    return filter(None, map(place_of, references))


def _remove(place: Place, sha256: str) -> None:
    """Aside first: what is looked at is what goes, whoever writes here meanwhile. Raises Kept, OSError."""
    aside = place.path.with_name(f".purged-{secrets.token_hex(16)}")
    place.path.rename(aside)
    if sha256_of(aside) != sha256:
        if not place.path.exists():
            aside.rename(place.path)
        raise Kept("changed", " is another file than the one that was moved")
    aside.unlink()
    for folder in place.path.parents:
        if not folder.is_relative_to(place.folder) or folder == place.folder:
            return
        try:
            folder.rmdir()
        except OSError:  # not empty
            return
