"""Lists of objects: by folder and page (v1), by prefix and cursor (v2)."""

import time
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from storage.local.objects import LocalObjects
from tests.support.storage_cast import anon, expired, member, nobody, refusal, service

KEYS = ["b.txt", "B/one", "a/x/deep", "a/y", "A/z", "c", "c/below", "d//e", "d/"]


@pytest.fixture
def bucket(settings) -> Path:
    """Where `things` keeps its plain objects."""
    service.bucket()
    return Path(settings.MEDIA_ROOT) / "things"


@pytest.fixture
def _things(bucket) -> None:
    service.put(*(f"things/{key}" for key in KEYS))


def listed(prefix: str = "", **asked: Any) -> list[str]:
    """By v1; a folder with its slash."""
    answer = service.ask("POST", "object/list/things", {"prefix": prefix, **asked})
    assert answer.status_code == 200, answer.body
    return [f"{row['name']}{'' if row['id'] else '/'}" for row in answer.json()]


def page(**asked: Any) -> dict[str, Any]:
    answer = service.ask("POST", "object/list-v2/things", asked)
    assert answer.status_code == 200, answer.body
    return answer.json()


def walked(**asked: Any) -> list[str]:
    """By v2, page by page to the end: folders and objects as they come."""
    found, cursor = [], None
    for _ in range(100):
        answer = page(**asked, **({"cursor": cursor} if cursor else {}))
        rows = sorted(
            (*answer["folders"], *answer["objects"]),
            key=lambda row: row["name"],
            reverse=asked.get("sortBy", {}).get("order") == "desc",
        )
        assert len(rows) <= asked.get("limit", 1000)
        found += [row["name"] for row in rows]
        cursor = answer.get("nextCursor")
        assert answer["hasNext"] == bool(cursor)
        if not cursor:
            return found
    raise AssertionError("the pages do not end")


# --- By folder ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prefix", "asked", "found"),
    [
        ("", {}, ["A/", "b.txt", "B/", "c", "c/", "d/"]),
        ("a", {}, ["x/", "y", "z"]),
        ("a/", {}, ["x/", "y", "z"]),
        ("A", {}, ["x/", "y", "z"]),
        ("a/x", {}, ["deep"]),
        ("a/x/deep", {}, []),
        ("none", {}, []),
        ("d", {}, ["", "/"]),
        ("", {"search": "B"}, ["b.txt", "B/"]),
        ("", {"search": "b."}, ["b.txt"]),
        ("a", {"search": "y"}, ["y"]),
        ("a", {"search": "none"}, []),
        ("", {"limit": 2}, ["A/", "b.txt"]),
        ("", {"limit": 2, "offset": 1}, ["b.txt", "B/"]),
        ("", {"limit": "2", "offset": "5"}, ["d/"]),
        ("", {"offset": 100}, []),
        ("", {"sortBy": {"column": "name", "order": "desc"}}, ["d/", "c/", "c", "B/", "b.txt", "A/"]),
        ("", {"sortBy": {"column": "name", "order": "desc"}, "limit": 2}, ["d/", "c/"]),
        ("", {"sortBy": {"column": "created_at"}}, ["A/", "B/", "c/", "d/", "b.txt", "c"]),
        ("../", {}, []),
        ("..", {}, []),
        ("\0", {}, []),
        ("é", {}, []),
        ("\ud800", {}, []),
        ("/", {}, []),
        ("a" * 5000, {}, []),
    ],
)
@pytest.mark.usefixtures("_things")
def test_a_folder_is_listed(prefix, asked, found):
    folded = [name.lower() for name in listed(prefix, **asked)]

    assert folded == [name.lower() for name in found]


@pytest.mark.parametrize("column", ["created_at", "updated_at", "last_accessed_at"])
@pytest.mark.usefixtures("bucket")
def test_a_folder_is_sorted_by_time(column):
    service.put("things/z", "things/m", "things/folder/a", "things/a")

    assert listed(sortBy={"column": column}) == ["folder/", "z", "m", "a"]
    assert listed(sortBy={"column": column, "order": "desc"}) == ["folder/", "a", "m", "z"]
    assert listed(sortBy={"column": column, "order": "desc"}, limit=2, offset=1) == ["a", "m"]


@pytest.mark.usefixtures("bucket")
def test_a_row_says_what_is_known():
    service.put("things/a.txt", content=b"hello", content_type="text/plain", cache_control="max-age=60")

    [row] = service.ask("POST", "object/list/things", {"prefix": ""}).json()

    assert row.keys() == {"name", "id", "updated_at", "created_at", "last_accessed_at", "metadata"}
    assert row["metadata"] == {
        "eTag": '"5d41402abc4b2a76b9719d911017c592"',
        "size": 5,
        "mimetype": "text/plain",
        "cacheControl": "max-age=60",
        "lastModified": row["updated_at"],
        "contentLength": 5,
        "httpStatusCode": 200,
    }


def test_a_page_has_100_rows_unless_asked_and_never_more_than_1500(bucket):
    bucket.mkdir(parents=True)
    for number in range(1600):
        (bucket / f"{number:04}").touch()

    assert [len(listed()), len(listed(limit=1000)), len(listed(limit=10_000))] == [100, 1000, 1500]
    assert len(page()["objects"]) == len(page(limit=5000)["objects"]) == 1000


# --- By prefix and cursor -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, sorted(KEYS)),
        ({"prefix": "a"}, ["a/x/deep", "a/y"]),
        ({"prefix": "a/"}, ["a/x/deep", "a/y"]),
        ({"prefix": "A"}, ["A/z"]),
        ({"prefix": "a/x/d"}, ["a/x/deep"]),
        ({"prefix": "d/"}, ["d/", "d//e"]),
        ({"prefix": "none"}, []),
        ({"with_delimiter": True}, ["A/", "B/", "a/", "b.txt", "c", "c/", "d/"]),
        ({"with_delimiter": True, "prefix": "a"}, ["a/"]),
        ({"with_delimiter": True, "prefix": "a/"}, ["a/x/", "a/y"]),
        ({"with_delimiter": True, "prefix": "c"}, ["c", "c/"]),
        ({"prefix": "../"}, []),
        ({"prefix": "../../"}, []),
        ({"prefix": "../documents/"}, []),
        ({"prefix": "a/../a/"}, []),
        ({"prefix": "/"}, []),
        ({"prefix": "\0"}, []),
        ({"prefix": "é\ud800"}, []),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 1000])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.usefixtures("_things")
def test_every_key_is_found_once_whatever_the_pages(asked, found, limit, order):
    service.put("documents/secret.pdf")

    names = walked(**asked, limit=limit, sortBy={"column": "name", "order": order})

    assert names == (found if order == "asc" else found[::-1])


@pytest.mark.parametrize("column", ["created_at", "updated_at"])
@pytest.mark.parametrize("limit", [1, 2, 1000])
@pytest.mark.usefixtures("bucket")
def test_pages_by_time_lose_nothing(column, limit):
    for key in "zmayb":
        service.put(f"things/{key}")
        time.sleep(0.01)  # file systems do not tell apart what comes within a tick of the clock

    forth = [row["name"] for row in pages(limit=limit, sortBy={"column": column})]
    back = [row["name"] for row in pages(limit=limit, sortBy={"column": column, "order": "desc"})]

    assert "".join(forth) == "zmayb"
    assert "".join(back) == "byamz"


def pages(**asked: Any) -> list[dict[str, Any]]:
    """The objects in the order of their pages; the cursor knows how they are sorted."""
    answer = page(**asked)
    rows = answer["objects"]
    while answer["hasNext"]:
        answer = page(limit=asked["limit"], cursor=answer["nextCursor"])
        rows += answer["objects"]
    return rows


@pytest.mark.usefixtures("_things")
def test_a_cursor_says_where_it_stands():
    answer = page(limit=2, sortBy={"column": "name", "order": "desc"})

    assert answer["nextCursorKey"] == answer["objects"][-1]["name"] == "d/"
    assert answer["nextCursor"] == b64encode(b"l:d/\no:desc").decode()
    assert page(cursor=answer["nextCursor"].rstrip("=")) == page(cursor=answer["nextCursor"])


@pytest.mark.usefixtures("_things")
def test_a_delimited_row_has_its_last_name_as_key():
    answer = page(prefix="a/", with_delimiter=True)

    [folder], [file] = answer["folders"], answer["objects"]
    assert (folder["key"], folder["name"], folder["metadata"]) == ("x", "a/x/", None)
    assert (file["key"], file["name"]) == ("y", "a/y")
    assert "key" not in page(prefix="a/")["objects"][0]


@pytest.mark.usefixtures("_things")
def test_what_is_deleted_between_two_pages_is_missed_and_nothing_else():
    first = page(limit=2)
    service.ask("DELETE", f"object/things/{first['objects'][-1]['name']}")

    second = page(limit=1000, cursor=first["nextCursor"])

    assert [row["name"] for row in second["objects"]] == sorted(KEYS)[2:]


# --- Asked for wrongly, or by others ------------------------------------------------------------------


@pytest.mark.parametrize("version", ["list", "list-v2"])
@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 0},
        {"limit": -1},
        {"limit": "ten"},
        {"limit": 1.5},
        {"prefix": {}},
        {"prefix": ["a", "b"]},
        {"sortBy": {}},
        {"sortBy": None},
        {"sortBy": "name"},
        {"sortBy": {"order": "asc"}},
        {"sortBy": {"column": "size"}},
        {"sortBy": {"column": "name", "order": "up"}},
    ],
)
@pytest.mark.usefixtures("bucket")
def test_a_list_asked_for_wrongly_is_refused(version, asked):
    answer = service.ask("POST", f"object/{version}/things", {"prefix": "", **asked})

    assert refusal(answer) == ("400", "InvalidRequest")


@pytest.mark.parametrize("asked", [{}, {"prefix": "", "offset": -1}, {"prefix": "", "search": {}}])
@pytest.mark.usefixtures("bucket")
def test_a_folder_asked_for_wrongly_is_refused(asked):
    assert refusal(service.ask("POST", "object/list/things", asked)) == ("400", "InvalidRequest")


@pytest.mark.parametrize("cursor", ["!!!", "a", b64encode(b"\xff").decode(), b64encode(b"o:asc").decode()])
@pytest.mark.usefixtures("bucket")
def test_a_cursor_that_is_none_is_refused(cursor):
    answer = service.ask("POST", "object/list-v2/things", {"cursor": cursor})

    assert refusal(answer) == ("400", "InvalidParameter")


@pytest.mark.parametrize(
    ("version", "nothing"), [("list", []), ("list-v2", {"hasNext": False, "folders": [], "objects": []})]
)
@pytest.mark.usefixtures("_things")
def test_others_see_nothing(version, nothing):
    path = f"object/{version}/things"

    assert [who.ask("POST", path, {"prefix": ""}).json() for who in (anon, member)] == [nothing, nothing]
    assert refusal(expired.ask("POST", path, {"prefix": ""})) == ("403", "AccessDenied")
    assert refusal(nobody.ask("POST", path, {"prefix": ""})) == ("400", "InvalidRequest")
    assert service.ask("POST", f"object/{version}/none", {"prefix": ""}).json() == nothing


# --- By hand ------------------------------------------------------------------------------------------


def test_a_file_put_there_by_hand_is_listed_if_an_object_can_have_its_name(bucket):
    service.put("things/a")
    for name in ("by hand.txt", "é.txt", "line\nbreak", "per%cent"):
        (bucket / name).write_bytes(b"x")
    (bucket / "ü").mkdir()
    (bucket / "ü" / "file").write_bytes(b"x")

    assert listed() == walked() == ["a", "by hand.txt"]
    assert listed(sortBy={"column": "created_at", "order": "desc"}) == ["by hand.txt", "a"]


@pytest.mark.parametrize("prefix", ["../", "../documents/", "a/../../", "/", "\0", "\ud800/"])
def test_no_prefix_leads_out_of_the_bucket(prefix):
    service.put("documents/secret.pdf")
    objects = LocalObjects("things")

    assert (list(objects.walk(prefix)), objects.children(prefix)) == ([], ([], []))


def test_a_folder_without_files_is_none(bucket):
    (bucket / "empty" / "inside").mkdir(parents=True)

    assert listed() == walked() == walked(with_delimiter=True) == []
