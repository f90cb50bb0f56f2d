"""Undo a transfer: rows get back their old file names, and hard links that no row needs are deleted."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from django.db import DatabaseError

from storage.transfer import hard_links
from storage.transfer.entries import Entry, EntryResult
from storage.transfer.fetching import fetch, find_replaced
from storage.transfer.journal import Journal, check, entries_reversed
from storage.transfer.local_files import find_existing
from storage.transfer.references import columns
from storage.transfer.rewriting import roll_back_texts
from storage.transfer.sending import sha256_of, unexpected

CLOCK_DIFFERENCE = timedelta(hours=1)  # between this machine and the project, at most


def roll_back(journal: Path, *, is_fetching: bool = False) -> Iterator[EntryResult]:
    """Restore rows and yield results. Raises JournalError, StorageMisconfigured.

    Rows that have changed since and rows without a local file are left unchanged and reported. With
    `is_fetching`, files that only their bucket has are copied to this disk.
    """
    check(journal)
    seen: set[int] = set()  # hashes of rows: only the last entry of a row is reported
    ended_at = ""  # when the last file was moved
    with Journal(journal) as opened:
        opened.add_rollback()
        for entry in entries_reversed(journal):
            ended_at = ended_at or entry.at
            row = hash((entry.model, entry.field, *entry.pk))
            result = _roll_back_entry(entry)
            if result and (result.status == "done" or row not in seen):
                yield result
            seen.add(row)
        yield from roll_back_texts(journal)
        _remove_unused_links(journal)
    for column in columns():
        for reference in column.references():
            row = hash((*column.names, *reference.pk_texts))
            if find_existing(reference):
                continue
            if is_fetching:
                yield fetch(reference)
            elif row not in seen:
                message = f"{reference}: {reference.name!r} is not on this disk: --fetch looks in its bucket."
                yield EntryResult("missing", message)
    if is_fetching and ended_at:
        yield from find_replaced(columns(), datetime.fromisoformat(ended_at) - CLOCK_DIFFERENCE)


def _roll_back_entry(entry: Entry) -> EntryResult | None:
    """Return None if there is nothing to do or to report."""
    row = f"{entry.model} {' '.join(entry.pk)}"
    try:
        before, after = entry.reference(entry.old), entry.reference(entry.new)
        old, new = find_existing(before), find_existing(after)
        if old is None:
            return EntryResult("missing", f"{row}: {entry.old!r} is no longer on this disk: left unchanged.")
        if before.is_current() or (entry.state == "moving" and after.is_current() and new is None):
            return None
        if entry.old != entry.new and after.is_current():
            if any(sha256_of(location.path) != entry.sha256 for location in (old, new) if location):
                message = f"{row}: its file was replaced since, as {entry.new!r}: left unchanged."
                return EntryResult("changed", message)
            if before.update_name(entry.old, expected=entry.new):
                return EntryResult("done")
    except DatabaseError as error:
        return EntryResult("database", f"{row} cannot be changed: {error}: left unchanged.")
    except (LookupError, OSError) as error:
        message = f"{row}: {entry.old!r} cannot be put back: {error}: left unchanged."
        return EntryResult("missing", message)
    except Exception as error:
        return EntryResult("failed", f"{row}: {unexpected(entry.old, error)}: left unchanged.")
    return EntryResult("changed", f"{row} has changed since, or was deleted: left unchanged.")


def _remove_unused_links(journal: Path) -> None:
    """Delete hard links that no row names."""
    rows = (reference for column in columns() for reference in column.references())
    named = {hash(location.path) for location in map(find_existing, rows) if location}
    for entry in entries_reversed(journal):
        if entry.state == "moving":
            try:
                old = find_existing(entry.reference(entry.old))
                new = find_existing(entry.reference(entry.new))
                if old and new and hash(new.path) not in named:
                    hard_links.remove(old, new)
            except (LookupError, OSError):
                continue  # the link is kept
