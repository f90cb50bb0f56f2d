"""The journal, whatever is left of it."""

import json
from pathlib import Path

import pytest

from storage.transfer.entries import Entry
from storage.transfer.journal import (
    CompletedReferences,
    Journal,
    JournalError,
    entries,
    entries_reversed,
)
from storage.transfer.references import Column, Reference, columns

MOVED = Entry("done", "api.Document", "file", ["7"], "documents", "a b.pdf", "a b.pdf", 3, 5, "ab" * 32)
RENAMED = Entry("moving", "api.Species", "qr_code", ["8"], "species", "ñ.png", "n-1.png", 3, 5, "cd" * 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "folder" / "the.journal"
    with Journal(path) as journal:
        journal.add(MOVED)
        journal.add(RENAMED)
        journal.sync()
    return path


def said(path: Path) -> list[tuple[str, str]]:
    return [(line.state, line.new) for line in entries(path)]


def test_it_tells_what_was_done_in_both_directions(path: Path):
    assert said(path) == [("done", "a b.pdf"), ("moving", "n-1.png")]
    assert [line.new for line in entries_reversed(path)] == ["n-1.png", "a b.pdf"]


def test_half_a_line_is_no_line_at_whatever_byte_it_ends(path: Path):
    whole = path.read_bytes()
    second = whole.rindex(b"\n", 0, -1) + 1

    for end in range(second, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert said(path) == [("done", "a b.pdf")]
        assert [line.new for line in entries_reversed(path)] == ["a b.pdf"]


def test_what_is_written_after_half_a_line_is_whole(path: Path):
    path.write_bytes(path.read_bytes()[:-20])

    with Journal(path) as journal:
        journal.add(RENAMED)
        journal.sync()

    assert said(path) == [("done", "a b.pdf"), ("moving", "n-1.png")]


def test_a_head_that_was_cut_off_begins_anew(path: Path):
    head = path.read_bytes().partition(b"\n")[0]

    for end in range(len(head)):
        path.write_bytes(head[:end])
        with Journal(path) as journal:
            journal.add(MOVED)
            journal.sync()
        assert said(path) == [("done", "a b.pdf")]


@pytest.mark.parametrize("content", [b"notes", b"notes\n", b'{"journal": "another"}\n', b"[]\n", b"\xff\n"])
def test_what_is_no_journal_is_left_alone(path: Path, content: bytes):
    path.write_bytes(content)

    with pytest.raises(JournalError, match="not a journal"), Journal(path):
        pass
    assert path.read_bytes() == content


def test_that_of_another_project_is_refused(path: Path, settings):
    settings.SUPABASE_URL = "https://another.supabase.co"

    with pytest.raises(JournalError, match=r"SUPABASE_URL is different"), Journal(path):
        pass
    with pytest.raises(JournalError):
        list(entries(path))


def test_only_one_run_writes_it(path: Path):
    with Journal(path), pytest.raises(JournalError, match="another run"), Journal(path):
        pass


def test_lines_of_a_later_version_are_passed_over(path: Path):
    with path.open("ab") as file:
        file.write(json.dumps({"state": "done", "colour": "green"}).encode() + b"\n")

    assert len(said(path)) == 2


@pytest.mark.django_db
def test_a_file_that_changed_since_is_not_done(path: Path, settings):
    [column] = [column for column in columns() if column.label == "api.Document.file"]
    reference = Reference(Column(column.field, "documents"), 7, "a b.pdf")
    gone = CompletedReferences(path).has(reference)

    file = Path(settings.MEDIA_ROOT, "documents", "a b.pdf")
    file.parent.mkdir(parents=True)
    file.write_bytes(b"new")

    assert gone
    assert not CompletedReferences(path).has(reference)
    assert not CompletedReferences(path).has(Reference(reference.column, 8, "a b.pdf"))
