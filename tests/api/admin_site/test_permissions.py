"""Who may see one kind of rows in the admin does not see names of another kind."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from api.models import Document, EducationalService, Exhibition, Profile, Removal, Species, Upload
from tests.support.cast import Keeper

#: What each kind is called in the test's rows, if not as its model.
NAMES = {
    "species": "Secretspecies",
    "exhibition": "Secretexhibition",
    "educationalservice": "Secretservice",
    "document": "Secretdocument",
    "profile": "Secretprofile",
    "upload": "Secretupload",
    "removal": "Secretremoval",
}
APPS = {"user": "auth", "group": "auth"}
KINDS = [*NAMES, "user", "group"]


@pytest.fixture
def rows(db) -> dict[str, Any]:
    """One row of each kind, each related to others wherever models allow it."""
    species = Species(common_name="Secretspecies", scientific_name="Spheniscus demersus")
    exhibition, service = Exhibition(title="Secretexhibition"), EducationalService(title="Secretservice")
    for entry in (species, exhibition, service):
        entry.create()
    exhibition.species.add(species)
    profile = Profile.objects.create(pk=uuid4(), display_name="Secretprofile")
    document = Document.objects.create(title="Secretdocument", owner=profile)
    upload = Upload.objects.create(
        owner=profile.pk,
        expires_at=timezone.now(),
        content_type=ContentType.objects.get_for_model(Document),
        object_id=document.pk,
        field_name="file",
        declared={"filename": "Secretupload", "content_type": "application/pdf", "size": 5, "sha256": None},
        path="x.pdf",
    )
    removal = Removal.objects.create(bucket="documents", key="Secretremoval", due_at=timezone.now())
    user, group = User.objects.create_user("somebody"), Group.objects.create(name="group")
    for row in (species, exhibition, service, document, profile):
        LogEntry.objects.create(
            user=user,
            content_type=ContentType.objects.get_for_model(row),
            object_id=str(row.pk),
            object_repr=str(row),
            action_flag=CHANGE,
        )
    return {
        "species": species,
        "exhibition": exhibition,
        "educationalservice": service,
        "document": document,
        "profile": profile,
        "upload": upload,
        "removal": removal,
        "user": user,
        "group": group,
    }


def pages_of(kind: str, row: Any) -> list[str]:
    below = f"{APPS.get(kind, 'api')}/{kind}/"
    return [
        "",
        below,
        f"{below}add/",
        *(f"{below}{row.pk}/{page}/" for page in ("change", "history", "delete")),
    ]


@pytest.mark.parametrize("action", ["view", "change", "delete"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_permission_shows_no_names_of_another_kind(kind: str, action: str, rows: dict[str, Any]):
    keeper = Keeper("keeper", *{f"{action}_{kind}", f"view_{kind}"})
    below = f"{APPS.get(kind, 'api')}/{kind}/"
    chosen = {"action": "delete_selected", "_selected_action": [rows[kind].pk]}

    answers = [keeper.get(page) for page in pages_of(kind, rows[kind])] + [keeper.post(below, chosen)]

    assert any(answer.status_code == 200 for answer in answers)
    for answer in answers:
        page = answer.content.decode()
        shown = {other for other, name in NAMES.items() if name in page}
        assert shown <= {kind}, answer.request["PATH_INFO"]


def test_who_may_see_both_sees_the_name(rows: dict[str, Any]):
    keeper = Keeper("keeper", "view_upload", "view_document", "view_profile")
    exhibitor = Keeper("exhibitor", "view_exhibition", "view_species")

    assert "Secretdocument" in keeper.get(f"api/upload/{rows['upload'].pk}/change/").content.decode()
    assert "Secretprofile" in keeper.get("api/document/").content.decode()
    assert "Secretprofile" in keeper.get(f"api/document/{rows['document'].pk}/change/").content.decode()
    assert (
        "Secretspecies" in exhibitor.get(f"api/exhibition/{rows['exhibition'].pk}/change/").content.decode()
    )


def test_a_document_is_found_by_the_name_of_its_owner_only_if_that_is_shown(rows: dict[str, Any]):
    def found(*permissions: str) -> int:
        return len(
            Keeper("keeper", *permissions).get("api/document/", q="Secretprofile").context["cl"].result_list
        )

    assert found("view_document") == 0
    assert found("view_document", "view_profile") == 1


def test_species_that_one_may_not_see_stay_in_the_exhibition(rows: dict[str, Any]):
    keeper = Keeper("keeper", "view_exhibition", "change_exhibition")
    exhibition = rows["exhibition"]

    answer = keeper.save(f"api/exhibition/{exhibition.pk}/change/", location="Hall 2", species=[])

    assert answer.status_code == 302
    exhibition.refresh_from_db()
    assert exhibition.location == "Hall 2"
    assert exhibition.species.get() == rows["species"]


@pytest.mark.parametrize("kind", ["species", "document"])
def test_names_are_not_offered_to_who_may_not_see_them(kind: str, rows: dict[str, Any]):
    keeper = Keeper("keeper", "view_exhibition", "change_exhibition")
    field = {"species": "species", "document": "owner"}[kind]
    query = {"app_label": "api", "model_name": {"species": "exhibition"}.get(kind, kind), "field_name": field}

    assert keeper.get("autocomplete/", **query).status_code == 403


def test_no_page_leads_from_an_id_to_a_row(rows: dict[str, Any]):
    keeper = Keeper("keeper")
    for name in ("species", "document", "profile"):
        content_type = ContentType.objects.get_for_model(rows[name])
        assert keeper.get(f"r/{content_type.pk}/{rows[name].pk}/").status_code == 404


# --- The query string ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "lookup"),
    [
        ("species", {"common_name__regex": "("}),
        ("species", {"common_name__startswith": "S"}),
        ("species", {"id__exact": "x"}),
        ("species", {"published": "True", "image__startswith": "s"}),
        ("document", {"title__regex": "("}),
        ("document", {"file_facts__name": "x"}),
        ("document", {"owner__display_name__startswith": "S"}),
        ("profile", {"bio__contains": "S"}),
        ("upload", {"declared__filename__regex": "("}),
        ("upload", {"state__exact": "pending"}),
        ("removal", {"key__startswith": "S"}),
        ("user", {"username__regex": "("}),
        ("user", {"password__startswith": "p"}),
        ("group", {"name__regex": "("}),
        ("species", {"nonsense": "1"}),
    ],
)
def test_a_lookup_that_the_page_does_not_offer_is_refused(
    kind: str, lookup: dict[str, str], rows: dict[str, Any]
):
    keeper = Keeper("keeper", "*")

    assert keeper.get(f"{APPS.get(kind, 'api')}/{kind}/", **lookup).status_code == 400


def test_the_lookups_that_pages_link_to_are_taken(rows: dict[str, Any]):
    keeper = Keeper("keeper", "*")
    for kind in KINDS:
        below = f"{APPS.get(kind, 'api')}/{kind}/"
        page = keeper.get(below).context["cl"]
        for spec in page.filter_specs:
            for choice in spec.choices(page):
                answer = keeper.client.get(f"/admin/{below}{choice['query_string']}")
                assert answer.status_code == 200, choice
    profile = rows["profile"]
    linked = keeper.get("api/document/", owner__id__exact=str(profile.pk))
    assert [row.title for row in linked.context["cl"].result_list] == ["Secretdocument"]
