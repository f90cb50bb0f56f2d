"""Texts that mention moved files, in the database: found, changed, and put back."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models

from api.catalog.models import Species
from api.catalog.pictures import SpeciesPicture
from storage.buckets import Bucket
from storage.transfer.entries import Entry
from storage.transfer.file_index import FileIndex
from storage.transfer.journal import Journal
from storage.transfer.mentions import Mention, MentionFinder
from storage.transfer.rewriting import (
    add_moved_files,
    find_mentions,
    rewrite_texts,
    roll_back_texts,
)
from storage.transfer.texts import TextColumn, text_columns

pytestmark = pytest.mark.django_db

PK = "01a21ae7-34f9-76e9-9dc3-c7d1ee15f731"
URL = "https://project.supabase.co/storage/v1/object/public/species/plan.png"
FACTS = {"b": [1.5, "/media/plan.png"], "añ": {"x": "ñ /media/plan.png"}}


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SUPABASE_URL = "https://project.supabase.co"
    settings.MEDIA_URL = "/media/"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "the.journal"
    with Journal(path) as opened:
        opened.add(
            Entry("done", "api.Species", "qr_code", [PK], "species", "plan.png", "plan.png", 3, 5, "ab" * 32)
        )
        opened.add(Entry("done", "api.Species", "gone", [PK], "species", "x.png", "x.png", 3, 5, "ab" * 32))
    return path


def finder(journal: Path) -> MentionFinder:
    index = FileIndex({"species": Bucket("species", public=True)})
    add_moved_files(index, journal)
    return MentionFinder(index)


def species(description: str = "/media/plan.png", **values) -> Species:
    number = Species.objects.count()
    name = f"Loxodonta a{'b' * number}"
    return Species.objects.create(scientific_name=name, slug=f"s{number}", description=description, **values)


def descriptions() -> list[str]:
    return list(Species.objects.order_by("slug").values_list("description", flat=True))


def statuses(journal: Path) -> list[str]:
    return [each.status for each in rewrite_texts(finder(journal), journal)]


def put_back(journal: Path) -> list[str]:
    return [each.status for each in roll_back_texts(journal)]


def test_texts_and_json_are_changed_and_put_back(journal: Path):
    before = species()
    picture = SpeciesPicture.objects.create(entry=before, position=0, original_facts=FACTS)

    assert [(str(each.text), each.status) for each in find_mentions(finder(journal))] == [
        (f"api.Species.description {before.pk}", "link"),
        (f"api.SpeciesPicture.original_facts {picture.pk}", "link"),
        (f"api.SpeciesPicture.original_facts {picture.pk}", "link"),
    ]
    assert statuses(journal) == ["rewritten"] * 3
    after = SpeciesPicture.objects.select_related("entry").get()
    assert after.entry.description == URL
    assert after.original_facts == {"b": [1.5, URL], "añ": {"x": f"ñ {URL}"}}
    assert (after.entry.updated_at, after.updated_at) == (before.updated_at, picture.updated_at)
    assert statuses(journal) == []
    assert put_back(journal) == ["done"] * 2
    after = SpeciesPicture.objects.select_related("entry").get()
    assert (after.entry.description, after.original_facts) == ("/media/plan.png", FACTS)
    assert put_back(journal) == []


def test_generated_columns_and_keys_are_no_text_columns():
    labels = {column.label for column in text_columns()}

    assert {"api.Species.description", "api.Document.file_facts", "api.Document.title"} <= labels
    assert not {"api.Species.search_text", "api.Document.search_text", "api.Species.qr_code"} & labels


class Meanwhile(MentionFinder):
    """Lets another writer change the row after its text was read: the first `times` times."""

    def __init__(self, index: FileIndex, write: Callable[[int], object], times: int) -> None:
        super().__init__(index)
        object.__setattr__(self, "left", list(range(times)))
        object.__setattr__(self, "write", write)

    def find(self, text: str) -> list[Mention]:
        if self.left and "/media/" in text:
            self.write(self.left.pop(0))
        return super().find(text)


@pytest.mark.parametrize(
    ("times", "status", "text"),
    [
        (1, "rewritten", f"edit 0 {URL}"),
        (2, "rewritten", f"edit 1 {URL}"),
        (9, "changed", "edit 2 /media/plan.png"),
    ],
)
def test_an_edit_that_is_made_meanwhile_is_kept(journal: Path, times: int, status: str, text: str):
    species()
    index = finder(journal).index
    write = lambda number: Species.objects.update(description=f"edit {number} /media/plan.png")  # noqa: E731

    assert [each.status for each in rewrite_texts(Meanwhile(index, write, times), journal)] == [status]
    assert descriptions() == [text]
    assert put_back(journal) == (["done"] if status == "rewritten" else [])


def test_a_row_that_is_deleted_meanwhile_is_forgotten(journal: Path):
    species()
    index = finder(journal).index

    mentions = rewrite_texts(Meanwhile(index, lambda number: Species.objects.all().delete(), 1), journal)

    assert list(mentions) == []


def test_rewritten_twice_is_put_back_to_the_first_text(journal: Path):
    species()
    statuses(journal)
    Species.objects.update(description=f"{URL} /media/plan.png")
    statuses(journal)

    assert put_back(journal) == ["done", "changed"]
    assert descriptions() == [f"{URL} /media/plan.png"]


def test_a_run_that_ended_before_it_changed_the_row_leaves_nothing_to_put_back(journal: Path):
    species()
    statuses(journal)
    Species.objects.update(description="/media/plan.png")

    assert put_back(journal) == []
    assert statuses(journal) == ["rewritten"]
    assert put_back(journal) == ["done"]


class Unlucky(MentionFinder):
    """Raises what nobody foresaw for one text."""

    def find(self, text: str) -> list[Mention]:
        return [] if "unlucky" not in text else [text.unforeseen]  # type: ignore[attr-defined]


@pytest.mark.parametrize("examine", [find_mentions, lambda finder: rewrite_texts(finder, finder.journal)])
def test_a_text_that_raises_what_nobody_foresaw_is_named(journal: Path, examine):
    species("unlucky"), species("/media/plan.png")
    unlucky = Unlucky(finder(journal).index)
    object.__setattr__(unlucky, "journal", journal)

    [found] = examine(unlucky)

    assert (found.status, found.message[:32]) == ("failed", "unexpected error: AttributeError")


@pytest.mark.database
@pytest.mark.skipif(connection.vendor != "postgresql", reason="only PostgreSQL has arrays")
def test_arrays_are_read_as_json_and_changed():
    class Row(models.Model):  # noqa: DJ008
        files = ArrayField(ArrayField(models.TextField(null=True)), null=True)

        class Meta:
            app_label = "arrays"

    column = TextColumn(Row._meta.get_field("files"))
    before = [["/media/plan.png", None], ['a "b", {c}\\', "x"]]
    with connection.schema_editor() as editor:
        editor.create_model(Row)
    row = Row.objects.create(files=before)
    Row.objects.create(files=None)
    [text] = column.texts()

    new = text.content.replace("/media/plan.png", URL)
    assert column.replace(row.pk, text.content, new)
    assert not column.replace(row.pk, text.content, new)
    row.refresh_from_db()
    assert row.files == [[URL, None], before[1]]
    assert column.text(row.pk).content == new


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_every_text_is_met_once_whatever_the_size_of_a_page(journal: Path, monkeypatch, size: int):
    for number in range(5):
        species(f"{number}" * 300)
    column = TextColumn(Species._meta.get_field("description"))
    monkeypatch.setattr("storage.transfer.texts.PAGE_SIZE", size)

    for characters in (1, 700, 10**6):
        monkeypatch.setattr("storage.transfer.texts.BATCH_CHARACTERS", characters)
        assert sorted(each.content[0] for each in column.texts()) == list("01234")


def test_no_text_is_left_out_when_a_row_is_added_meanwhile(monkeypatch):
    """UUIDs of new rows are anywhere among those of the others."""
    monkeypatch.setattr("storage.transfer.texts.BATCH_CHARACTERS", 1)
    first, new, last = (f"0000000{number}-0000-4000-8000-000000000000" for number in range(3))
    species("first", pk=first)
    species("last", pk=last)

    texts = TextColumn(Species._meta.get_field("description")).texts()
    found = [next(texts).content]
    species("new", pk=new)
    found += [each.content for each in texts]

    assert found == ["first", "new", "last"]
