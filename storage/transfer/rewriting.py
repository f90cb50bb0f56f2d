"""Report the texts that mention files, let them name the moved files, and undo that."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from django.db import DatabaseError

from storage.transfer.entries import KEPT_TEXT_STATE, EntryResult, TextEntry
from storage.transfer.file_index import FileIndex
from storage.transfer.journal import Journal, entries, text_entries_reversed
from storage.transfer.mentions import Change, Mention, MentionFinder, changes, replace_all, reverse
from storage.transfer.texts import Text, TextColumn, text_columns

ATTEMPTS = 3  # at a text that others change at the same time


@dataclass(frozen=True, slots=True)
class TextMention:
    """A mention in the text of a row. `status`: that of `Mention.kind`; after an attempt to change the text
    rewritten, changed (others kept changing it), too_long (its column is too short) or database. It is failed
    after an unexpected error, without a mention.
    """

    status: str
    text: Text
    mention: Mention | None
    message: str = ""

    @property
    def can_be_rewritten(self) -> bool:
        return self.status in ("link", "name")


def add_moved_files(index: FileIndex, journal: Path) -> None:
    """Add the files that were moved, according to the journal. Raises JournalError.

    A run that was killed after it changed a row has not added the file as done. The next run adds it under
    its new name only: then the old name is that of the interrupted entry.
    """
    interrupted: dict[int, str] = {}  # old names, by hash of row and new name
    for entry in entries(journal):
        change = hash((entry.model, entry.field, *entry.pk, entry.new))
        if entry.state == "moving":
            interrupted[change] = entry.old
        elif entry.state == "done":
            old = interrupted.pop(change, entry.old)
            try:
                index.add(entry.reference(entry.new).column, old, entry.new)
            except LookupError:
                continue  # the field is gone


def find_mentions(finder: MentionFinder) -> Iterator[TextMention]:
    """Yield the mentions in all texts, and change nothing."""
    for column in text_columns():
        for text in column.texts():
            try:
                mentions, _ = _examine(finder, text)
            except Exception as error:
                yield _failed(text, error)
            else:
                yield from (TextMention(each.kind, text, each) for each in mentions)


def rewrite_texts(finder: MentionFinder, journal: Path) -> Iterator[TextMention]:
    """Change the texts that can be changed, and yield all mentions. Raises JournalError.

    The journal has each change before it is made. A text is changed only if it is still the one examined.
    """
    with Journal(journal) as opened:
        for column in text_columns():
            for text in column.texts():
                try:
                    yield from list(_rewrite(finder, text, opened))
                except (DatabaseError, OSError):  # nothing can be read, or the journal cannot be written
                    raise
                except Exception as error:
                    yield _failed(text, error)


def _failed(text: Text, error: Exception) -> TextMention:
    return TextMention("failed", text, None, f"unexpected error: {type(error).__name__}: {error}")


def _rewrite(finder: MentionFinder, text: Text, journal: Journal) -> Iterator[TextMention]:
    status, message, mentions = "changed", "", list[Mention]()
    for _ in range(ATTEMPTS):
        mentions, wanted = _examine(finder, text)
        if not wanted:
            status = ""
            break
        new = replace_all(text.content, wanted)
        limit = text.column.field.max_length
        if limit is not None and len(new) > limit and not text.column.is_json:
            status, message = "too_long", f"It would have more than {limit} characters."
            break
        entry = _entry(text, new, wanted)
        journal.add_text(entry)
        journal.sync()
        try:
            if text.column.replace(text.pk, text.content, new):
                status = "rewritten"
                break
        except DatabaseError as error:
            status, message = "database", f"The row cannot be changed: {error}"
            break
        journal.add_text(replace(entry, state=KEPT_TEXT_STATE))
        current = text.column.text(text.pk)
        if current is None:
            return
        text = current
    for each in mentions:
        yield TextMention((status if each.new else "") or each.kind, text, each, message)


def _examine(finder: MentionFinder, text: Text) -> tuple[list[Mention], list[Change]]:
    """Return the mentions in a text, and the changes that let it name the moved files."""
    if not (text.column.is_json or _is_json(text.content)):
        mentions = finder.find(text.content)
        return mentions, changes(mentions)
    found = list(finder.find_in_json(text.content))
    return [each for mentions, _ in found for each in mentions], [change for _, change in found if change]


def _is_json(content: str) -> bool:
    """Return True if a text column holds an object or a list in JSON, as some packages store it."""
    if content.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(content, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def _entry(text: Text, new: str, wanted: list[Change]) -> TextEntry:
    parts = [(change.start, change.old, change.new) for change in wanted]
    return TextEntry.of(text, parts, _sha256(text.content), _sha256(new))


def roll_back_texts(journal: Path) -> Iterator[EntryResult]:
    """Undo changes of texts, the last first, and yield results. Raises JournalError.

    A text that has changed since, or whose row was deleted, is reported and left unchanged.
    """
    changed: dict[int, str] = {}  # descriptions of rows whose text is not one of the journal, by hash
    kept: set[int] = set()  # hashes of changes that were not made
    for entry in text_entries_reversed(journal):
        change = hash((entry.model, entry.field, *entry.pk, entry.old_sha256, entry.new_sha256))
        if entry.state == KEPT_TEXT_STATE:
            kept.add(change)
            continue
        if change in kept:
            kept.remove(change)
            continue
        row = hash((entry.model, entry.field, *entry.pk))
        about = f"{entry.model}.{entry.field} {' '.join(entry.pk)}"
        try:
            text = _current(entry)
            sha256 = _sha256(text.content) if text else ""
            if text and sha256 == entry.new_sha256:
                parts = reverse([Change(*part) for part in entry.changes])
                old = replace_all(text.content, parts)
                if text.column.replace(text.pk, text.content, old):
                    yield EntryResult("done")
                    sha256 = entry.old_sha256
        except (LookupError, DatabaseError) as error:
            yield EntryResult("database", f"{about} cannot be changed: {error}: left unchanged.")
            continue
        if sha256 == entry.old_sha256:
            changed.pop(row, None)
        else:
            changed[row] = about
    for about in changed.values():
        yield EntryResult("changed", f"{about}: its text has changed since: left unchanged.")


def _current(entry: TextEntry) -> Text | None:
    """Raises LookupError if the field is gone."""
    field, pk = entry.row()
    return TextColumn(field).text(pk)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
