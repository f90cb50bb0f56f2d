"""LocalStorage: Django's contract, nothing overwritten, nothing half there, whatever happens."""

import errno
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import md5, sha256
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.db.migrations.writer import MigrationWriter
from django.utils import timezone

from storage import tokens
from storage.base import (
    ObjectExists,
    ObjectMissing,
    SignedUpload,
    SignedURL,
    StorageUnavailable,
    store_of,
)
from storage.disk import ABANDONED
from storage.local import LocalStorage
from tests.server import ROOT
from tests.storage.test_keys import HOSTILE


@pytest.fixture
def store() -> LocalStorage:
    return LocalStorage("documents")


@pytest.fixture
def other() -> LocalStorage:
    return LocalStorage("species", public=True)


@pytest.fixture
def media(settings) -> Path:
    return Path(settings.MEDIA_ROOT)


def put(store: LocalStorage, key: str, content: bytes = b"otter", **options: Any) -> Any:
    told = {"content_type": "text/x-first", "cache_control": "max-age=1"}
    return store.objects.write(key, iter([content]), **{**told, **options})


def content(store: LocalStorage, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


def arriving(media: Path) -> list[str]:
    folder = media / ".objects" / "arriving"
    return os.listdir(folder) if folder.exists() else []


def at_once(number: int, act: Callable[[int], Any]) -> list[Any]:
    """What each of so many threads got, or the error that it met."""
    ready = Barrier(number)

    def one(which: int) -> Any:
        ready.wait()
        try:
            return act(which)
        except Exception as error:
            return error

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(one, range(number)))


# --- Django's Storage ---------------------------------------------------------------------------------


def test_what_is_saved_is_read_back(store):
    name = store.save("a/plan.pdf", ContentFile(b"%PDF-1.7"))

    assert name == "a/plan.pdf"
    assert content(store, name) == b"%PDF-1.7"
    assert store.exists(name)
    assert store.size(name) == 8


def read_already() -> File:
    file = ContentFile(b"otter")
    file.read()
    return file


def temporary() -> File:
    file = TemporaryUploadedFile("plan.pdf", "application/pdf", 5, None)
    file.write(b"otter")
    file.flush()
    return file


@pytest.mark.parametrize(
    "make",
    [
        lambda: ContentFile(b"otter"),
        lambda: ContentFile("otter"),
        lambda: SimpleUploadedFile("plan.pdf", b"otter"),
        temporary,
        read_already,
    ],
    ids=["bytes", "text", "in memory", "temporary", "already read"],
)
def test_every_kind_of_file_is_saved_whole(store, make):
    with make() as file:
        assert content(store, store.save("plan.pdf", file)) == b"otter"


def test_text_is_saved_as_utf_8(store):
    assert content(store, store.save("a.txt", ContentFile("guía"))) == "guía".encode()


def test_a_large_and_an_empty_file_are_saved_whole(store, tmp_path):
    large = os.urandom(3 * 1024 * 1024 + 1)
    (tmp_path / "large").write_bytes(large)

    with (tmp_path / "large").open("rb") as file:
        assert content(store, store.save("large", File(file))) == large
    assert content(store, store.save("empty", ContentFile(b""))) == b""


def test_the_type_is_the_files_own_or_that_of_its_name(store):
    told = SimpleUploadedFile("x", b"", content_type="image/png")

    assert store.describe(store.save("told.bin", told)).content_type == "image/png"
    assert store.describe(store.save("a.pdf", ContentFile(b""))).content_type == "application/pdf"
    assert store.describe(store.save("a.zzz", ContentFile(b""))).content_type == "application/octet-stream"


def test_objects_of_a_public_bucket_may_be_kept_for_ever(store, other):
    assert store.describe(store.save("a", ContentFile(b""))).cache_control == "max-age=3600"
    assert other.describe(other.save("a", ContentFile(b""))).cache_control == "max-age=31536000"


def test_a_name_that_is_taken_gets_another(store):
    first = store.save("a/plan.pdf", ContentFile(b"first"))
    second = store.save("a/plan.pdf", ContentFile(b"second"))

    assert second != first
    assert second.startswith("a/plan_")
    assert second.endswith(".pdf")
    assert (content(store, first), content(store, second)) == (b"first", b"second")


def test_a_name_is_made_as_short_as_asked(store):
    put(store, "long-name-of-a-plan.pdf")

    name = store.save("long-name-of-a-plan.pdf", ContentFile(b""), max_length=20)

    assert len(name) <= 20
    assert store.get_available_name("free.pdf") == "free.pdf"


def test_only_reading_is_a_way_to_open(store):
    put(store, "a")

    with pytest.raises(ValueError, match="written whole"):
        store.open("a", "wb")
    with pytest.raises(FileNotFoundError):
        store.open("missing")


def test_an_open_file_can_be_sought(store):
    put(store, "a", b"sea otter")

    with store.open("a") as file:
        file.seek(4)
        assert file.read(2) == b"ot"


def test_deleting_what_is_missing_is_success(store):
    put(store, "a/b")

    for _ in range(2):
        store.delete("a/b")
        assert not store.exists("a/b")
    store.delete("a")
    store.delete("never/was")


def test_deleting_takes_away_the_folders_that_it_leaves_empty(store, media):
    put(store, "a/b/c/d")
    put(store, "a/other")

    store.delete("a/b/c/d")

    assert store.listdir("") == (["a"], [])
    assert store.listdir("a") == ([], ["other"])
    assert not list((media / ".objects" / "records").rglob("*.json"))[1:]


def test_a_folder_is_not_an_object(store):
    put(store, "a/b")

    assert not store.exists("a")
    with pytest.raises(ObjectMissing):
        store.describe("a")
    with pytest.raises(ObjectMissing):
        store.open("a")
    store.delete("a")
    assert store.exists("a/b")


def test_a_listing_shows_objects_and_nothing_of_the_stores_own(store, other):
    assert store.listdir("") == ([], [])
    for key in ("b", "a", "f/x", "f/g/y", ".hidden"):
        put(store, key)
    put(other, "elsewhere")

    assert store.listdir("") == (["f"], [".hidden", "a", "b"])
    assert store.listdir("f/") == store.listdir("/f") == (["g"], ["x"])
    with pytest.raises(FileNotFoundError):
        store.listdir("missing")


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_are_aware_when_django_is(store, settings, use_tz):
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "Asia/Tokyo"
    put(store, "a")

    for moment in (store.get_created_time("a"), store.get_modified_time("a")):
        assert timezone.is_aware(moment) is use_tz
        assert abs(timezone.now() - moment) < timedelta(minutes=1)


def test_the_store_can_stand_in_a_migration(other):
    path, args, options = other.deconstruct()
    assert (path, args, options) == ("storage.local.LocalStorage", ("species",), {"public": True})
    assert MigrationWriter.serialize(other)[0] == "storage.local.LocalStorage('species', public=True)"


def test_without_a_bucket_it_is_that_of_the_settings(settings):
    settings.SUPABASE_STORAGE_BUCKET = "elsewhere"

    assert LocalStorage().bucket == "elsewhere"
    assert storages["default"].bucket == "media"


def test_only_a_store_that_signs_can_be_asked_for():
    assert store_of("documents").bucket == "documents"
    with pytest.raises(AssertionError, match="cannot sign"):
        store_of("staticfiles")


@pytest.mark.parametrize(
    ("name", "valid"), [("guía de campo.pdf", "guia_de_campo.pdf"), ("a/../b\\c\0.pdf", "abc.pdf")]
)
def test_a_name_is_made_valid(store, name, valid):
    assert store.get_valid_name(name) == valid
    assert store.save(store.get_valid_name(name), ContentFile(b"")) == valid


# --- URLs -----------------------------------------------------------------------------------------------


def test_a_url_of_a_public_bucket_is_plain_and_lasts(other, settings):
    assert (
        other.url("a b/ñ".replace("ñ", "n"))
        == f"{settings.SUPABASE_URL}/storage/v1/object/public/species/a%20b/n"
    )


def test_a_url_of_a_private_bucket_is_signed_for_as_long_as_configured(store, settings):
    settings.DOWNLOAD_URL_TTL = 77

    url = urlsplit(store.url("a/plan.pdf"))

    token = parse_qs(url.query)["token"][0]
    left = tokens.check(token, "download", "documents", "a/plan.pdf").expires_at - timezone.now()
    assert url.path == "/storage/v1/object/sign/documents/a/plan.pdf"
    assert timedelta(seconds=70) < left <= timedelta(seconds=77)


@pytest.mark.parametrize(
    ("filename", "query"),
    [(None, None), ("", ""), ("guía 1&2.pdf", "guía 1&2.pdf"), ("a\r\nX-Evil: 1", "a\r\nX-Evil: 1")],
)
def test_a_download_name_stands_outside_the_token(store, filename, query):
    signed = store.sign_download("a", seconds=60, filename=filename)

    asked = parse_qs(urlsplit(signed.url).query, keep_blank_values=True)
    assert asked.get("download") == (None if query is None else [query])
    assert asked["token"][0].isascii()
    assert "\n" not in signed.url


def test_a_signed_upload_says_where_and_how(store, settings):
    signed = store.sign_upload("a.pdf", "application/pdf", seconds=60, max_age=5)

    assert signed.url.startswith(
        f"{settings.SUPABASE_URL}/storage/v1/object/upload/sign/documents/a.pdf?token="
    )
    assert signed.url.endswith(signed.token)
    assert signed.headers == {
        "content-type": "application/pdf",
        "x-upsert": "false",
        "cache-control": "max-age=5",
    }
    assert tokens.check(signed.token, "upload", "documents", "a.pdf").upsert is False
    assert signed.expires_at == tokens.expiry(signed.token)


def test_many_downloads_are_signed_in_one_call(store):
    signed = store.sign_downloads(["a", "b/c"], seconds=60)

    assert signed.keys() == {"a", "b/c"}
    assert "/documents/b/c?token=" in signed["b/c"].url


def test_signed_urls_stay_out_of_logs(store):
    for signed in (store.sign_upload("a", "a/b", seconds=60), store.sign_download("a", seconds=60)):
        assert isinstance(signed, SignedUpload | SignedURL)
        assert "token" not in repr(signed)
        assert "eyJ" not in f"{signed!r} {signed}"


# --- Hostile names ----------------------------------------------------------------------------------------

BY_KEY: dict[str, Callable[[LocalStorage, str], Any]] = {
    "describe": lambda store, key: store.describe(key),
    "open": lambda store, key: store.open(key),
    "read": lambda store, key: store.read(key),
    "size": lambda store, key: store.size(key),
    "delete": lambda store, key: store.delete(key),
    "created": lambda store, key: store.get_created_time(key),
    "modified": lambda store, key: store.get_modified_time(key),
    "url": lambda store, key: store.url(key),
    "put": lambda store, key: store.put(key, [b""], content_type="a/b", cache_control=""),
    "move from": lambda store, key: store.move(key, store, "free"),
    "move to": lambda store, key: store.move("taken", store, key),
    "copy from": lambda store, key: store.copy(key, store, "free"),
    "copy to": lambda store, key: store.copy("taken", store, key),
    "sign upload": lambda store, key: store.sign_upload(key, "a/b", seconds=60),
    "sign download": lambda store, key: store.sign_download(key, seconds=60),
    "sign downloads": lambda store, key: store.sign_downloads(["taken", key], seconds=60),
}


@pytest.mark.parametrize("act", BY_KEY.values(), ids=BY_KEY.keys())
def test_no_method_takes_a_hostile_key(store, media, act):
    put(store, "taken")
    (media / "secret").write_bytes(b"")

    for key in HOSTILE:
        with pytest.raises(SuspiciousFileOperation):
            act(store, key)

    assert store.listdir("") == ([], ["taken"])
    assert sorted(os.listdir(media)) == [".objects", "documents", "secret"]


def test_a_hostile_key_does_not_exist(store, media):
    put(store, "taken")
    (media / "secret").write_bytes(b"")

    assert not any(store.exists(key) for key in HOSTILE)


def test_a_hostile_name_is_saved_nowhere_else(store, media, tmp_path):
    """Django itself takes a backslash for a slash before anybody can refuse it."""
    for name in HOSTILE:
        try:
            saved = store.save(name, ContentFile(b"x"))
        except SuspiciousFileOperation:
            continue
        assert "\\" in name
        assert (media / "documents" / saved).is_file()

    assert sorted(os.listdir(media)) in ([".objects", "documents"], ["documents"], [".objects"])
    assert os.listdir(tmp_path) == ["media"]


@pytest.mark.parametrize(
    "path", ["..", "../", "/..", "../species", "a/../..", "//../", ".", "a\0b", "%2e%2e"]
)
def test_a_hostile_folder_is_not_listed(store, other, path):
    put(other, "secret")

    with pytest.raises(SuspiciousFileOperation):
        store.listdir(path)


def test_an_absolute_folder_is_one_of_the_bucket(store):
    with pytest.raises(ObjectMissing):
        store.listdir("/etc")


def test_names_that_differ_in_case_are_two_objects(store):
    put(store, "foo", b"lower")
    put(store, "Foo", b"upper")

    assert (content(store, "foo"), content(store, "Foo")) == (b"lower", b"upper")


@pytest.mark.parametrize("key", ["file/below", "file/far/below", "folder"])
def test_a_key_that_a_folder_cannot_have_beside_another_is_an_object_all_the_same(store, media, key):
    put(store, "file", b"kept")
    put(store, "folder/x", b"kept")
    for act in (
        lambda: put(store, key),
        lambda: store.save(key, ContentFile(b"otter")),
        lambda: store.move("spare", store, key),
        lambda: store.copy("spare", store, key),
    ):
        put(store, "spare", replace=True)

        act()

        assert content(store, key) == b"otter"
        with pytest.raises(ObjectExists):
            put(store, key)
        store.delete(key)
        assert not store.exists(key)

    assert content(store, "file") == content(store, "folder/x") == b"kept"
    assert arriving(media) == []


# --- Nothing is ever overwritten -------------------------------------------------------------------------


def test_an_object_is_created_once(store):
    put(store, "a", b"first")

    with pytest.raises(ObjectExists):
        put(store, "a", b"second", content_type="text/x-second")

    assert content(store, "a") == b"first"
    assert store.describe("a").content_type == "text/x-first"


def test_an_object_is_replaced_only_on_request(store):
    put(store, "a", b"first")

    put(store, "a", b"second!", content_type="text/x-second", replace=True)

    info = store.describe("a")
    assert content(store, "a") == b"second!"
    assert (info.size, info.content_type) == (7, "text/x-second")


def test_the_description_is_of_the_bytes(store):
    info = put(store, "a/b", b"otter")

    assert info == store.describe("a/b")
    assert (info.key, info.size, info.content_type) == ("a/b", 5, "text/x-first")
    assert info.cache_control == "max-age=1"
    assert info.etag == f'"{md5(b"otter").hexdigest()}"'
    assert timezone.is_aware(info.created_at)
    assert timezone.is_aware(info.last_modified)


def test_of_12_parallel_puts_of_one_name_one_succeeds(store, media):
    results = at_once(12, lambda which: put(store, "a/b", f"{which}".encode() * 70_000))

    winner = next(which for which, result in enumerate(results) if not isinstance(result, Exception))
    assert [type(result) for result in results].count(ObjectExists) == 11
    assert content(store, "a/b") == f"{winner}".encode() * 70_000
    assert store.describe("a/b") == results[winner]
    assert arriving(media) == []


def test_12_parallel_saves_of_one_name_are_12_objects(store):
    names = at_once(12, lambda which: store.save("a/plan.pdf", ContentFile(f"{which}".encode())))

    assert len(set(names)) == 12
    assert [content(store, name) for name in names] == [f"{which}".encode() for which in range(12)]


SAVE_IN_A_PROCESS = """
import sys, os, time, django
django.setup()
from django.conf import settings
from storage.base import ObjectExists
from storage.local import LocalStorage
settings.MEDIA_ROOT, me = sys.argv[1:]
store = LocalStorage("documents")
store.objects.write(f"ready/{me}", [], content_type="a/b", cache_control="")
while not os.path.exists(f"{settings.MEDIA_ROOT}/go"):
    time.sleep(0.001)
for number in range(40):
    try:
        store.objects.write(f"n/{number}", [me.encode() * 1000], content_type=f"text/{me}", cache_control="")
        print(number)
    except ObjectExists:
        pass
    try:
        store.move(f"moving/{number}", store, f"moved/{number}-{me}")
        print(f"m{number}")
    except FileNotFoundError:
        pass
"""


@pytest.mark.slow
def test_processes_share_a_bucket(store, media):
    """Each of 40 objects is created by one process, and each of 40 others is moved by one."""
    for number in range(40):
        put(store, f"moving/{number}", f"{number}".encode())
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-c", SAVE_IN_A_PROCESS, str(media)]
    processes = [
        subprocess.Popen([*command, me], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for me in "abc"
    ]
    while len(store.listdir("")[0]) < 2 or len(store.listdir("ready")[1]) < 3:
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    (media / "go").touch()
    done = {me: process.communicate()[0].split() for me, process in zip("abc", processes, strict=True)}

    assert all(process.returncode == 0 for process in processes)
    assert sorted(itertools.chain(*done.values())) == sorted(
        [f"{m}{n}" for m in ("", "m") for n in range(40)]
    )
    for me, numbers in done.items():
        for number in numbers:
            if number.startswith("m"):
                assert content(store, f"moved/{number[1:]}-{me}") == number[1:].encode()
            else:
                assert content(store, f"n/{number}") == me.encode() * 1000
                assert store.describe(f"n/{number}").content_type == f"text/{me}"
    assert arriving(media) == []


# --- Move and copy ------------------------------------------------------------------------------------------


def test_a_move_keeps_everything_but_the_name(store, other):
    before = put(store, "a/b", b"otter")

    store.move("a/b", other, "c/d")

    after = other.describe("c/d")
    assert not store.exists("a/b")
    assert store.listdir("") == ([], [])
    assert content(other, "c/d") == b"otter"
    assert after.key == "c/d"
    for fact in ("size", "content_type", "cache_control", "etag", "created_at", "last_modified"):
        assert getattr(after, fact) == getattr(before, fact)


def test_a_copy_is_another_object_with_the_same_bytes(store, other):
    put(store, "a", b"otter")

    store.copy("a", other, "b")
    store.delete("a")

    assert content(other, "b") == b"otter"
    assert other.describe("b").content_type == "text/x-first"
    assert other.describe("b").cache_control == "max-age=1"


@pytest.mark.parametrize("verb", ["move", "copy"])
def test_neither_move_nor_copy_overwrites(store, other, verb):
    put(store, "a", b"from")
    put(other, "b", b"to")

    with pytest.raises(ObjectExists):
        getattr(store, verb)("a", other, "b")
    with pytest.raises(ObjectExists):
        getattr(store, verb)("a", store, "a")

    assert (content(store, "a"), content(other, "b")) == (b"from", b"to")


@pytest.mark.parametrize("verb", ["move", "copy"])
def test_what_is_missing_is_neither_moved_nor_copied(store, other, verb):
    with pytest.raises(ObjectMissing) as missing:
        getattr(store, verb)("a", other, "b")

    assert str(missing.value) == "a"
    assert not other.exists("b")


def test_of_12_parallel_moves_of_one_object_one_succeeds(store, other):
    put(store, "a")

    results = at_once(12, lambda which: store.move("a", other, f"b/{which}"))

    winner = results.index(None)
    assert [type(result) for result in results].count(ObjectMissing) == 11
    assert other.listdir("b") == ([], [f"{winner}"])
    assert not store.exists("a")
    assert other.describe(f"b/{winner}").content_type == "text/x-first"


def test_of_12_parallel_moves_to_one_name_one_succeeds(store, other):
    for which in range(12):
        put(store, f"{which}", f"{which}".encode())

    results = at_once(12, lambda which: store.move(f"{which}", other, "a"))

    winner = results.index(None)
    assert [type(result) for result in results].count(ObjectExists) == 11
    assert content(other, "a") == f"{winner}".encode()
    assert len(store.listdir("")[1]) == 11


def test_moves_in_a_circle_do_not_wait_for_each_other(store, other):
    for key in "abcd":
        put(store, key)
        put(other, key + key)

    results = at_once(
        8,
        lambda which: (
            store.move("abcd"[which // 2], other, f"x{which}")
            if which % 2
            else other.move("abcd"[which // 2] * 2, store, f"x{which}")
        ),
    )

    assert results == [None] * 8


def test_writers_and_removers_of_one_folder_do_not_trip_over_each_other(store):
    def again_and_again(which: int) -> None:
        for _ in range(30):
            put(store, f"folder/deep/{which}")
            store.delete(f"folder/deep/{which}")

    assert at_once(6, again_and_again) == [None] * 6
    assert store.listdir("") == ([], [])


def test_an_open_object_can_be_read_to_its_end_whatever_happens_to_it(store, other):
    put(store, "a", b"otter")
    file, info = store.objects.open("a")

    with file:
        store.move("a", other, "b")
        other.delete("b")
        put(store, "a", b"heron")

        assert file.read() == b"otter"
        assert info.etag == f'"{md5(b"otter").hexdigest()}"'


# --- Crashes ------------------------------------------------------------------------------------------------


class PowerCut(BaseException):
    """Nothing that comes after it happens."""


def crash_before(monkeypatch, step: int) -> list[int]:
    """Cut the power before this many changes of the disk were made."""
    made = [0]

    def until_then(change: Callable[..., Any]) -> Callable[..., Any]:
        def act(*args: Any, **options: Any) -> Any:
            if made[0] >= step:
                raise PowerCut
            made[0] += 1
            return change(*args, **options)

        return act

    for name in ("replace", "unlink", "rmdir", "mkdir"):
        monkeypatch.setattr(os, name, until_then(getattr(os, name)))
    return made


def facts(store: LocalStorage, key: str) -> tuple[bytes, str, str] | None:
    if not store.exists(key):
        return None
    info = store.describe(key)
    return content(store, key), info.content_type, info.etag.strip('"')


FIRST = (b"first", "text/x-first", md5(b"first").hexdigest())
SECOND = (b"second", "text/x-second", md5(b"second").hexdigest())
CHANGES: dict[str, tuple[Callable[[LocalStorage], Any], list[Any]]] = {
    "create": (
        lambda store: put(store, "new/b", b"second", content_type="text/x-second"),
        [(FIRST, None), (FIRST, SECOND)],
    ),
    "replace": (
        lambda store: put(store, "old/a", b"second", content_type="text/x-second", replace=True),
        [(FIRST, None), (SECOND, None)],
    ),
    "move": (lambda store: store.move("old/a", store, "new/b"), [(FIRST, None), (None, FIRST)]),
    "delete": (lambda store: store.delete("old/a"), [(FIRST, None), (None, None)]),
}


@pytest.mark.parametrize(("change", "outcomes"), CHANGES.values(), ids=CHANGES.keys())
def test_after_a_crash_at_any_step_there_is_all_or_nothing(
    store, monkeypatch, settings, tmp_path, change, outcomes
):
    seen = []
    for step in itertools.count():
        settings.MEDIA_ROOT = str(tmp_path / f"media-{step}")
        put(store, "old/a", b"first")
        with monkeypatch.context() as patch:
            crash_before(patch, step)
            try:
                change(store)
                survived = True
            except PowerCut:
                survived = False
        seen.append((facts(store, "old/a"), facts(store, "new/b")))
        assert seen[-1] in outcomes, f"before step {step}"
        if survived:
            break
        put(store, "new/c")  # and the store still works

    assert step > 1
    assert seen[0] == outcomes[0]
    assert seen[-1] == outcomes[-1]


def test_the_same_size_is_not_taken_for_the_same_bytes(store, media):
    """As after a crash between the description and the bytes: what is told is of the older ones."""
    put(store, "a", b"first")
    put(store, "a", b"other", content_type="text/x-second", replace=True)
    path = media / "documents" / "a"
    path.write_bytes(b"third")
    os.utime(path, ns=(1, 1))

    info = store.describe("a")

    assert info.etag not in {f'"{md5(each).hexdigest()}"' for each in (b"first", b"other")}
    assert info.content_type == "application/octet-stream"


def test_a_file_put_there_by_hand_is_served_as_its_name_says(store, media):
    (media / "documents" / "a").mkdir(parents=True)
    (media / "documents" / "a" / "b.pdf").write_bytes(b"otter")

    info = store.describe("a/b.pdf")

    assert (info.size, info.content_type, info.cache_control) == (5, "application/pdf", "no-cache")
    assert info.etag.startswith('"')
    assert info.created_at == info.last_modified
    with pytest.raises(ObjectExists):
        put(store, "a/b.pdf")
    store.move("a/b.pdf", store, "c.txt")
    assert content(store, "c.txt") == b"otter"
    store.delete("c.txt")
    assert not store.exists("c.txt")


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"\xff", b"[{}]"])
def test_a_damaged_description_does_not_hide_the_bytes(store, media, record):
    put(store, "a.pdf", b"otter")
    (path,) = (media / ".objects" / "records").rglob("*.json")
    path.write_bytes(record)

    assert content(store, "a.pdf") == b"otter"
    assert store.describe("a.pdf").content_type == "application/pdf"


def broken(error: BaseException) -> Iterator[bytes]:
    yield b"half of it"
    raise error


@pytest.mark.parametrize("error", [RuntimeError(), KeyboardInterrupt(), ConnectionResetError()], ids=repr)
def test_what_breaks_off_leaves_nothing(store, media, error):
    with pytest.raises((type(error), StorageUnavailable)):
        store.objects.write("a", broken(error), content_type="a/b", cache_control="")

    assert not store.exists("a")
    assert arriving(media) == []


def test_abandoned_temporaries_are_swept(store, media):
    put(store, "a")
    old, young = (media / ".objects" / "arriving" / name for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"half of it")
    os.utime(old, (0, time.time() - ABANDONED - 1))

    put(store, "b")

    assert arriving(media) == ["young"]


def test_a_temporary_that_is_being_written_is_not_swept(store, media):
    def slow() -> Iterator[bytes]:
        yield b"first half, "
        (name,) = arriving(media)
        os.utime(media / ".objects" / "arriving" / name, (0, 0))
        put(store, "b")
        assert name in arriving(media)
        yield b"second half"

    store.objects.write("a", slow(), content_type="a/b", cache_control="")

    assert content(store, "a") == b"first half, second half"
    assert arriving(media) == []


# --- The disk -------------------------------------------------------------------------------------------


def test_media_root_is_made_on_demand(store, media):
    assert not media.exists()
    store.check_ready()
    assert not store.exists("a")
    assert store.listdir("") == ([], [])
    assert not media.exists()

    put(store, "a")

    assert media.is_dir()


NEEDS_A_DISK: dict[str, Callable[[LocalStorage], Any]] = {
    "exists": lambda store: store.exists("a"),
    "open": lambda store: store.open("a"),
    "listdir": lambda store: store.listdir(""),
    "put": lambda store: put(store, "a"),
    "save": lambda store: store.save("a", ContentFile(b"")),
    "delete": lambda store: store.delete("a"),
    "move": lambda store: store.move("a", store, "b"),
    "copy": lambda store: store.copy("a", store, "b"),
    "check_ready": lambda store: store.check_ready(),
}


@pytest.mark.parametrize("act", NEEDS_A_DISK.values(), ids=NEEDS_A_DISK.keys())
@pytest.mark.parametrize("kind", ["a file", "a link to nowhere"])
def test_without_its_disk_the_store_is_unavailable(store, media, act, kind):
    """Nothing is said to be missing, taken or done."""
    if kind == "a file":
        media.write_bytes(b"")
    else:
        media.symlink_to(media.parent / "not mounted" / "yet")

    with pytest.raises(StorageUnavailable):
        act(store)


def test_a_read_only_disk_is_unavailable(store, media, monkeypatch):
    def read_only(*args, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)

    with pytest.raises(StorageUnavailable):
        put(store, "a")


def test_a_full_disk_is_unavailable_and_nothing_is_left(store, media, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(StorageUnavailable) as trouble:
        put(store, "a")

    assert str(media) not in str(trouble.value)
    assert not store.exists("a")
    assert arriving(media) == []


def test_a_large_object_comes_back_bit_by_bit_the_same(store):
    pieces = [os.urandom(100_000) for _ in range(20)]

    info = store.objects.write("a", iter(pieces), content_type="a/b", cache_control="")

    assert info.size == 2_000_000
    with store.open("a") as file:
        assert sha256(file.read()).digest() == sha256(b"".join(pieces)).digest()
