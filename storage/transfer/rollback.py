"""The way back: rows name again what they did before the move, and this disk has the names it had."""

from collections.abc import Iterator
from pathlib import Path

from django.db import DatabaseError

from storage.transfer import hard_links
from storage.transfer.journal import Journal, Line, Step, backwards, check
from storage.transfer.local_files import place_of
from storage.transfer.references import columns
from storage.transfer.sending import sha256_of


def roll_back(journal: Path) -> Iterator[Step]:
    """Those that changed since, and those whose file is not here, are left and named. Raises WrongJournal."""
    check(journal)
    judged: set[int] = set()  # hashes of rows: what the last line of a row tells of it is enough
    with Journal(journal) as opened:
        opened.add_back()
        for line in backwards(journal):
            row = hash((line.model, line.field, *line.pk))
            step = _back(line)
            if step and (step.what == "done" or row not in judged):
                yield step
            judged.add(row)
        _remove_twins(journal)
    for column in columns():
        for reference in column.references():
            if hash((*column.names, *reference.key)) not in judged and not place_of(reference):
                message = f"{reference}: {reference.name!r} is not on this disk, but where it was sent."
                yield Step("missing", message)


def _back(line: Line) -> Step | None:
    """None: there is nothing to do, and nothing to say."""
    row = f"{line.model} {' '.join(line.pk)}"
    try:
        before, after = line.reference(line.old), line.reference(line.new)
        here, there = place_of(before), place_of(after)
        if here is None:
            return Step("missing", f"{row}: {line.old!r} is not on this disk any more: left as it is.")
        if before.is_current() or (line.state == "moving" and after.is_current() and there is None):
            return None
        if line.old != line.new and after.is_current():
            if any(sha256_of(place.path) != line.sha256 for place in (here, there) if place):
                return Step("changed", f"{row}: its file was replaced since, as {line.new!r}: left as it is.")
            if before.point_to(line.old, instead_of=line.new):
                return Step("done")
    except DatabaseError as error:
        return Step("database", f"{row} cannot be changed: {error}: left as it is.")
    except (LookupError, OSError) as error:
        return Step("missing", f"{row}: {line.old!r} cannot be put back: {error}: left as it is.")
    return Step("changed", f"{row} has changed since, or is gone: left as it is.")


def _remove_twins(journal: Path) -> None:
    """Second names that no row has."""
    rows = (reference for column in columns() for reference in column.references())
    named = {hash(place.path) for place in map(place_of, rows) if place}
    for line in backwards(journal):
        if line.state == "moving":
            try:
                old, new = place_of(line.reference(line.old)), place_of(line.reference(line.new))
                if old and new and hash(new.path) not in named:
                    hard_links.remove(old, new)
            except (LookupError, OSError):
                continue  # it must stay
