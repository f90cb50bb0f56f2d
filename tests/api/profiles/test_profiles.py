"""Profiles: who sees and changes what, `me`, and the avatar from ticket to download."""

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db.models import QuerySet
from PIL import Image

from api.models import Profile, Upload
from storage.local import LocalStorage
from tests.api.documents.test_documents import keys_of
from tests.support.cast import PDF, Caller, announcement, body, code, down, fetch, send
from tests.support.server import Server


def picture(kind: str = "PNG") -> bytes:
    file = BytesIO()
    Image.new("RGB", (40, 30), "teal").save(file, kind)
    return file.getvalue()


PNG = picture()
AVATAR = {"filename": "me.png", "content_type": "image/png", "size": 10}


def avatar_ticket(who: Caller, content: bytes = PNG, **announced) -> dict:
    said = announcement(content, filename="yo misma.png", content_type="image/png", **announced)
    answer = who.post("profiles/me/upload-url/", said)
    assert answer.status_code == 201, answer.content
    return answer.json()


def with_avatar(who: Caller, content: bytes = PNG) -> dict:
    """The member's profile, after an avatar was sent and verified."""
    ticket = avatar_ticket(who, content)
    assert send(ticket, content).status_code == 200
    assert who.complete(ticket).status_code == 200
    return who.get("profiles/me/").json()


# --- The role table: what each of the cast gets of alice's profile ------------------------------------

ACTS = {
    "read": lambda who, path: who.get(path),
    "download": lambda who, path: who.get(f"{path}download-url/"),
    "original": lambda who, path: who.get(f"{path}original-url/"),
    "change": lambda who, path: who.patch(path, {"display_name": "New"}),
    "ticket": lambda who, path: who.post(f"{path}upload-url/", AVATAR),
    "remove": lambda who, path: who.delete(f"{path}avatar/"),
    "erase": lambda who, path: who.delete(path),
}
SUCCESS = {
    "read": 200,
    "download": 200,
    "original": 200,
    "change": 200,
    "ticket": 201,
    "remove": 204,
    "erase": 200,
}
READS = ("read", "download", "original")
TABLE = [
    *(("alice", act, SUCCESS[act]) for act in ACTS),
    *(("bob", act, 404) for act in ACTS),
    *(("curator", act, 200 if act in READS else 403) for act in ACTS),
    *(("nobody", act, 401) for act in ACTS),
]
CODES = {401: "not_authenticated", 403: "permission_denied", 404: "not_found"}


@pytest.mark.parametrize("who", ["alice", "bob", "curator", "nobody"])
def test_the_role_table(who: str, alice: Caller, request):
    """All acts on one profile; `erase` is the last."""
    before = with_avatar(alice)
    caller = request.getfixturevalue(who)

    for act, status in [row[1:] for row in TABLE if row[0] == who]:
        answer = ACTS[act](caller, f"profiles/{alice.id}/")

        assert answer.status_code == status, act
        if status >= 400:
            assert code(answer) == CODES[status], act
            assert alice.get("profiles/me/").json() == before, act
            assert len(keys_of("user-profiles")) == 2, act


@pytest.mark.parametrize(("who", "status"), [("alice", 403), ("nobody", 401), ("curator", 200)])
def test_only_staff_list_profiles(who: str, status: int, alice: Caller, request):
    with_avatar(alice)

    answer = request.getfixturevalue(who).get("profiles/")

    assert answer.status_code == status
    if status == 200:
        assert [profile["id"] for profile in answer.json()["results"]] == [str(alice.id)]
    else:
        assert code(answer) == CODES[status]


def test_the_list_is_searched_and_ordered(alice: Caller, bob: Caller, curator: Caller):
    alice.patch("profiles/me/", {"display_name": "Alice"})
    bob.patch("profiles/me/", {"display_name": "Bob"})

    def names(**query: str) -> list[str]:
        return [each["display_name"] for each in curator.get("profiles/", **query).json()["results"]]

    assert names() == ["Alice", "Bob"]
    assert names(ordering="-display_name") == ["Bob", "Alice"]
    assert names(search="ali") == ["Alice"]
    assert code(curator.get("profiles/", ordering="bio")) == "invalid"


def test_a_page_of_profiles_costs_the_same_for_many(
    alice: Caller, curator: Caller, django_assert_max_num_queries
):
    for _ in range(5):
        Profile.objects.for_member(uuid4())

    with django_assert_max_num_queries(2):
        assert curator.get("profiles/").json()["count"] == 5


@pytest.mark.parametrize("path", ["profiles/", "profiles/me/"])
@pytest.mark.parametrize("method", ["put", "post"])
def test_a_profile_is_neither_created_nor_replaced(path: str, method: str, alice: Caller, curator: Caller):
    who = curator if path == "profiles/" else alice

    answer = getattr(who, method)(path, {"display_name": "New"})

    assert (answer.status_code, code(answer)) == (405, "method_not_allowed")


@pytest.mark.parametrize("path", ["profiles/nonsense/", "profiles/123/", "profiles/a%00b/", "profiles/ME/"])
def test_an_id_that_is_none_is_not_found(path: str, alice: Caller, curator: Caller):
    for who in (alice, curator):
        assert code(who.get(path)) == "not_found"


# --- `me` ---------------------------------------------------------------------------------------------


def test_a_new_member_has_an_empty_profile(alice: Caller):
    answer = alice.get("profiles/me/")

    assert answer.status_code == 200
    profile = dict(answer.json())
    assert profile.pop("created_at").endswith("Z")
    assert profile.pop("updated_at").endswith("Z")
    assert profile.pop("storage") == {"used": 0, "limit": 1024**3}
    assert "add_document" in profile.pop("permissions")
    assert profile == {
        "id": str(alice.id),
        "display_name": "",
        "bio": "",
        "language": "",
        "avatar": None,
        "email": "alice@example.org",
        "role": "member",
    }
    assert alice.get(f"profiles/{alice.id}/").json() == answer.json()


def test_ones_own_id_is_as_good_as_me(alice: Caller):
    for path in (f"profiles/{alice.id}/", f"profiles/{str(alice.id).upper()}/"):
        assert alice.get(path).json()["id"] == str(alice.id)


def test_a_profile_is_made_for_its_owner_only(alice: Caller, curator: Caller):
    assert code(curator.get(f"profiles/{alice.id}/")) == "not_found"
    assert not Profile.objects.exists()


def test_me_is_oneself_for_staff_too(alice: Caller, curator: Caller):
    curator.patch("profiles/me/", {"display_name": "Curator"})

    assert alice.get("profiles/me/").json()["display_name"] == ""
    assert curator.get("profiles/me/").json()["display_name"] == "Curator"


def test_a_profile_made_by_another_call_meanwhile_is_taken(alice: Caller, monkeypatch):
    """Given two first calls, when the other is faster between looking and making, then its row is used."""
    get = QuerySet.get

    def too_late(rows, *args, **options):
        monkeypatch.setattr(QuerySet, "get", get)
        Profile.objects.create(pk=alice.id, display_name="First")
        raise Profile.DoesNotExist

    monkeypatch.setattr(QuerySet, "get", too_late)

    assert alice.get("profiles/me/").json()["display_name"] == "First"


@pytest.mark.slow
def test_twenty_first_calls_at_once_get_one_profile(server: Server):
    new = server.client("new-profile@example.org")

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: new.get("/api/v1/profiles/me/"), range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1


# --- Fields -------------------------------------------------------------------------------------------


def test_what_is_sent_is_changed_and_nothing_else(alice: Caller):
    alice.patch("profiles/me/", {"display_name": "Alice", "bio": "Keeper.\nOf penguins."})

    answer = alice.patch("profiles/me/", {"language": "es-MX"})

    assert answer.status_code == 200
    assert answer.json() == alice.get("profiles/me/").json()
    fields = {name: answer.json()[name] for name in ("display_name", "bio", "language")}
    assert fields == {"display_name": "Alice", "bio": "Keeper.\nOf penguins.", "language": "es-MX"}


def test_what_the_server_says_cannot_be_changed(alice: Caller, bob: Caller):
    before = with_avatar(alice)

    after = alice.patch(
        "profiles/me/",
        {"id": str(bob.id), "avatar": None, "avatar_facts": None, "created_at": "2020-01-01T00:00:00Z"},
    ).json()

    assert {**after, "updated_at": ""} == {**before, "updated_at": ""}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("en", "en"),
        ("ES", "es"),
        ("ES-mx", "es-MX"),
        ("es-419", "es-419"),
        ("zh-hant-tw", "zh-Hant-TW"),
        ("yue-Hant-HK", "yue-Hant-HK"),
        ("", ""),
    ],
)
def test_languages_are_spelled_as_usual(sent: str, kept: str, alice: Caller):
    assert alice.patch("profiles/me/", {"language": sent}).json()["language"] == kept


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"display_name": "x" * 101}, "#/display_name"),
        ({"display_name": ["a"]}, "#/display_name"),
        ({"display_name": None}, "#/display_name"),
        ({"display_name": "a\x00b"}, "#/display_name"),
        ({"display_name": "\ud800"}, "#/display_name"),
        ({"bio": "x" * 2001}, "#/bio"),
        ({"bio": {"a": 1}}, "#/bio"),
        ({"language": "Spanish"}, "#/language"),
        ({"language": "e"}, "#/language"),
        ({"language": "en_GB"}, "#/language"),
        ({"language": "en-"}, "#/language"),
        ({"language": "en-GB-x-a"}, "#/language"),
        ({"language": "zh-Hant-CN-1"}, "#/language"),
        ({"language": "еn"}, "#/language"),  # a Cyrillic letter
        ({"language": "es-४१९"}, "#/language"),
        ({"language": "<b>"}, "#/language"),
        ({"language": 1}, "#/language"),
        ({"language": None}, "#/language"),
        ({"language": "x" * 1000}, "#/language"),
    ],
)
def test_bad_fields_are_named(fields: dict, pointer: str, alice: Caller):
    answer = alice.patch("profiles/me/", fields)

    assert (answer.status_code, code(answer)) == (400, "invalid")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("sent", ["[]", '"bio"', "1", "null"])
def test_what_is_no_object_is_refused(sent: str, alice: Caller):
    answer = alice.client.patch("/api/v1/profiles/me/", sent, content_type="application/json")

    assert (answer.status_code, code(answer)) == (400, "invalid")


# --- The avatar ---------------------------------------------------------------------------------------


def test_an_avatar_from_ticket_to_download(alice: Caller, curator: Caller):
    ticket = avatar_ticket(alice)
    send(ticket, PNG)

    completed = alice.complete(ticket)

    assert completed.status_code == 200
    assert completed.json()["resource"] == f"http://testserver/api/v1/profiles/{alice.id}/"
    avatar = alice.get("profiles/me/").json()["avatar"]
    shown = {name: avatar.pop(name) for name in ("url", "renditions", "placeholder", "expires_at")}
    assert avatar.pop("uploaded_at").endswith("Z")
    assert avatar == {
        "name": "yo misma.png",
        "size": len(PNG),
        "content_type": "image/png",
        "sha256": announcement(PNG)["sha256"],
        "width": 40,
        "height": 30,
        "alt": {"en": "", "es": ""},
        "credit": "",
    }
    assert [each["content_type"] for each in shown["renditions"]] == ["image/webp", "image/jpeg"]
    assert shown["url"] == shown["renditions"][-1]["url"]
    assert shown["placeholder"].startswith("data:image/")
    assert shown["expires_at"] > completed.json()["updated_at"]
    for each in shown["renditions"]:
        served = fetch(each["url"])
        assert (served.status_code, served.headers["Content-Type"]) == (200, each["content_type"])
    [key] = keys_of("originals")
    assert key.startswith(f"user-profiles/{alice.id}/")
    assert key.endswith(".png")
    assert len(keys_of("user-profiles")) == 2
    assert all(key.startswith(f"{alice.id}/") for key in keys_of("user-profiles"))
    assert keys_of("uploads") == set()
    for who, path in ((alice, "profiles/me/"), (curator, f"profiles/{alice.id}/")):
        for name in ("download-url", "original-url"):
            answer = who.get(f"{path}{name}/")
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.json().keys() == {"url", "expires_at"}
            assert body(fetch(answer.json()["url"])) == PNG


@pytest.mark.parametrize(
    ("kind", "content_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]
)
def test_pictures_of_three_types_are_accepted(kind: str, content_type: str, alice: Caller):
    content = picture(kind)
    said = announcement(content, filename="me", content_type=content_type)
    ticket = alice.post("profiles/me/upload-url/", said).json()
    send(ticket, content)

    assert alice.complete(ticket).status_code == 200
    assert alice.get("profiles/me/").json()["avatar"]["content_type"] == content_type


def test_a_ticket_says_the_limits_of_avatars(alice: Caller):
    assert avatar_ticket(alice)["limits"] == {
        "max_bytes": 10 * 1024 * 1024,
        "content_types": ["image/jpeg", "image/png", "image/webp"],
    }


@pytest.mark.parametrize(
    ("announced", "pointer"),
    [
        ({"content_type": "application/pdf"}, "#/content_type"),
        ({"content_type": "image/svg+xml"}, "#/content_type"),
        ({"size": 10 * 1024 * 1024 + 1}, "#/size"),
        ({"filename": "a/b.png"}, "#/filename"),
    ],
)
def test_other_files_get_no_ticket(announced: dict, pointer: str, alice: Caller):
    answer = alice.post("profiles/me/upload-url/", {**AVATAR, **announced})

    assert code(answer) == "invalid"
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not Upload.objects.exists()


def test_what_is_no_picture_is_rejected_and_the_old_avatar_stays(alice: Caller):
    before = with_avatar(alice)
    ticket = avatar_ticket(alice, PDF)
    send(ticket, PDF)

    assert alice.complete(ticket).status_code == 422

    assert alice.get("profiles/me/").json()["avatar"] == before["avatar"]
    assert len(keys_of("user-profiles")) == 2
    assert len(keys_of("originals")) == 1


def test_a_new_avatar_takes_the_place_of_the_old(alice: Caller):
    shown = urls_of(with_avatar(alice))
    old = alice.get("profiles/me/download-url/").json()["url"]
    newer = picture() + b"newer"

    newly_shown = urls_of(with_avatar(alice, newer))

    assert {fetch(url).status_code for url in (old, *shown)} == {400}
    assert {fetch(url).status_code for url in newly_shown} == {200}
    assert len(keys_of("user-profiles")) == 2
    assert len(keys_of("originals")) == 1
    assert body(fetch(alice.get("profiles/me/download-url/").json()["url"])) == newer


def test_no_avatar_is_no_download(alice: Caller):
    assert code(alice.get("profiles/me/download-url/")) == "file_missing"


def test_an_avatar_is_downloaded_under_the_name_that_is_asked_for(alice: Caller):
    with_avatar(alice)

    def disposition(**query: str) -> str | None:
        url = alice.get("profiles/me/download-url/", **query).json()["url"]
        return fetch(url).headers.get("Content-Disposition")

    assert disposition() is None
    assert "filename*=UTF-8''yo%20misma.png" in (disposition(download="") or "")
    assert "filename*=UTF-8''me.png" in (disposition(download="me.png") or "")


def test_a_change_of_the_name_does_not_lose_an_avatar_recorded_meanwhile(alice: Caller, monkeypatch):
    ticket = avatar_ticket(alice)
    send(ticket, PNG)
    update = Profile.update

    def be_overtaken(profile, changes):
        assert alice.complete(ticket).status_code == 200
        update(profile, changes)

    monkeypatch.setattr(Profile, "update", be_overtaken)
    assert alice.patch("profiles/me/", {"display_name": "Alice"}).status_code == 200

    after = alice.get("profiles/me/").json()
    assert (after["display_name"], after["avatar"]["size"]) == ("Alice", len(PNG))


# --- What is shown of it ------------------------------------------------------------------------------


def urls_of(profile: dict) -> set[str]:
    """The signed URLs of what is shown of the avatar."""
    return {each["url"] for each in profile["avatar"]["renditions"]}


@pytest.fixture
def signings(monkeypatch) -> list[list[str]]:
    """The keys of each call to the store that signs URLs to read."""
    calls: list[list[str]] = []
    sign = LocalStorage.sign_downloads

    def noted(store, keys, **options):
        calls.append(list(keys))
        return sign(store, keys, **options)

    monkeypatch.setattr(LocalStorage, "sign_downloads", noted)
    return calls


def test_a_page_of_profiles_takes_one_call_to_the_store(
    alice: Caller, bob: Caller, curator: Caller, signings, django_assert_num_queries
):
    for who in (alice, bob):
        with_avatar(who)
    signings.clear()

    with django_assert_num_queries(2):
        answer = curator.get("profiles/")

    assert [sorted(keys) for keys in signings] == [sorted(keys_of("user-profiles"))]
    assert answer.headers["Cache-Control"] == "no-store"
    shown = [urls_of(profile) for profile in answer.json()["results"]]
    assert [len(urls) for urls in shown] == [2, 2]
    assert {fetch(url).status_code for urls in shown for url in urls} == {200}


def test_profiles_without_avatars_ask_the_store_nothing(alice: Caller, curator: Caller, signings):
    alice.get("profiles/me/")

    assert curator.get("profiles/").json()["count"] == 1
    assert signings == []


def test_ones_own_profile_has_the_urls_and_no_cache_keeps_it(alice: Caller, curator: Caller, signings):
    with_avatar(alice)
    signings.clear()

    for answer in (
        alice.get("profiles/me/"),
        curator.get(f"profiles/{alice.id}/"),
        alice.patch("profiles/me/", {"display_name": "Alice"}),
    ):
        assert answer.headers["Cache-Control"] == "no-store"
        assert len(urls_of(answer.json())) == 2
    assert answer.json()["avatar"]["alt"] == {"en": "Alice", "es": "Alice"}
    assert len(signings) == 3


def test_while_the_store_is_down_profiles_can_be_read(alice: Caller, curator: Caller, monkeypatch):
    before = with_avatar(alice)["avatar"]
    monkeypatch.setattr(LocalStorage, "sign_downloads", down)

    [listed] = curator.get("profiles/").json()["results"]
    for profile in (listed, alice.get("profiles/me/").json()):
        without = {"url": None, "width": None, "height": None, "renditions": [], "expires_at": None}
        assert profile["avatar"] == {**before, **without}


# --- Deleting it --------------------------------------------------------------------------------------


def test_an_avatar_is_deleted_and_the_profile_stays(alice: Caller):
    alice.patch("profiles/me/", {"display_name": "Alice"})
    shown = urls_of(with_avatar(alice))

    answers = [alice.delete("profiles/me/avatar/") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 404]
    assert code(answers[1]) == "file_missing"
    profile = alice.get("profiles/me/").json()
    assert (profile["display_name"], profile["avatar"], profile["storage"]["used"]) == ("Alice", None, 0)
    assert {fetch(url).status_code for url in shown} == {400}
    assert keys_of("user-profiles") == keys_of("originals") == set()
    assert code(alice.get("profiles/me/original-url/")) == "file_missing"


def test_a_ticket_that_is_open_when_the_avatar_is_deleted_brings_another(alice: Caller):
    with_avatar(alice)
    ticket = avatar_ticket(alice)
    alice.delete("profiles/me/avatar/")
    send(ticket, PNG)

    assert alice.complete(ticket).status_code == 200
    assert len(urls_of(alice.get("profiles/me/").json())) == 2


def test_an_avatar_that_the_store_does_not_delete_is_deleted_by_the_sweep(alice: Caller, monkeypatch):
    with_avatar(alice)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "delete_object", down)
        answer = alice.delete("profiles/me/avatar/")

    assert answer.status_code == 202
    assert alice.get("profiles/me/").json()["avatar"] is None
    assert len(keys_of("user-profiles") | keys_of("originals")) == 3
    call_command("sweep")
    assert keys_of("user-profiles") == keys_of("originals") == set()


def test_an_avatar_that_is_recorded_while_another_is_deleted_goes_too(alice: Caller, monkeypatch):
    with_avatar(alice)
    ticket = avatar_ticket(alice)
    send(ticket, PNG)
    without_renditions = Profile.without_renditions

    def be_overtaken(profile):
        monkeypatch.setattr(Profile, "without_renditions", without_renditions)
        assert alice.complete(ticket).status_code == 200
        return without_renditions(profile)

    monkeypatch.setattr(Profile, "without_renditions", be_overtaken)

    assert alice.delete("profiles/me/avatar/").status_code == 204
    assert alice.get("profiles/me/").json()["avatar"] is None
    assert keys_of("user-profiles") == keys_of("originals") == set()


@pytest.mark.parametrize("method", ["get", "post", "patch", "put"])
def test_an_avatar_is_only_deleted_at_its_own_address(method: str, alice: Caller):
    with_avatar(alice)

    assert code(getattr(alice, method)("profiles/me/avatar/")) == "method_not_allowed"


def test_a_deletion_takes_no_parameters(alice: Caller):
    with_avatar(alice)

    assert code(alice.delete("profiles/me/avatar/?dry_run=1")) == "invalid"
    assert alice.get("profiles/me/").json()["avatar"]
