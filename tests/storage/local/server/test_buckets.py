"""Buckets, made and changed by the Storage protocol."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from storage import buckets
from tests.support.storage_cast import Holder, anon, expired, member, nobody, refusal, service

MB = 10**6


def shown(name: str = "things") -> dict[str, Any]:
    answer = service.ask("GET", f"bucket/{name}")
    assert answer.status_code == 200, answer.body
    return answer.json()


def names(query: str = "") -> list[str]:
    return [bucket["name"] for bucket in service.ask("GET", f"bucket?{query}").json()]


def folders(media: Path) -> list[Path]:
    return [path for path in media.rglob("*") if path.is_dir()]


# --- Limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (None, None),
        (0, 0),
        (1000, 1000),
        ("1000", 1000),
        ("5MB", 5 * MB),
        ("5mb", 5 * MB),
        ("1.5kb", 1500),
        ("20KB", 20_000),
        ("7b", 7),
        ("0.05GB", 50 * MB),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_size_limit_is_a_number_or_has_a_unit(method, sent, kept):
    service.bucket(file_size_limit=sent if method == "POST" else 1)
    if method == "PUT":
        service.ask("PUT", "bucket/things", {"file_size_limit": sent})

    assert shown()["file_size_limit"] == kept


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (-1, ("400", "InvalidRequest")),
        (1.5, ("400", "InvalidRequest")),
        ("5 MB", ("400", "InvalidRequest")),
        ("5 potatoes", ("400", "InvalidRequest")),
        ("-5MB", ("400", "InvalidRequest")),
        ([1, 2], ("400", "InvalidRequest")),
        ({"MB": 5}, ("400", "InvalidRequest")),
        ("9" * 5000, ("400", "InvalidRequest")),
        (10**400, ("400", "InvalidRequest")),
        (50 * 2**20 + 1, ("413", "EntityTooLarge")),
        ("1GB", ("413", "EntityTooLarge")),
        ("999999999999999999GB", ("413", "EntityTooLarge")),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_size_limit_that_is_none_is_refused(method, sent, told):
    path = "bucket" if method == "POST" else f"bucket/{service.bucket('things')}"

    answer = service.ask(method, path, {"name": "new", "file_size_limit": sent})

    assert refusal(answer) == told
    assert "new" not in names()


def test_a_limit_of_nothing_lets_nothing_in():
    service.bucket(file_size_limit=0)

    assert refusal(service.upload("things/a", b"x")) == ("413", "EntityTooLarge")
    assert service.upload("things/a", b"").status_code == 200


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (None, None),
        ([], []),
        (["image/png"], ["image/png"]),
        ("image/png", ["image/png"]),
        (["image/*", "", "text/plain; charset=utf-8"], ["image/*", "text/plain; charset=utf-8"]),
        (["*/*"], ["*/*"]),
    ],
)
def test_types_are_kept_as_they_were_sent(sent, kept):
    service.bucket(allowed_mime_types=sent)

    assert shown()["allowed_mime_types"] == kept


@pytest.mark.parametrize(
    "sent", ["image", "image/", "/png", "image/p ng", "a/b/c", "é/b", "a/b;q", "a/" * 600]
)
def test_a_type_that_is_none_is_refused(sent):
    answer = service.ask("POST", "bucket", {"name": "things", "allowed_mime_types": [sent]})

    assert refusal(answer) == ("415", "InvalidMimeType")


@pytest.mark.parametrize(
    ("allowed", "content_type", "status"),
    [
        (["image/*"], "image/png", 200),
        (["image/*"], "imagery/png", 400),
        (["image/*"], "IMAGE/PNG", 400),
        (["*/*"], "image/png", 200),
        (["image/png", "image/gif"], "image/gif", 200),
        (["image/png"], "image/png; charset=utf-8", 400),
        ([], "image/png", 200),
        (None, "image/png", 200),
    ],
)
def test_a_bucket_takes_the_types_that_it_allows(allowed, content_type, status):
    service.bucket(allowed_mime_types=allowed)

    answer = service.upload("things/a", content_type=content_type)

    assert answer.status_code == status
    assert status == 200 or refusal(answer) == ("415", "InvalidMimeType")


# --- Names and fields ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["..", ".", "with space", "o'brien&co", "ABC", "a" * 100, "!-_.*'()&$@=;:+,?", ".objects"]
)
def test_a_name_may_be_odd_and_its_objects_stay_inside_the_root(name, settings):
    service.bucket(name)
    path = name.replace("?", "%3F").replace("..", "%2e%2e") if name != "." else "%2e"

    answer = service.upload(f"{path}/a/b.pdf")

    assert answer.json()["Key"] == f"{name}/a/b.pdf"
    assert service.ask("GET", f"object/{path}/a/b.pdf").status_code == 200
    media = Path(settings.MEDIA_ROOT)
    assert list(media.parent.iterdir()) == [media]


@pytest.mark.parametrize(
    "name", ["", " a", "a ", "a/b", "a" * 101, "a--table-s3", "é", "a\\b", "a#b", "a\0b", "\ud800"]
)
def test_a_name_that_is_none_is_refused(name):
    assert refusal(service.ask("POST", "bucket", {"name": name})) == ("400", "InvalidBucketName")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": {}},
        {"name": ["a", "b"]},
        {"name": "a", "public": "maybe"},
        {"name": "a", "public": 2},
        {"name": "a", "allowed_mime_types": [{}]},
        [],
        "name",
        None,
        5,
    ],
)
def test_fields_of_the_wrong_kind_are_refused(body):
    answer = service.ask("POST", "bucket", "null" if body is None else body)

    assert refusal(answer) == ("400", "InvalidRequest")
    assert "a" not in names()


@pytest.mark.parametrize(
    ("body", "content_type", "told"),
    [
        ("{", "application/json", ("400", "InvalidRequest")),
        ("", "application/json", ("400", "InvalidRequest")),
        ('{"name": "a", "file_size_limit": NaN}', "application/json", ("400", "InvalidRequest")),
        ("[" * 100_000, "application/json", ("400", "InvalidRequest")),
        ('{"name": "a"}', "text/plain", ("400", "InvalidRequest")),
        ("", "", ("400", "InvalidRequest")),
        ('{"name": "a"}', "application/x-www-form-urlencoded", ("415", "InvalidMimeType")),
        ('{"name": "a"}', "", ("415", "InvalidMimeType")),
        ('{"name": "' + "a" * 2**20 + '"}', "application/json", ("413", "EntityTooLarge")),
    ],
)
def test_a_body_that_is_no_json_is_refused(body, content_type, told):
    assert refusal(service.ask("POST", "bucket", body, content_type=content_type)) == told


def test_what_can_be_meant_is_taken():
    service.ask("POST", "bucket/", {"name": [5], "public": "true", "file_size_limit": True})

    assert {**shown("5"), "created_at": "", "updated_at": ""} == {
        "id": "5",
        "name": "5",
        "owner": "",
        "public": True,
        "file_size_limit": 1,
        "allowed_mime_types": None,
        "created_at": "",
        "updated_at": "",
    }


# --- The life of a bucket -----------------------------------------------------------------------------


def test_an_update_changes_only_what_it_names():
    service.bucket(public=True, file_size_limit=1000, allowed_mime_types=["image/*"])
    before = shown()

    service.ask("PUT", "bucket/things", {"file_size_limit": None})

    after = shown()
    assert after == {**before, "file_size_limit": None, "updated_at": after["updated_at"]}
    assert after["updated_at"] >= before["updated_at"]


@pytest.mark.parametrize("body", [{}, {"id": "things"}, {"Public": True}])
@pytest.mark.parametrize("bucket", ["things", "none"])
def test_an_update_that_names_nothing_is_refused(body, bucket):
    service.bucket()
    before = shown()

    assert refusal(service.ask("PUT", f"bucket/{bucket}", body)) == ("400", "InvalidRequest")
    assert refusal(anon.ask("PUT", f"bucket/{bucket}", body)) == ("400", "InvalidRequest")
    assert shown() == before


def test_a_bucket_is_made_once():
    service.bucket()

    assert refusal(service.ask("POST", "bucket", {"name": "things"})) == ("409", "BucketAlreadyExists")


def test_of_parallel_creations_of_one_bucket_one_succeeds():
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.ask("POST", "bucket", {"name": "things"}), range(8)))

    assert sorted(answer.status_code for answer in answers) == [200] + 7 * [400]


def test_a_bucket_is_deleted_when_it_is_empty():
    service.bucket()
    service.put("things/a", "things/a/b", "things/.hidden")

    refused = service.ask("DELETE", "bucket/things")
    emptied = service.ask("POST", "bucket/things/empty")
    deleted = service.ask("DELETE", "bucket/things")

    assert refusal(refused) == ("409", "ResourceNotEmpty")
    assert (emptied.status_code, deleted.json()) == (200, {"message": "Successfully deleted"})
    assert refusal(service.ask("GET", "bucket/things")) == ("404", "NoSuchBucket")
    assert refusal(service.upload("things/a")) == ("404", "NoSuchBucket")


def test_a_deleted_bucket_leaves_no_folder_behind(settings):
    media = Path(settings.MEDIA_ROOT)
    service.bucket()
    service.put("things/a/b/c", "things/odd//key/")
    (media / "things" / "left" / "by" / "a" / "crash").mkdir(parents=True)
    before = folders(media)
    service.ask("POST", "bucket/things/empty")

    service.ask("DELETE", "bucket/things")

    assert media / "things" in before
    assert not any(folder.name == "things" or "odd" in folder.parent.parts for folder in folders(media))
    assert service.ask("POST", "bucket", {"name": "things"}).status_code == 200
    service.put("things/a/b/c", "things/odd//key/")


def test_a_deleted_bucket_leaves_the_files_of_others(settings):
    service.bucket()
    other = Path(settings.MEDIA_ROOT) / "things" / "of others" / "ключ"
    other.parent.mkdir(parents=True)
    other.touch()

    assert service.ask("DELETE", "bucket/things").status_code == 200

    assert other.exists()


def test_a_bucket_of_an_odd_name_is_deleted_and_nothing_else(settings):
    service.put("documents/a")
    service.ask("POST", "bucket", {"name": ".."})
    outside = Path(settings.MEDIA_ROOT).parent / "empty"
    outside.mkdir()

    assert service.ask("DELETE", "bucket/%2e%2e").status_code == 200

    assert outside.exists()
    assert service.ask("GET", "object/documents/a").status_code == 200


def test_a_declared_bucket_is_changed_and_deleted_as_any_other():
    assert shown("documents")["public"] is False
    service.ask("PUT", "bucket/documents", {"public": True, "file_size_limit": 5})
    assert (shown("documents")["public"], shown("documents")["file_size_limit"]) == (True, 5)

    service.ask("DELETE", "bucket/documents")

    assert refusal(service.ask("GET", "bucket/documents")) == ("404", "NoSuchBucket")
    assert "documents" not in names()
    assert service.ask("POST", "bucket", {"name": "documents"}).status_code == 200
    assert shown("documents")["file_size_limit"] is None


def test_a_public_bucket_made_private_is_closed_at_once():
    service.bucket(public=True)
    service.put("things/a")
    assert nobody.ask("GET", "object/public/things/a").status_code == 200

    service.ask("PUT", "bucket/things", {"public": False})

    for path in ("object/public/things/a", "object/things/a", "object/info/public/things/a"):
        assert refusal(nobody.ask("GET", path)) == ("404", "NoSuchBucket")


# --- Lists --------------------------------------------------------------------------------------------


@pytest.fixture
def _only(monkeypatch) -> None:
    """These buckets and no other."""
    monkeypatch.setattr(buckets, "declared", dict)
    monkeypatch.setattr(buckets, "declared_bucket", {}.get)
    for name in ("beta", "Alpha", "gamma", "alphabet"):
        service.bucket(name)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["beta", "Alpha", "gamma", "alphabet"]),
        ("sortColumn=name", ["Alpha", "alphabet", "beta", "gamma"]),
        ("sortColumn=id&sortOrder=desc", ["gamma", "beta", "alphabet", "Alpha"]),
        ("sortColumn=created_at&sortOrder=desc", ["alphabet", "gamma", "Alpha", "beta"]),
        ("sortColumn=updated_at&limit=2", ["beta", "Alpha"]),
        ("sortColumn=name&limit=2&offset=1", ["alphabet", "beta"]),
        ("offset=4", []),
        ("limit=1000&offset=1000000", []),
        ("search=alpha", ["Alpha", "alphabet"]),
        ("search=ALPHA&sortColumn=name&offset=1", ["alphabet"]),
        ("search=%25", []),
        ("search=", ["beta", "Alpha", "gamma", "alphabet"]),
    ],
)
@pytest.mark.usefixtures("_only")
def test_buckets_are_searched_sorted_and_paged(query, found):
    assert names(query) == found


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=1.5", "offset=-1", "sortColumn=size", "sortOrder=up"]
)
def test_a_list_asked_for_wrongly_is_refused(query):
    assert refusal(service.ask("GET", f"bucket?{query}")) == ("400", "InvalidRequest")


# --- Who ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "body", "others"),
    [
        ("POST", "bucket", {"name": "new"}, ("403", "AccessDenied")),
        ("GET", "bucket/things", None, ("404", "NoSuchBucket")),
        ("PUT", "bucket/things", {"public": True}, ("404", "NoSuchBucket")),
        ("DELETE", "bucket/things", None, ("404", "NoSuchBucket")),
        ("POST", "bucket/things/empty", None, ("404", "NoSuchBucket")),
    ],
)
def test_only_the_service_key_may(method, path, body, others):
    service.bucket()
    service.put("things/a")
    before = names(), shown()

    told = {who: refusal(who.ask(method, path, body)) for who in (anon, member, expired, nobody)}

    assert told == {
        anon: others,
        member: others,
        expired: ("403", "AccessDenied"),
        nobody: ("400", "InvalidRequest"),
    }
    assert (names(), shown()) == before
    assert service.ask("GET", "object/things/a").status_code == 200


def test_to_others_there_are_no_buckets():
    service.bucket(public=True)

    assert [who.ask("GET", "bucket").json() for who in (anon, member)] == [[], []]
    assert refusal(Holder("garbage").ask("GET", "bucket")) == ("403", "AccessDenied")


@pytest.mark.parametrize(("path", "status"), [("bucket", 200), ("bucket/things", 200), ("bucket/none", 400)])
def test_head_is_get_without_its_body(path, status):
    service.bucket()

    assert service.ask("HEAD", path).status_code == status
