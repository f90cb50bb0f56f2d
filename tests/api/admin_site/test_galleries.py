"""The gallery in the admin form of an entry: texts, order, deletion, and the filter of the lists."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.models import SpeciesPicture
from storage.local import LocalStorage
from tests.api.admin_site.test_admin import (
    ENTRIES,
    calls_outside_transactions,
    change_page,
    entry,
    every_kind,
    told,
)
from tests.api.admin_site.test_files import ANNOUNCED, PICTURE, ticket_for, ticket_page
from tests.api.documents.test_documents import keys_of
from tests.support.cast import Keeper, down, send

__all__ = ["calls_outside_transactions"]  # a fixture

MALFORMED = [
    "",
    "x",
    "0",
    "\0",
    "9" * 400,
    "[]",
    "01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a10",
    "00000000-0000-0000-0000-000000000000",
]


@pytest.fixture
def keeper(db) -> Keeper:
    return Keeper("keeper", "*")


def filled(kind: str, number: int = 3, **fields: Any) -> Any:
    """An entry with this number of pictures, whose credits are their first positions."""
    row = entry(kind, **fields)
    for position in range(number):
        files = {"webp_320": f"x/{uuid4()}.webp", "jpeg": f"x/{uuid4()}.jpg"}
        row.pictures.create(position=position, credit=str(position), width=40, height=30, **files)
    return row


def credits(row: Any) -> list[str]:
    pictures = list(row.pictures.order_by("position"))
    assert [each.position for each in pictures] == list(range(len(pictures)))
    return [each.credit for each in pictures]


def positions(*order: int) -> dict[str, int]:
    """What the script sends when the picture that is now at `order[i]` was moved to `i`."""
    return {f"pictures-{index}-position": order.index(index) for index in range(len(order))}


def gallery_errors(answer: Any) -> list[Any]:
    """What is wrong with the form of the gallery, by row."""
    assert answer.status_code == 200
    [inline] = answer.context["inline_admin_formsets"]
    return [*inline.formset.errors, inline.formset.non_form_errors()]


def is_refused(answer: Any) -> bool:
    return any(gallery_errors(answer))


# --- What is shown ----------------------------------------------------------------------------------------


@every_kind
def test_the_form_shows_every_picture_small_and_in_order(kind: str, keeper: Keeper):
    row = filled(kind)

    page = keeper.get(change_page(row)).content.decode()

    shown = re.findall(r'<img src="(http[^"]+)"', page)
    assert shown == [each.webp_320.url for each in row.pictures.order_by("position")]
    for name in ("alt_en", "alt_es", "credit", "licence"):
        assert len(re.findall(f'name="pictures-\\d-{name}"', page)) == 3


def test_a_picture_that_is_processed_or_has_failed_says_so(keeper: Keeper):
    species = entry("species")
    species.pictures.create(position=0, renditions_due_at=timezone.now())
    species.pictures.create(position=1, rendition_attempts=3, rendition_error="broken <data>")

    page = keeper.get(change_page(species)).content.decode()

    assert "It is being processed" in page
    assert "could not be processed (3 failed attempts): broken &lt;data&gt;" in page


def test_a_picture_of_an_earlier_version_is_shown_as_it_was_published(keeper: Keeper):
    species = entry("species")
    species.pictures.create(position=0, published_original="x/old.jpg", renditions_due_at=timezone.now())

    assert species.image.published_original.url in keeper.get(change_page(species)).content.decode()


@every_kind
def test_who_may_only_look_sees_the_texts_and_changes_nothing(kind: str, db):
    row, reader = filled(kind), Keeper("reader", f"view_{kind}")
    row.pictures.update(alt_es="Un pingüino", licence="CC-BY-4.0")

    page = reader.get(change_page(row)).content.decode()

    assert "Un pingüino" in page
    assert "CC BY 4.0" in page
    assert 'name="pictures-0-' not in page
    assert "<vivarium-upload" not in page
    sent = {**reader.form(change_page(row)), "pictures-0-credit": "Me", "pictures-1-DELETE": "on"}
    assert reader.post(change_page(row), sent).status_code == 403
    assert credits(row) == ["0", "1", "2"]


@every_kind
def test_who_may_change_the_entry_may_change_its_pictures(kind: str, db):
    row = filled(kind)

    Keeper("keeper", f"change_{kind}").save(change_page(row), **{"pictures-0-credit": "Ana"})

    assert credits(row) == ["Ana", "1", "2"]


def test_the_form_costs_the_same_with_one_and_with_twenty_pictures(keeper: Keeper):
    one = filled("species", 1)
    twenty = filled("species", 20, scientific_name="Panthera leo")
    keeper.get(change_page(one))

    with CaptureQueriesContext(connection) as at_one:
        keeper.get(change_page(one))
    with CaptureQueriesContext(connection) as at_twenty:
        keeper.get(change_page(twenty))

    assert len(at_one) == len(at_twenty)


# --- Texts ------------------------------------------------------------------------------------------------


@every_kind
def test_texts_are_saved_with_the_form(kind: str, keeper: Keeper):
    row = filled(kind)
    texts = {"alt_en": "A penguin", "alt_es": "Un pingüino", "credit": "Ana", "licence": "CC-BY-4.0"}

    answer = keeper.save(change_page(row), **{f"pictures-1-{name}": text for name, text in texts.items()})

    assert answer.status_code == 302
    assert row.pictures.values(*texts).get(position=1) == texts
    message = LogEntry.objects.get().get_change_message()
    assert message.endswith("Credit and Licence for picture “A penguin”.")


def test_only_the_fields_that_were_changed_are_written(keeper: Keeper):
    species = filled("species")
    sent = keeper.form(change_page(species)) | {"pictures-1-credit": "Ana"}
    species.pictures.update(alt_es="Nuevo", webp_320="x/new.webp")

    with CaptureQueriesContext(connection) as queries:
        keeper.post(change_page(species), sent)

    [update] = [each["sql"] for each in queries if each["sql"].startswith('UPDATE "api_speciespicture"')]
    assert re.findall(r'"(\w+)" = ', update.split(" WHERE ")[0]) == ["credit", "updated_at"]
    assert {(each.alt_es, each.webp_320.name) for each in species.pictures.all()} == {("Nuevo", "x/new.webp")}


def test_a_form_that_was_not_changed_writes_nothing(keeper: Keeper):
    species = filled("species")
    before = list(SpeciesPicture.objects.values())

    assert keeper.save(change_page(species)).status_code == 302

    assert list(SpeciesPicture.objects.values()) == before


@pytest.mark.parametrize(
    "texts",
    [{"alt_en": "x" * 501}, {"credit": "x" * 201}, {"licence": "WTFPL"}, {"alt_es": "a\u202eb"}],
    ids=lambda texts: next(iter(texts)),
)
def test_texts_that_break_a_rule_are_refused(texts: dict[str, str], keeper: Keeper):
    species = filled("species")

    answer = keeper.save(
        change_page(species), **{f"pictures-2-{name}": text for name, text in texts.items()}, habitat="Coast"
    )

    assert gallery_errors(answer)[2].keys() == texts.keys()
    species.refresh_from_db()
    assert species.habitat == ""


# --- Order ------------------------------------------------------------------------------------------------


@every_kind
@pytest.mark.parametrize("order", [(2, 0, 1), (1, 2, 0), (2, 1, 0)], ids=str)
def test_pictures_are_saved_in_their_new_order(kind: str, order: tuple[int, ...], keeper: Keeper):
    row = filled(kind)

    assert keeper.save(change_page(row), **positions(*order)).status_code == 302

    assert credits(row) == [str(number) for number in order]


def test_a_picture_that_came_meanwhile_stays_behind(keeper: Keeper):
    species = filled("species")
    sent = keeper.form(change_page(species)) | positions(2, 1, 0)
    species.pictures.create(position=3, credit="new")

    assert keeper.post(change_page(species), sent).status_code == 302

    assert credits(species) == ["2", "1", "0", "new"]


def test_an_order_that_another_has_made_stays_unless_it_was_changed(keeper: Keeper):
    species = filled("species")
    sent = keeper.form(change_page(species)) | {"habitat": "Coast"}
    keeper.save(change_page(species), **positions(2, 1, 0))

    keeper.post(change_page(species), sent)

    assert credits(species) == ["2", "1", "0"]


def test_a_form_with_errors_shows_the_order_that_was_sent(keeper: Keeper):
    species = filled("species")

    answer = keeper.save(change_page(species), common_name="", **positions(2, 0, 1))

    page = answer.content.decode()
    assert re.findall(r'name="pictures-(\d)-position"', page) == ["2", "0", "1"]
    assert re.findall(r'name="pictures-\d-position" value="(\d)"', page) == ["0", "1", "2"]


# --- Deletion ---------------------------------------------------------------------------------------------


def uploaded(kind: str, keeper: Keeper, number: int) -> Any:
    row = entry(kind)
    for _ in range(number):
        ticket = ticket_for(row, keeper)
        send(ticket, PICTURE)
        assert keeper.ask(ticket["complete_url"]).status_code == 200
    return row


@every_kind
def test_pictures_are_deleted_with_their_objects_after_the_commit(
    kind: str, keeper: Keeper, calls_outside_transactions
):
    row = uploaded(kind, keeper, 3)
    kept = row.pictures.get(position=1)

    answer = keeper.save(change_page(row), **{"pictures-0-DELETE": "on", "pictures-2-DELETE": "on"})

    assert answer.status_code == 302
    assert (row.pictures.get().pk, row.pictures.get().position) == (kept.pk, 0)
    assert keys_of("originals") == {kept.original.name}
    assert keys_of(row.bucket) == {file.key for file in kept.rendition_files() if file.key}
    assert LogEntry.objects.first().get_change_message().count("Deleted picture") == 2


def test_pictures_are_moved_changed_and_deleted_at_once(keeper: Keeper, transactional_db):
    species = filled("species", 4)
    changes = {**positions(3, 1, 2, 0), "pictures-1-DELETE": "on", "pictures-2-credit": "Ana"}

    keeper.save(change_page(species), **changes)

    assert credits(species) == ["3", "Ana", "0"]


def test_nothing_is_deleted_with_a_form_that_has_errors(keeper: Keeper, transactional_db):
    species = filled("species")

    answer = keeper.save(change_page(species), common_name="", **{"pictures-0-DELETE": "on"})

    assert answer.status_code == 200
    assert credits(species) == ["0", "1", "2"]


def test_a_store_that_is_down_keeps_nobody_from_deleting_a_picture(
    keeper: Keeper, transactional_db, monkeypatch
):
    species = uploaded("species", keeper, 1)
    monkeypatch.setattr(LocalStorage, "delete_object", down)

    assert keeper.save(change_page(species), **{"pictures-0-DELETE": "on"}).status_code == 302

    assert not species.pictures.exists()


def test_a_picture_that_another_deleted_meanwhile_is_told_and_can_be_left_out(
    keeper: Keeper, transactional_db
):
    species = filled("species")
    sent = keeper.form(change_page(species)) | {"pictures-2-credit": "Ana"}
    species.pictures.filter(position=1).delete()
    species.pictures.filter(position=2).update(position=1)

    refused = keeper.post(change_page(species), sent)

    assert "was deleted meanwhile" in refused.content.decode()
    assert [bool(errors) for errors in gallery_errors(refused)] == [False, True, False, False]
    assert keeper.post(change_page(species), sent | {"pictures-1-DELETE": "on"}).status_code == 302
    assert credits(species) == ["0", "Ana"]


# --- Hostile forms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", MALFORMED, ids=lambda bad: repr(bad[:10]))
def test_a_malformed_id_is_an_error_of_the_form(bad: str, keeper: Keeper):
    species = filled("species")

    assert is_refused(keeper.save(change_page(species), **{"pictures-1-id": bad}))

    assert credits(species) == ["0", "1", "2"]


def test_a_picture_of_another_entry_is_an_error_of_the_form(keeper: Keeper, transactional_db):
    species, other = filled("species"), filled("species", scientific_name="Panthera leo")
    theirs = str(other.pictures.get(position=1).pk)

    changes = {"pictures-1-id": theirs, "pictures-1-credit": "Mine"}
    assert is_refused(keeper.save(change_page(species), **changes))
    keeper.save(change_page(species), **{"pictures-1-id": theirs, "pictures-1-DELETE": "on"})

    assert credits(other) == credits(species) == ["0", "1", "2"]


@pytest.mark.parametrize("bad", ["-1", "3", "x", "", "1.5", "9" * 5000, "\0", "0"], ids=lambda bad: bad[:4])
def test_a_position_out_of_range_or_taken_is_an_error_of_the_form(bad: str, keeper: Keeper):
    species = filled("species")

    assert is_refused(keeper.save(change_page(species), **{"pictures-1-position": bad}))

    assert credits(species) == ["0", "1", "2"]


@pytest.mark.parametrize("name", ["id", "position"])
def test_a_row_without_its_hidden_fields_is_an_error_of_the_form(name: str, keeper: Keeper):
    species = filled("species")

    assert is_refused(keeper.save(change_page(species), **{f"pictures-1-{name}": None}))


@pytest.mark.parametrize("total", ["", "x", "-1", "9" * 30, None])
@pytest.mark.parametrize("name", ["TOTAL", "INITIAL"])
def test_a_number_of_rows_that_is_none_is_no_error_of_the_server(
    name: str, total: str | None, keeper: Keeper, transactional_db
):
    species = filled("species")

    answer = keeper.save(change_page(species), **{f"pictures-{name}_FORMS": total})

    assert answer.status_code in (200, 302)
    assert credits(species) == ["0", "1", "2"]


def test_a_row_too_many_adds_nothing(keeper: Keeper):
    species = filled("species")
    extra = {"pictures-TOTAL_FORMS": 5, "pictures-3-credit": "Mine", "pictures-3-position": 3}

    keeper.save(change_page(species), **extra)

    assert credits(species) == ["0", "1", "2"]


def test_a_row_that_is_sent_twice_is_an_error_of_the_form(keeper: Keeper):
    species = filled("species")
    first = str(species.pictures.get(position=0).pk)

    assert is_refused(keeper.save(change_page(species), **{"pictures-1-id": first}))


# --- New entries ------------------------------------------------------------------------------------------


@every_kind
def test_pictures_can_be_chosen_for_a_new_entry(kind: str, keeper: Keeper):
    page = keeper.get(f"api/{kind}/add/").content.decode()

    assert '<vivarium-upload\n  waiting=""' in page
    assert "pictures-TOTAL_FORMS" not in page


@pytest.mark.parametrize("button", ["_save", "_addanother", "_continue"])
def test_a_new_entry_whose_pictures_wait_leads_to_its_form(button: str, keeper: Keeper):
    waiting = str(uuid4())

    answer = keeper.save("api/species/add/", **NEW, _pictures=waiting, **{button: "Save"})

    species = SpeciesPicture.entry.field.related_model.objects.get()
    assert answer.headers["Location"] == f"/admin/{change_page(species)}#pictures={waiting}"
    assert "was added successfully" in told(keeper)


@pytest.mark.parametrize("bad", ["", "x", "//evil.example.org", "\0", "a" * 36])
def test_a_malformed_mark_of_waiting_pictures_is_ignored(bad: str, keeper: Keeper):
    answer = keeper.save("api/species/add/", **NEW, _pictures=bad)

    assert answer.headers["Location"] == "/admin/api/species/"


def test_who_may_not_change_entries_chooses_no_pictures_for_a_new_one(db):
    adder = Keeper("adder", "add_species")

    assert b"<vivarium-upload" not in adder.get("api/species/add/").content
    answer = adder.save("api/species/add/", **NEW, _pictures=str(uuid4()))
    assert "#" not in answer.headers["Location"]


def test_a_form_with_errors_knows_the_pictures_that_wait(keeper: Keeper):
    waiting = str(uuid4())

    answer = keeper.save("api/species/add/", **NEW | {"common_name": ""}, _pictures=waiting)

    assert f'waiting="{waiting}"' in answer.content.decode()


NEW = {"common_name": "Lion", "scientific_name": "Panthera leo"}


# --- Lists ------------------------------------------------------------------------------------------------


@every_kind
def test_lists_are_filtered_by_pictures(kind: str, keeper: Keeper):
    extra = [{"scientific_name": f"Panthera {name}"} if kind == "species" else {} for name in ("leo", "onca")]
    good, failed = filled(kind), filled(kind, 1, **extra[0])
    failed.pictures.update(rendition_error="broken")
    bare = entry(kind, **extra[1])

    def found(**query: str) -> set[Any]:
        return set(keeper.get(f"api/{kind}/", **query).context["cl"].result_list)

    assert found(pictures="with") == {good, failed}
    assert found(pictures="without") == {bare}
    assert found(pictures="failed") == {failed}
    assert found() == found(pictures="x") == {good, failed, bare}


def test_pictures_are_not_pages_of_their_own(keeper: Keeper):
    for kind in ENTRIES:
        assert keeper.get(f"api/{kind}picture/").status_code == 404


def test_a_ticket_is_checked_against_what_there_is(keeper: Keeper, settings):
    settings.PICTURES_PER_ENTRY = 3

    assert keeper.ask(ticket_page(filled("species")), ANNOUNCED).status_code == 409
