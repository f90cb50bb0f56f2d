"""The way back: rows name again what they did before the move, and this disk has the names it had."""

from collections.abc import Iterator
from pathlib import Path

from storage.base import StorageError
from storage.transfer import twins
from storage.transfer.journal import Line, backwards
from storage.transfer.references import Reference, columns
from storage.transfer.sources import Outside, find, identity
from storage.transfer.steps import Step


def roll_back(journal: Path) -> Iterator[Step]:
    """Those that changed since, and those whose file is gone, are left and named. Raises WrongJournal."""
    judged: set[int] = set()  # hashes of rows: what the last line of a row tells of it is enough
    for line in backwards(journal):
        row = hash((line.model, line.field, *line.pk))
        step = _back(line)
        if step and (step.what == "done" or row not in judged):
            yield step
        judged.add(row)
    _remove_twins(journal)


def _back(line: Line) -> Step | None:
    """None: there is nothing to do, and nothing to say."""
    row = f"{line.model} {' '.join(line.pk)}"
    try:
        before, after = line.reference(line.old), line.reference(line.new)
        find(before.column, line.old)
    except (LookupError, Outside, OSError, StorageError):
        return Step("missing", f"{row}: {line.old!r} is not on this disk any more: left as it is.")
    if line.old != line.new and before.point_to(line.old, instead_of=line.new):
        return Step("done")
    if before.is_current() or (line.state == "moving" and after.is_current()):
        return None
    return Step("changed", f"{row} has changed since, or is gone: left as it is.")


def _remove_twins(journal: Path) -> None:
    named = {hash(identity(each)) for column in columns() for each in column.references()}
    for line in backwards(journal):
        if line.state == "moving":
            try:
                _remove_twin(line.reference(line.old), line.reference(line.new), named)
            except (LookupError, Outside, OSError, StorageError):
                continue  # it is gone already, or it must stay


def _remove_twin(old: Reference, new: Reference, named: set[int]) -> None:
    if hash(identity(new)) not in named:
        twins.remove(find(old.column, old.name), find(new.column, new.name))
