"""The admin: who sees what, one set of rules with the API, lists, deletion, and its policy."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.core.files.storage import storages
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from api.catalog import qr_codes
from api.catalog.admin import EntryAdmin
from api.catalog.models import Entry
from api.models import Document, EducationalService, Exhibition, Profile, Removal, Species, Upload
from storage.local import LocalStorage
from tests.api.catalog.test_catalog import picture
from tests.api.documents.test_documents import keys_of
from tests.support.cases import crossed
from tests.support.cast import Caller, Keeper, announcement, code, down, send

MODELS: dict[str, Any] = {
    "species": Species,
    "exhibition": Exhibition,
    "educationalservice": EducationalService,
    "document": Document,
    "profile": Profile,
    "upload": Upload,
    "removal": Removal,
}
ENTRIES = ("species", "exhibition", "educationalservice")
KEPT = {
    "species": {"common_name": "African penguin", "scientific_name": "Spheniscus demersus"},
    "exhibition": {"title": "Penguins of the cape"},
    "educationalservice": {"title": "Night at the aquarium"},
}
FACTS = {"name": "x.pdf", "size": 5, "content_type": "application/pdf", "sha256": None}
ROUTES = {"species": "species", "exhibition": "exhibitions", "educationalservice": "educational-services"}
every_kind = pytest.mark.parametrize("kind", ENTRIES)


@pytest.fixture
def keeper(db) -> Keeper:
    return Keeper("keeper", "*")


@pytest.fixture
def reader(db) -> Keeper:
    return Keeper("reader", *(f"view_{name}" for name in MODELS))


@pytest.fixture
def outsider(db) -> Keeper:
    """May log in, and that is all."""
    return Keeper("outsider")


@pytest.fixture
def calls_outside_transactions(monkeypatch, transactional_db) -> list[str]:
    """The calls of the store; each asserts that no transaction is open."""
    calls = []
    for verb in ("put", "delete_object", "copy", "move"):
        original = getattr(LocalStorage, verb)

        def watched(*args, original=original, verb=verb, **options):
            assert not connection.in_atomic_block, verb
            calls.append(verb)
            return original(*args, **options)

        monkeypatch.setattr(LocalStorage, verb, watched)
    return calls


def entry(kind: str, **fields: Any) -> Any:
    made: Entry = MODELS[kind](**{**KEPT[kind], **fields})
    made.create()
    return made


def change_page(row: Any) -> str:
    return f"api/{row._meta.model_name}/{row.pk}/change/"


def errors(answer: Any) -> dict[str, list[str]]:
    """What the form says, by field."""
    assert answer.status_code == 200
    return dict(answer.context["adminform"].form.errors)


def told(keeper: Keeper) -> str:
    """The messages that the next page shows."""
    return " ".join(str(message) for message in keeper.get("").context["messages"])


def with_picture(kind: str, curator: Caller, **fields: Any) -> Any:
    made = entry(kind, **fields)
    ticket = curator.post(
        f"{ROUTES[kind]}/{made.slug}/upload-url/", announcement(picture(), content_type="image/jpeg")
    ).json()
    send(ticket, picture())
    assert curator.complete(ticket).status_code == 200
    made.refresh_from_db()
    return made


# --- Who sees what ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["", "api/", *(f"api/{name}/" for name in MODELS)])
def test_who_is_not_logged_in_is_asked_to(page: str, db):
    answer = Client().get(f"/admin/{page}")

    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/admin/login/?next=/admin/{page}"


@pytest.mark.parametrize("name", MODELS)
def test_who_has_no_permission_sees_nothing(name: str, outsider: Keeper):
    assert outsider.get(f"api/{name}/").status_code == 403


def test_a_token_of_the_api_opens_nothing_here(curator: Caller):
    assert curator.get("/admin/").status_code == 302


@every_kind
def test_who_may_only_look_changes_nothing(kind: str, reader: Keeper):
    row = entry(kind)

    page = reader.get(change_page(row))
    assert page.status_code == 200
    assert b"<vivarium-upload" not in page.content
    assert b"_qr_code" not in page.content
    assert reader.get(f"api/{kind}/add/").status_code == 403
    assert reader.post(change_page(row), {**KEPT[kind], "description": "Mine"}).status_code == 403
    assert reader.post(f"api/{kind}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
    for action in ("delete_selected", "make_qr_codes"):
        reader.post(f"api/{kind}/", {"action": action, "_selected_action": [row.pk], "post": "yes"})
    row.refresh_from_db()
    assert row.description == ""
    assert not keys_of("species")


@pytest.mark.parametrize("name", ["document", "profile", "upload", "removal"])
def test_what_members_own_is_only_looked_at(name: str, keeper: Keeper, alice: Caller):
    alice.document_with_file()
    Removal.objects.create(bucket="documents", key="x.pdf", due_at=timezone.now())
    row = MODELS[name].objects.get()
    before = MODELS[name].objects.values().get()

    assert keeper.get(f"api/{name}/").status_code == 200
    assert keeper.get(change_page(row)).status_code == 200
    assert keeper.get(f"api/{name}/add/").status_code == 403
    assert keeper.post(change_page(row), {"title": "Mine", "state": "pending"}).status_code == 403
    if name != "document":
        assert keeper.post(f"api/{name}/{row.pk}/delete/", {"post": "yes"}).status_code == 403
        assert b"delete_selected" not in keeper.get(f"api/{name}/").content
    assert MODELS[name].objects.values().get() == before


def test_private_documents_are_seen_by_who_may_see_documents(reader: Keeper, alice: Caller):
    alice.document_with_file(title="My salary", visibility="private")

    assert b"My salary" in reader.get("api/document/").content


# --- One set of rules ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("species", {"scientific_name": "Spheniscus"}),
        ("species", {"scientific_name": "Spheniscus demersus Linnaeus 1758"}),
        ("species", {"scientific_name": "panthera LEO"}),  # which there is
        ("species", {"common_name": "x" * 201}),
        ("exhibition", {"opens_on": "2026-12-02", "closes_on": "2026-12-01"}),
        ("educationalservice", {"price": "12.50"}),
        ("educationalservice", {"price": "12.50", "currency": "EUX"}),
        ("educationalservice", {"currency": "eur"}),
        ("educationalservice", {"price": "-1", "currency": "EUR"}),
        ("educationalservice", {"capacity": 0}),
        ("educationalservice", {"duration_minutes": 2**31}),
    ],
)
def test_what_the_api_refuses_the_form_refuses_with_the_same_words(
    kind: str, fields: dict[str, Any], keeper: Keeper, curator: Caller
):
    entry("species", common_name="Lion", scientific_name="Panthera leo")

    api = curator.post(f"{ROUTES[kind]}/", {**KEPT[kind], **fields}).json()
    form = errors(keeper.save(f"api/{kind}/add/", **{**KEPT[kind], **fields}))

    assert {f"#/{name}" for name in form} == {error["pointer"] for error in api["errors"]}
    ours = {
        error["detail"]
        for error in api["errors"]
        if error["code"] not in ("max_length", "min_value", "max_value")
    }
    assert ours <= {text for texts in form.values() for text in texts}
    assert MODELS[kind].objects.count() == (kind == "species")


@every_kind
def test_a_new_entry_is_made_as_the_api_makes_it(kind: str, keeper: Keeper, transactional_db):
    entry(kind, **({"scientific_name": "Panthera leo"} if kind == "species" else {}))

    answer = keeper.save(f"api/{kind}/add/", **KEPT[kind])

    assert answer.status_code == 302
    made = MODELS[kind].objects.latest("id")
    assert made.slug.endswith("-2")
    assert made.published is False
    assert keeper.get(change_page(made)).context["original"] == made


def test_a_name_that_is_written_carelessly_is_put_right(keeper: Keeper):
    keeper.save("api/species/add/", common_name="Lion", scientific_name="  panthera   LEO ")

    assert Species.objects.get().scientific_name == "Panthera leo"


def test_the_slug_cannot_be_sent(keeper: Keeper):
    species = entry("species")

    keeper.save(change_page(species), slug="mine", common_name="Jackass penguin")

    species.refresh_from_db()
    assert (species.slug, species.common_name) == ("african-penguin", "Jackass penguin")


def test_species_are_found_twenty_at_a_time(keeper: Keeper):
    for number in range(25):
        letters = chr(97 + number) * 3
        entry("species", common_name=f"Penguin {number:02}", scientific_name=f"Spheniscus {letters}")
    asked = {"app_label": "api", "model_name": "exhibition", "field_name": "species", "term": "penguin"}

    found = keeper.get("autocomplete/", **asked).json()

    assert len(found["results"]) == 20
    assert found["pagination"] == {"more": True}


def test_the_species_of_an_exhibition_are_kept(keeper: Keeper):
    penguin, exhibition = entry("species"), entry("exhibition")

    keeper.save(change_page(exhibition), species=[penguin.pk])
    assert list(exhibition.species.all()) == [penguin]

    keeper.save(change_page(exhibition), location="House 3")
    assert list(exhibition.species.all()) == [penguin]


# --- Others change it too --------------------------------------------------------------------------------


def test_only_what_was_changed_is_written(keeper: Keeper):
    species = entry("species")
    sent = keeper.form(change_page(species)) | {"habitat": "Coast"}

    with CaptureQueriesContext(connection) as queries:
        keeper.post(change_page(species), sent)

    [update] = [query["sql"] for query in queries if query["sql"].startswith('UPDATE "api_species"')]
    assert re.findall(r'"(\w+)" = ', update.split(" WHERE ")[0]) == ["habitat", "updated_at"]


def test_a_form_that_was_not_changed_writes_nothing(keeper: Keeper):
    species = entry("species")
    before = Species.objects.values().get()

    assert keeper.save(change_page(species)).status_code == 302

    assert Species.objects.values().get() == before


def test_a_picture_that_came_while_the_form_was_open_stays(keeper: Keeper, curator: Caller):
    species = entry("species")
    sent = keeper.form(change_page(species)) | {"habitat": "Coast"}
    ticket = curator.post(
        f"species/{species.slug}/upload-url/", announcement(picture(), content_type="image/jpeg")
    ).json()
    send(ticket, picture())
    curator.complete(ticket)

    assert keeper.post(change_page(species), sent).status_code == 302

    species.refresh_from_db()
    assert species.habitat == "Coast"
    assert species.image.original_facts


def test_species_that_another_added_meanwhile_stay(keeper: Keeper, curator: Caller):
    penguin, exhibition = entry("species"), entry("exhibition")
    lion = entry("species", common_name="Lion", scientific_name="Panthera leo")
    exhibition.species.set([penguin])
    sent = keeper.form(change_page(exhibition)) | {"location": "House 3"}
    curator.patch(f"exhibitions/{exhibition.slug}/", {"species": [penguin.slug, lion.slug]})

    assert keeper.post(change_page(exhibition), sent).status_code == 302

    exhibition.refresh_from_db()
    assert exhibition.location == "House 3"
    assert set(exhibition.species.all()) == {penguin, lion}


@pytest.mark.slow
def test_an_exhibition_of_nine_hundred_species_can_be_saved(keeper: Keeper):
    exhibition = entry("exhibition")
    letters = [f"{chr(97 + n // 26 % 26)}{chr(97 + n % 26)}{chr(97 + n // 676)}" for n in range(900)]
    many = [Species(common_name=x, scientific_name=f"Panthera {x}", slug=x) for x in letters]
    exhibition.species.set(Species.objects.bulk_create(many))

    assert keeper.save(change_page(exhibition), location="House 3").status_code == 302

    exhibition.refresh_from_db()
    assert (exhibition.location, exhibition.species.count()) == ("House 3", 900)


def test_what_another_changed_meanwhile_is_not_changed_back(keeper: Keeper, curator: Caller):
    species = entry("species")
    sent = keeper.form(change_page(species)) | {"habitat": "Coast"}
    curator.patch(f"species/{species.slug}/", {"family": "Spheniscidae", "published": True})

    keeper.post(change_page(species), sent)

    species.refresh_from_db()
    assert (species.habitat, species.family, species.published) == ("Coast", "Spheniscidae", True)


@pytest.mark.parametrize("times", [1, 2])
def test_who_is_overtaken_is_told(times: int, keeper: Keeper, monkeypatch):
    create, left = Species.create, [IntegrityError] * times

    def overtaken(species):
        if left:
            raise left.pop()
        create(species)

    monkeypatch.setattr(Species, "create", overtaken)

    answer = keeper.save("api/species/add/", **KEPT["species"])

    assert answer.status_code == 302
    assert Species.objects.count() == (times == 1)
    assert ("conflicts with another change" in told(keeper)) == (times == 2)


def meanwhile(monkeypatch, act: Callable[[], Any]) -> None:
    """Somebody else does this, once, after a form was checked and before it is written."""
    if connection.vendor == "sqlite":
        pytest.skip("on SQLite the transaction of a form keeps everybody else out")
    save_form = EntryAdmin.save_form

    def elsewhere() -> None:
        act()
        connection.close()

    def be_overtaken(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(EntryAdmin, "save_form", save_form)
        with ThreadPoolExecutor(1) as somebody:
            somebody.submit(elsewhere).result()
        return save_form(*args, **options)

    monkeypatch.setattr(EntryAdmin, "save_form", be_overtaken)


def test_who_adds_what_another_adds_at_once_is_told(keeper: Keeper, transactional_db, monkeypatch):
    meanwhile(monkeypatch, lambda: entry("species"))

    answer = keeper.save("api/species/add/", **KEPT["species"])

    assert errors(answer) == {"scientific_name": ["There is a species of this name already."]}
    assert Species.objects.count() == 1


def test_who_saves_what_another_deletes_at_once_is_told(keeper: Keeper, transactional_db, monkeypatch):
    species = entry("species")
    sent = keeper.form(change_page(species)) | {"habitat": "Coast"}
    meanwhile(monkeypatch, lambda: Species.objects.all().delete())

    assert keeper.post(change_page(species), sent).headers["Location"] == "/admin/"

    assert "Perhaps it was deleted?" in told(keeper)


def test_who_shows_a_species_that_another_deletes_at_once_is_told(
    keeper: Keeper, transactional_db, monkeypatch
):
    penguin, exhibition = entry("species"), entry("exhibition")
    meanwhile(monkeypatch, lambda: Species.objects.all().delete())

    answer = keeper.save(change_page(exhibition), species=[penguin.pk])

    assert errors(answer).keys() == {"species"}
    assert not list(answer.context["messages"])
    assert not exhibition.species.exists()


def test_who_saves_what_another_deleted_is_told(keeper: Keeper):
    species = entry("species")
    sent = keeper.form(change_page(species)) | {"habitat": "Coast"}
    species.delete()

    answer = keeper.post(change_page(species), sent)

    assert answer.headers["Location"] == "/admin/"
    assert "Perhaps it was deleted?" in told(keeper)


# --- QR codes --------------------------------------------------------------------------------------------


def test_a_new_species_gets_its_code_after_the_commit(keeper: Keeper, calls_outside_transactions):
    keeper.save("api/species/add/", **KEPT["species"])

    assert Species.objects.get().qr_code.name in keys_of("species")
    assert calls_outside_transactions == ["put"]


def test_a_species_is_saved_while_the_store_is_down(keeper: Keeper, transactional_db, monkeypatch):
    monkeypatch.setattr(LocalStorage, "put", down)

    assert keeper.save("api/species/add/", **KEPT["species"]).status_code == 302

    assert Species.objects.get().qr_code.name == ""
    assert "1 QR code could not be stored" in told(keeper)


def test_the_button_makes_the_code_again(keeper: Keeper, calls_outside_transactions):
    species = entry("species")
    qr_codes.make(species)
    old = species.qr_code.name

    answer = keeper.save(change_page(species), habitat="Coast", _qr_code="Again")

    assert answer.headers["Location"] == f"/admin/{change_page(species)}"
    species.refresh_from_db()
    assert species.habitat == "Coast"
    assert species.qr_code.name != old
    assert keys_of("species") == {species.qr_code.name}
    assert "1 QR code was made" in told(keeper)


def test_codes_are_made_again_for_those_that_are_chosen(keeper: Keeper, calls_outside_transactions):
    lion = entry("species", common_name="Lion", scientific_name="Panthera leo")
    penguin = entry("species")

    keeper.post("api/species/", {"action": "make_qr_codes", "_selected_action": [str(lion.pk)]})

    lion.refresh_from_db()
    penguin.refresh_from_db()
    assert lion.qr_code.name
    assert not penguin.qr_code.name


# --- Deletion --------------------------------------------------------------------------------------------


@every_kind
def test_an_entry_goes_with_its_objects_and_tickets(
    kind: str, keeper: Keeper, curator: Caller, calls_outside_transactions
):
    row = with_picture(kind, curator)
    ticket = curator.post(
        f"{ROUTES[kind]}/{row.slug}/upload-url/", announcement(picture(), content_type="image/jpeg")
    ).json()
    send(ticket, picture())

    answer = keeper.post(f"api/{kind}/{row.pk}/delete/", {"post": "yes"})

    assert answer.status_code == 302
    assert not MODELS[kind].objects.exists()
    assert keys_of(ROUTES[kind]) == keys_of("originals") == keys_of("uploads") == set()
    assert Upload.objects.get(pk=ticket["id"]).state == "cancelled"


@pytest.mark.parametrize("kind", [*ENTRIES, "document"])
def test_those_that_are_chosen_go_with_their_objects(
    kind: str, keeper: Keeper, alice: Caller, curator: Caller, calls_outside_transactions
):
    if kind == "document":
        rows = [Document.objects.get(pk=alice.document_with_file()["id"]) for _ in range(3)]
    else:
        names = ["Panthera leo", "Bos grunniens", "Spheniscus demersus"]
        extra = [{"scientific_name": name} if kind == "species" else {} for name in names]
        rows = [with_picture(kind, curator, **fields) for fields in extra]
    bucket = "originals" if kind in ENTRIES else "documents"
    assert len(keys_of(bucket)) == 3

    chosen = {"action": "delete_selected", "_selected_action": [row.pk for row in rows[:2]]}
    assert b"Are you sure" in keeper.post(f"api/{kind}/", chosen).content
    answer = keeper.post(f"api/{kind}/", {**chosen, "post": "yes"})

    assert answer.status_code == 302
    assert list(MODELS[kind].objects.all()) == rows[2:]
    assert len(keys_of(bucket)) == 1
    assert "Successfully deleted 2" in told(keeper)


def test_what_somebody_else_deleted_meanwhile_is_gone(keeper: Keeper, transactional_db, monkeypatch):
    species = entry("species")
    monkeypatch.setattr("api.admin_site.base.delete_row", lambda row: (row.delete(), row.refresh_from_db()))

    assert keeper.post(f"api/species/{species.pk}/delete/", {"post": "yes"}).status_code == 302


def test_a_store_that_is_down_keeps_nobody_from_deleting(
    keeper: Keeper, curator: Caller, transactional_db, monkeypatch
):
    species = with_picture("species", curator)
    monkeypatch.setattr(LocalStorage, "delete_object", down)

    assert keeper.post(f"api/species/{species.pk}/delete/", {"post": "yes"}).status_code == 302

    assert not Species.objects.exists()


# --- Lists -----------------------------------------------------------------------------------------------


def fill(kind: str, numbers: range) -> None:
    """Rows as different as can be: each of another owner, with a file."""
    for number in numbers:
        letters = "".join(chr(97 + int(digit)) for digit in f"{number:03}")
        if kind in ENTRIES:
            made = entry(kind, **({"scientific_name": f"Panthera {letters}"} if kind == "species" else {}))
            files = {"webp_320": f"x/{number}.webp", "jpeg": f"x/{number}.jpg"}
            made.pictures.create(position=0, width=40, height=30, **files)
            continue
        owner = Profile.objects.create(pk=uuid4(), display_name=letters)
        document = Document.objects.create(
            title=letters, owner=owner, file=f"{owner.pk}/x.pdf", file_facts=FACTS
        )
        Upload.objects.create(
            owner=owner.pk,
            expires_at=timezone.now(),
            content_type=ContentType.objects.get_for_model(Document),
            object_id=document.pk,
            field_name="file",
            declared={"filename": "x.pdf", "content_type": "application/pdf", "size": 5, "sha256": None},
            path=f"{number}/x.pdf",
        )
        Removal.objects.create(bucket="documents", key=f"{number}/x.pdf", due_at=timezone.now())


@pytest.mark.parametrize("kind", MODELS)
def test_a_list_costs_the_same_at_one_and_at_twenty(kind: str, keeper: Keeper):
    fill(kind, range(1))
    keeper.get(f"api/{kind}/")  # content types are looked up once a process
    with CaptureQueriesContext(connection) as at_one:
        keeper.get(f"api/{kind}/")
    fill(kind, range(1, 20))

    with CaptureQueriesContext(connection) as at_twenty:
        page = keeper.get(f"api/{kind}/")

    assert len(page.context["cl"].result_list) == 20
    assert len(at_one) == len(at_twenty) <= 10


def test_lists_show_pictures_and_codes(keeper: Keeper, curator: Caller):
    species = with_picture("species", curator)
    qr_codes.make(species)

    page = keeper.get("api/species/").content.decode()

    assert (
        f'<a href="{species.image.jpeg.url}"><img class="thumbnail" src="{species.image.webp_320.url}"'
        in page
    )
    assert f'src="{species.qr_code.url}"' in page


def test_a_ticket_is_found_by_the_state_that_is_shown(keeper: Keeper, alice: Caller):
    late, open_ = alice.ticket(alice.document()), alice.ticket(alice.document())
    Upload.objects.filter(pk=late["id"]).update(expires_at="2001-01-01T00:00:00Z")
    alice.document_with_file()

    def found(**query: str) -> set[str]:
        return {str(upload.pk) for upload in keeper.get("api/upload/", **query).context["cl"].result_list}

    assert found(state="expired") == {late["id"]}
    assert found(state="pending") == {open_["id"]}
    assert len(found(state="completed")) == 1
    assert len(found()) == 3


def test_there_is_no_nul_to_look_for(keeper: Keeper):
    assert code(keeper.get("api/species/", taxonomic_class="\0")) == "malformed"


BAD_QUERIES = [
    {"q": "a " * 2000},
    {"q": "\0"},
    {"q": "'\""},
    {"p": "x"},
    {"p": "99999"},
    {"o": "x.9"},
    {"id__exact": "x"},
    {"nonsense": "1"},
    {"_to_field": "nonsense"},
    {"state": "nonsense"},
    {"published__exact": "x"},
    {"updated_at__year": "99999999999"},
]


@pytest.mark.parametrize("kind", MODELS)
def test_no_query_is_an_error_of_ours(kind: str, keeper: Keeper):
    for query in BAD_QUERIES:
        assert keeper.get(f"api/{kind}/", **query).status_code in (200, 302, 400), query


def test_nor_is_a_number_that_the_database_cannot_hold(keeper: Keeper, transactional_db):
    for query in ({"price__gte": "1e999999"}, {"capacity__gte": "9" * 30}):
        assert keeper.get("api/educationalservice/", **query).status_code in (200, 302, 400)


def test_a_species_that_cannot_be_is_no_error_of_ours(keeper: Keeper):
    answer = keeper.post("api/exhibition/add/", {"title": "Penguins", "species": ["x"]})

    assert answer.status_code == 200
    assert "is not a valid" in answer.content.decode()


@pytest.mark.parametrize("kind", ["user", "group"])
def test_users_are_searched_for_with_as_little_trust(kind: str, keeper: Keeper):
    assert keeper.get(f"auth/{kind}/", q="a " * 2000).status_code == 200
    assert keeper.get(f"auth/{kind}/", q="keeper").status_code == 200
    assert keeper.post(f"auth/{kind}/", {"action": "x", "_selected_action": ["x"]}).status_code in (302, 400)
    chosen = {"action": "delete_selected", "_selected_action": ["9" * 30]}
    assert keeper.post(f"auth/{kind}/", chosen).status_code in (200, 302, 400)


@pytest.mark.parametrize(
    ("kind", "bad"),
    crossed(
        {name: name for name in ENTRIES},
        {bad: bad for bad in ("x", "1", "0" * 36, "%00", "../../x", "00000000-0000-7000-8000-000000000000")},
    ),
)
def test_no_id_is_an_error_of_ours(kind: str, bad: str, keeper: Keeper):
    for path in (f"{bad}/change/", f"{bad}/delete/", f"{bad}/history/"):
        assert keeper.get(f"api/{kind}/{path}").status_code in (302, 404)
    for action in ("delete_selected", "make_qr_codes", "x"):
        chosen = {"action": action, "_selected_action": [bad], "post": "yes"}
        assert keeper.post(f"api/{kind}/", chosen).status_code in (302, 400)


# --- Its policy ------------------------------------------------------------------------------------------


def pages(keeper: Keeper, alice: Caller, curator: Caller) -> Iterator[Any]:
    """One of each kind."""
    alice.document_with_file()
    Removal.objects.create(bucket="documents", key="x.pdf", due_at=timezone.now())
    species = with_picture("species", curator)
    paths = ["", "api/", "password_change/", "jsi18n/", "api/none/", "auth/user/add/"]
    for name, model in MODELS.items():
        row = model.objects.first() or entry(name)
        paths += [f"api/{name}/", change_page(row), change_page(row).replace("change", "history")]
    paths += [f"api/{name}/add/" for name in ENTRIES] + [f"api/species/{species.pk}/delete/"]
    yield from (keeper.get(path) for path in paths)
    yield keeper.post("api/species/", {"action": "delete_selected", "_selected_action": [species.pk]})
    yield from (Client().get(path) for path in ("/admin/login/", "/admin/"))
    yield Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "x"})


def test_every_page_has_the_policy_and_nothing_inline(
    keeper: Keeper, alice: Caller, curator: Caller, settings
):
    for page in pages(keeper, alice, curator):
        policy = dict(part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert policy["connect-src"] == f"'self' {settings.SUPABASE_URL}"
        html = page.content.decode()
        if page.headers["Content-Type"].startswith("text/html"):
            assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html), page.request["PATH_INFO"]
            assert not re.search(r"<script(?![^>]*\ssrc=)", html), page.request["PATH_INFO"]


def test_the_policy_names_the_cdn_of_a_public_bucket(settings, db):
    species = settings.STORAGES["species"]
    cdn = {**species, "OPTIONS": {**species["OPTIONS"], "base_url": "https://cdn.example.org/species/"}}
    settings.STORAGES = {**settings.STORAGES, "species": cdn}

    policy = Client().get("/admin/login/").headers["Content-Security-Policy"]

    assert f"img-src 'self' data: blob: {settings.SUPABASE_URL} https://cdn.example.org/species/;" in policy


def test_the_policy_names_the_store_where_it_is(settings, db):
    settings.SUPABASE_URL = "https://ref.supabase.co:8443/below"

    policy = Client().get("/admin/login/").headers["Content-Security-Policy"]

    assert "img-src 'self' data: blob: https://ref.supabase.co:8443;" in policy
    assert "connect-src 'self' https://ref.supabase.co:8443;" in policy


@pytest.mark.parametrize("path", ["/api/docs/", "/livez", "/api/v1/species/"])
def test_it_is_the_admins_alone(path: str, db):
    assert "Content-Security-Policy" not in Client().get(path).headers


def test_a_name_is_never_markup(keeper: Keeper):
    species = entry("species", common_name='<script>alert("x")</script>')

    for path in ("api/species/", change_page(species), f"api/species/{species.pk}/delete/"):
        assert b"<script>alert" not in keeper.get(path).content


def test_a_form_without_its_token_is_refused_with_a_page(db):
    User.objects.create_superuser("keeper", password="keeper")

    answer = Client(enforce_csrf_checks=True).post(
        "/admin/login/", {"username": "keeper", "password": "keeper"}
    )

    assert answer.status_code == 403
    assert "out of date" in answer.content.decode()


def test_the_site_has_its_name_and_leads_to_the_docs(keeper: Keeper, settings):
    page = keeper.get("").content.decode()

    assert "<title>Content management | Vivarium</title>" in page
    assert 'href="/api/docs/"' in page
    assert f'href="{settings.PUBLIC_SITE_URL}"' in page


def test_files_are_not_sent_with_the_form(keeper: Keeper):
    page = keeper.get(change_page(entry("species"))).content.decode()

    [chooser] = re.findall(r"<input type=\"file\"[^>]*>", page)
    assert "name=" not in chooser
    assert "multipart" not in page
    assert "Uploading pictures requires JavaScript" in page


def test_the_store_of_a_bucket_is_not_asked_by_any_list(keeper: Keeper, curator: Caller, monkeypatch):
    with_picture("species", curator)
    for verb in ("describe", "read", "download_tokens"):
        monkeypatch.setattr(type(storages["species"]), verb, down)

    assert keeper.get("api/species/").status_code == 200
