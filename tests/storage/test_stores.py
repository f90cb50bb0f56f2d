"""What is true of every store: Django's contract, the signed verbs, and nothing ever overwritten."""

import errno
import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from hashlib import md5, sha256
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.contrib.admin.widgets import AdminFileWidget
from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.images import ImageFile
from django.core.files.storage import default_storage, storages
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.core.management import call_command
from django.db import models
from django.db.migrations.writer import MigrationWriter
from django.templatetags.static import static as static_url
from django.test.utils import isolate_apps, modify_settings
from django.utils import timezone
from PIL import Image
from rest_framework import serializers

from storage import keys, tokens, url_cache
from storage.base import SignedStorage, SignedUpload, SignedURL, store_of
from storage.errors import ObjectExists, ObjectMissing
from storage.files import CHUNK_SIZE
from storage.local import LocalStorage
from storage.supabase import SupabaseStorage
from tests.storage.test_keys import HOSTILE, LEGAL, TRAVERSAL

MIB = 1024 * 1024
LARGE = 6 * MIB + 1  # the least that goes to Supabase in parts


def put(store: SignedStorage, key: str, content: bytes = b"otter", **options: Any) -> Any:
    told = {"content_type": "text/x-first", "cache_control": "max-age=1"}
    store.put(key, iter([content]), **{**told, **options})
    return store.describe(key)


def content(store: SignedStorage, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


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


def brief(key: str) -> str:
    return ascii(key)[:40]


def with_options(store: SignedStorage, **options: Any) -> SignedStorage:
    """The same bucket, with these OPTIONS."""
    return type(store)(store.bucket, store.public, **options)


# --- Saving ---------------------------------------------------------------------------------------------


def test_what_is_saved_is_read_back(store):
    name = store.save("a/plan.pdf", ContentFile(b"%PDF-1.7"))

    assert name == "a/plan.pdf"
    assert content(store, name) == b"%PDF-1.7"
    assert store.exists(name)
    assert store.size(name) == 8


class Seekless(io.RawIOBase):
    """As what comes over a wire."""

    def __init__(self, content: bytes) -> None:
        self.rest = content

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece, self.rest = self.rest[: len(buffer)], self.rest[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def read_already() -> File:
    file = ContentFile(b"otter")
    file.read()
    return file


def temporary() -> File:
    file = TemporaryUploadedFile("plan.pdf", "application/pdf", 5, None)
    file.write(b"otter")
    file.flush()
    return file


class ReadOnly:
    """All that it has is a method."""

    def __init__(self, content: bytes) -> None:
        self.read = io.BytesIO(content).read


@contextmanager
def read_only() -> Iterator[Any]:
    file: Any = ReadOnly(b"otter")
    file.closed = False
    yield file
    del file.closed


KINDS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: ContentFile(b"otter"),
    "text": lambda: ContentFile("otter"),
    "in memory": lambda: SimpleUploadedFile("plan.pdf", b"otter"),
    "temporary": temporary,
    "already read": read_already,
    "seekless": lambda: File(Seekless(b"otter"), "plan.pdf"),
    "no file of Django's": lambda: io.BytesIO(b"otter"),
    "only read": read_only,
}


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_every_kind_of_file_is_saved_whole_and_stays_open(store, make):
    with make() as file:
        assert content(store, store.save("plan.pdf", file)) == b"otter"
        assert not file.closed


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_every_kind_of_file_is_saved_whole_when_its_name_is_lost_meanwhile(store, make, monkeypatch):
    """Given a name that was free when asked, when another has taken it, then nothing of the file is lost."""
    put(store, "plan.pdf", b"somebody else's")
    has_object, wrong = type(store).has_object, [False]
    monkeypatch.setattr(
        type(store), "has_object", lambda self, key: wrong.pop() if wrong else has_object(self, key)
    )

    with make() as file:
        name = store.save("plan.pdf", file)

    assert name != "plan.pdf"
    assert content(store, name) == b"otter"
    assert content(store, "plan.pdf") == b"somebody else's"


@pytest.mark.parametrize("error", [TimeoutError("slow"), PermissionError(13, "no"), TypeError("no bytes")])
@pytest.mark.parametrize("overwrites", [False, True])
def test_an_error_of_the_file_that_is_saved_is_no_outage(store, overwrites, error):
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise error

    with pytest.raises(type(error)) as raised:
        with_options(store, file_overwrite=overwrites).save("a.txt", File(Broken()))

    assert raised.value is error
    assert store.listdir("") == ([], [])


def test_text_is_saved_as_utf_8_and_read_as_text_if_asked(store):
    name = store.save("a.txt", ContentFile("guía"))

    assert content(store, name) == "guía".encode()
    with store.open(name, "r") as file:
        assert file.read() == "guía"


@pytest.mark.parametrize("size", [0, 3 * MIB + 1, LARGE], ids=["empty", "in one piece", "in parts"])
def test_a_file_of_any_size_is_saved_whole(store, tmp_path, size):
    large = os.urandom(size)
    (tmp_path / "large").write_bytes(large)

    with (tmp_path / "large").open("rb") as file:
        name = store.save("large.bin", File(file))

    assert store.size(name) == size
    assert sha256(content(store, name)).digest() == sha256(large).digest()


def test_the_type_is_the_files_own_or_that_of_its_name(store):
    def type_of(name: str, file: File) -> str:
        return store.describe(store.save(name, file)).content_type

    assert type_of("told.bin", SimpleUploadedFile("x", b"", content_type="image/png")) == "image/png"
    assert type_of("a.pdf", ContentFile(b"")) == "application/pdf"
    assert type_of("a.zzz", ContentFile(b"")) == "application/octet-stream"
    assert type_of("notes", ContentFile("no ending")) == "application/octet-stream"
    assert type_of("page.svg.gz", ContentFile(b"")) == "application/octet-stream"


@pytest.mark.parametrize("size", [5, LARGE], ids=["in one piece", "in parts"])
def test_type_and_cache_control_are_stored_as_told(store, size):
    info = put(store, "a", b"x" * size, content_type="text/plain;charset=utf-8", cache_control="max-age=77")

    assert info == store.describe("a")
    assert (info.content_type, info.cache_control) == ("text/plain;charset=utf-8", "max-age=77")


@pytest.mark.parametrize(
    ("public", "options", "name", "cache_control"),
    [
        (True, {}, "css/base.5f8c1a2b3c4d.css", "max-age=31536000"),
        (True, {}, "LICENSE.5f8c1a2b3c4d", "max-age=31536000"),
        (True, {"cache_control": "no-cache"}, "base.5f8c1a2b3c4d.min.js", "max-age=31536000"),
        (True, {}, "lion/AbcDefGhi1JklMnoPqr2StuV.png", "max-age=31536000"),
        (True, {}, "css/base.css", "max-age=3600"),
        (True, {}, "5f8c1a2b3c4d.css", "max-age=3600"),
        (True, {}, "x.5f8c1a2b3c4d.d/base.css", "max-age=3600"),
        (True, {"cache_control": "public, max-age=60"}, "logo.png", "public, max-age=60"),
        (False, {}, "base.5f8c1a2b3c4d.css", "max-age=3600"),
    ],
)
def test_only_a_public_file_that_never_changes_is_cached_for_a_year(
    make_store, public, options, name, cache_control
):
    store = with_options(make_store(public=public), **options)

    assert store.describe(store.save(name, ContentFile(b""))).cache_control == cache_control


def test_a_large_file_may_be_cached_as_long_as_a_small_one(store):
    """Resumable uploads know a number of seconds only."""
    kept = with_options(store, cache_control="public, max-age=60")

    name = kept.save("large", ContentFile(b"x" * LARGE))

    assert kept.describe(name).cache_control.endswith("max-age=60")


@pytest.mark.parametrize(
    "content_type",
    [
        "image/png\r\nX-Evil: 1",
        "guía/x",
        "png",
        7,
        b"a/b",
        pytest.param("a/" + "b" * 5000, id="long"),
        "multipart/form-data; boundary=x",
    ],
    ids=ascii,
)
def test_a_content_type_that_is_no_header_is_guessed(store, content_type):
    file = ContentFile(b"%PDF")
    file.content_type = content_type

    assert store.describe(store.save("a.pdf", file)).content_type == "application/pdf"


# --- Names ----------------------------------------------------------------------------------------------


def test_a_name_that_is_taken_gets_another(store):
    first = store.save("a/plan.pdf", ContentFile(b"first"))
    second = store.save("a/plan.pdf", ContentFile(b"second"))

    assert second != first
    assert second.startswith("a/plan_")
    assert second.endswith(".pdf")
    assert (content(store, first), content(store, second)) == (b"first", b"second")


@pytest.mark.parametrize("name", LEGAL, ids=brief)
def test_a_legal_key_is_saved_as_asked_and_known_to_every_verb(store, other, name):
    """Whatever has to be quoted on the way."""
    assert store.sign_upload(name, "a/b", seconds=60).key == name
    assert store.save(name, ContentFile(b"otter")) == name

    assert content(store, name) == b"otter"
    assert store.exists(name)
    assert store.describe(name).key == name
    assert name.rpartition("/")[2] in store.listdir(name.rpartition("/")[0])[1]
    assert store.sign_downloads([name], seconds=60).keys() == {name}
    store.copy(name, other, name)
    store.move(name, store, "elsewhere")
    assert (store.exists(name), content(other, name)) == (False, b"otter")
    other.delete(name)
    assert not other.exists(name)


CHOSEN_BY_CODE = ["js/[id].js", "a~b.txt", "a%20b.txt", "a/guide #2.pdf", "a\n.txt", "x" * 300]


@pytest.mark.parametrize("name", CHOSEN_BY_CODE, ids=brief)
def test_a_name_chosen_by_code_is_one_file_for_every_method(store, other, fetch, name):
    check_is_one_file(name, store, other, fetch)


@pytest.mark.parametrize("name", ["año 1/guía #2.pdf", "日本.txt", "..ñ/x", "js/[id].js"], ids=brief)
def test_a_file_that_can_be_overwritten_is_found_by_the_name_it_was_saved_under(store, other, fetch, name):
    overwriting = [with_options(each, file_overwrite=True) for each in (store, other)]

    check_is_one_file(name, *overwriting, fetch)


def check_is_one_file(name, store, other, fetch):
    saved = store.save(name, ContentFile(b"otter"))
    other.save(name, ContentFile(b"otter"))

    for called in (name, saved):
        assert store.exists(called)
        assert content(store, called) == b"otter"
        assert store.size(called) == 5
        assert fetch(store.url(called)) == fetch(other.url(called)) == (200, b"otter")
        assert store.exists(os.path.dirname(called))
        assert store.listdir(os.path.dirname(called))[1] == [os.path.basename(saved)]
    store.delete(name)
    assert not store.exists(saved)


@pytest.mark.parametrize(
    ("name", "saved"),
    [
        ("guía de campo.pdf", "guia de campo.pdf"),
        ("año 1/ﬁn.tar.gz", "ano 1/fin.tar.gz"),
        ("guía #[1].pdf", "guia 1.pdf"),
    ],
)
def test_a_file_of_a_person_has_a_readable_name_and_only_that(store, name, saved):
    """A row that is older than the store may have the other name: it must not get or delete this file."""
    assert store.save(name, ContentFile(b"otter")) == saved

    assert not store.exists(name)
    store.delete(name)
    assert content(store, saved) == b"otter"
    assert store.save(name, ContentFile(b"heron")) not in (name, saved)


def test_a_file_is_saved_where_the_store_of_static_files_cannot_be_made(store, settings):
    static = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": static}
    settings.STATIC_URL = None

    assert store.save("guía.pdf", ContentFile(b"")) == "guia.pdf"


@pytest.mark.parametrize("name", ["..\u0378", "\u0378/.\u0378", "..\u0378/\u0378.."], ids=ascii)
def test_a_name_of_which_only_dots_are_left_stays_in_its_folder(store, name):
    saved = store.save(f"a/{name}", ContentFile(b"otter"))

    assert saved.startswith("a/")
    assert content(store, saved) == b"otter"


def test_two_names_are_never_one_file(store):
    names = ["[id].js", "id.js", "(id).js", "{id}.js", "id~.js"]

    for name in names:
        store.save(name, ContentFile(name))

    assert [content(store, name).decode() for name in names] == names


@pytest.mark.parametrize("name", ["\u0378.jpg", "a/\ud800.jpg"], ids=ascii)
def test_a_name_of_which_nothing_is_left_keeps_its_ending(store, name):
    saved = store.save(name, ContentFile(b"otter"))

    assert keys.PLAIN.fullmatch(saved)
    assert saved.endswith(".jpg")


@pytest.mark.parametrize("name", ["guía-de-una-ruta-larga.pdf", "long-name-of-a-plan.pdf"])
def test_a_name_that_must_change_fits_and_keeps_its_ending(store, name):
    store.save(name, ContentFile(b""))

    saved = store.save(name, ContentFile(b""), max_length=20)

    assert len(saved) <= 20
    assert saved.isascii()
    assert saved.endswith(".pdf")
    assert store.get_available_name("free.pdf", max_length=8) == "free.pdf"


@pytest.mark.parametrize("length", [251, 255, 256, 400])
def test_a_name_that_no_disk_has_is_made_shorter(store, length):
    name = f"a/{'x' * (length - 4)}.pdf"
    store.save(name, ContentFile(b""))

    saved = store.save(name, ContentFile(b"otter"))

    assert len(saved) <= 2 + 255
    assert saved.endswith(".pdf")
    assert content(store, saved) == b"otter"


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("guía de campo.pdf", "guia_de_campo.pdf"),
        ("a/../b\\c\0.pdf", "a..bc.pdf"),
        ("w.tar.gz", "w.tar.gz"),
        (".env", ".env"),
    ],
)
def test_a_name_is_made_valid(store, name, valid):
    assert store.get_valid_name(name) == valid
    assert store.save(store.get_valid_name(name), ContentFile(b"")) == valid


@pytest.mark.parametrize("name", ["", ".", "..", "/", "./", "docs/"])
def test_a_name_that_names_no_file_is_not_made_valid(store, name):
    with pytest.raises(SuspiciousFileOperation):
        store.generate_filename(name)


def test_a_path_is_as_good_as_a_name(store):
    assert store.get_valid_name(Path("b c.txt")) == "b_c.txt"
    path = Path("a") / "b.txt"

    assert store.save(path, ContentFile(b"otter")) == "a/b.txt"
    assert content(store, path) == b"otter"
    assert (store.exists(path), store.exists(Path("a")), store.size(path)) == (True, True, 5)
    assert store.url(path) == store.url("a/b.txt")
    store.delete(path)
    assert not store.exists(path)


@pytest.mark.parametrize("name", ["a//b.txt", "./a/b.txt", "a/./b.txt", "a\\b.txt"])
def test_a_name_in_another_spelling_is_the_same_file(store, name):
    assert store.save(name, ContentFile(b"otter")) == "a/b.txt"
    assert content(store, name) == content(store, "a/b.txt") == b"otter"


@pytest.mark.parametrize("media_root", ["", "/srv/media", Path("/srv/media/")])
def test_an_absolute_path_in_media_root_is_relative_to_it(store, other, settings, media_root):
    """As rows of FileSystemStorage may have it. Nothing in MEDIA_ROOT is asked for."""
    settings.MEDIA_ROOT = media_root
    if media_root:
        for each in (store, other):
            assert each.key_of("/srv/media/docs/a.txt") == "docs/a.txt"
            assert "/docs/a.txt" in each.url("/srv/media/docs/a.txt")
            assert "media/docs/a.txt" not in each.url(Path("/srv/media/docs/a.txt"))
    for outside in ("/srv/media/../x", "/srv/mediathek/x", "/srv/x"):
        with pytest.raises(SuspiciousFileOperation):
            store.url(outside)


def test_names_that_differ_in_case_are_two_objects(store):
    put(store, "foo", b"lower")
    put(store, "Foo", b"upper")

    assert (content(store, "foo"), content(store, "Foo")) == (b"lower", b"upper")


# --- Reading --------------------------------------------------------------------------------------------


def test_only_reading_is_a_way_to_open(store):
    put(store, "a")

    with pytest.raises(ValueError, match="written whole"):
        store.open("a", "wb")


@pytest.mark.parametrize("ask", ["open", "size", "describe", "get_created_time", "get_modified_time", "read"])
def test_what_is_missing_is_not_found(store, ask):
    put(store, "folder/x")

    for key in ("missing", "folder", "folder/x/y", "far/away/x"):
        with pytest.raises(FileNotFoundError) as missing:
            getattr(store, ask)(key)
        assert isinstance(missing.value, ObjectMissing)
        assert str(missing.value) == key


def test_an_open_file_can_be_sought(store):
    large = os.urandom(3 * CHUNK_SIZE + 5)
    put(store, "a", large)

    with store.open("a") as file:
        assert file.size == len(large)
        assert file.read(4) == large[:4]
        file.seek(2 * CHUNK_SIZE)
        assert file.read(10) == large[2 * CHUNK_SIZE : 2 * CHUNK_SIZE + 10]
        file.seek(-7, io.SEEK_END)
        assert file.read() == large[-7:]
        assert file.read() == b""
        file.seek(0)
        assert b"".join(file.chunks()) == large
        file.seek(10 * MIB)
        assert file.read(1) == b""
        with pytest.raises(OSError, match="Invalid argument"):
            file.seek(-1)
        with pytest.raises(OSError, match="Invalid argument"):
            file.seek(-len(large) - 1, io.SEEK_END)


def test_a_file_that_is_no_archive_is_none(store):
    """`zipfile` looks for the end of an archive before the start of a short file."""
    put(store, "a.zip", b"otter")

    with store.open("a.zip") as file:
        assert not zipfile.is_zipfile(file)


def test_a_closed_file_has_a_size(store):
    put(store, "a", b"otter")
    file = store.open("a")
    file.close()

    assert (file.size, len(file)) == (5, 5)


def test_many_files_may_be_open_at_once(store):
    for which in range(20):
        put(store, f"{which}", bytes([which]) * (CHUNK_SIZE + 10))

    files = [store.open(f"{which}") for which in range(20)]

    for which, file in enumerate(files):
        with file:
            assert set(file.read()) == {which}


def test_a_file_needs_no_more_than_a_method_to_read(store):
    assert content(store, store.save("a.txt", ReadOnly(b"otter"))) == b"otter"


@pytest.mark.parametrize("save", [True, False], ids=["saving", "reading"])
@pytest.mark.slow
def test_memory_stays_flat_whatever_the_size(store, tmp_path, save):
    path = tmp_path / "large"
    path.write_bytes(b"otter" * (32 * MIB // 5))
    with path.open("rb") as file:
        if not save:
            store.save("large", File(file))
            store.open("large").close()
        tracemalloc.start()
        try:
            if save:
                store.save("large", File(file))
            else:
                with store.open("large") as remote:
                    assert sum(map(len, remote.chunks())) == path.stat().st_size
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert most < 12 * MIB  # a spool that is about to go to disk, and its copy


@pytest.mark.parametrize("use_tz", [True, False])
def test_times_are_aware_when_django_is(store, settings, use_tz):
    settings.USE_TZ, settings.TIME_ZONE = use_tz, "Asia/Tokyo"
    put(store, "a")

    for moment in (store.get_created_time("a"), store.get_modified_time("a")):
        assert timezone.is_aware(moment) is use_tz
        assert abs(timezone.now() - moment) < timedelta(minutes=1)


def test_the_description_is_of_the_bytes(store):
    info = put(store, "a/b", b"otter")

    assert info == store.describe("a/b")
    assert (info.key, info.size, info.content_type) == ("a/b", 5, "text/x-first")
    assert info.cache_control == "max-age=1"
    assert info.etag == f'"{md5(b"otter").hexdigest()}"'
    assert timezone.is_aware(info.created_at)
    assert timezone.is_aware(info.last_modified)


def test_the_first_bytes_are_read_without_the_rest(store):
    put(store, "a", b"%PDF-" + b"x" * 2 * MIB)

    with store.read("a") as file:
        assert file.read(5) == b"%PDF-"
        assert file.seekable()


@pytest.mark.parametrize("mode", ["r", "rt", "tr"])
def test_text_may_be_asked_for_in_every_way(store, mode):
    store.save("a.txt", ContentFile("guía\nñ"))

    with store.open("a.txt", mode) as file:
        assert list(file) == ["guía\n", "ñ"]


@pytest.mark.parametrize("mode", ["w", "wb", "a", "x", "r+b", "rw", "rr", ""])
def test_no_mode_writes(store, mode):
    put(store, "a")

    with pytest.raises(ValueError, match="written whole"):
        store.open("a", mode)


def test_a_closed_file_opens_again_in_any_mode(store):
    store.save("a.txt", ContentFile("guía"))
    file = store.open("a.txt")
    assert file.read() == "guía".encode()

    assert file.open().read() == "guía".encode()  # rewound
    file.close()
    with file.open("r"):
        assert file.read() == "guía"
    with file.open():  # in the first mode, as in FileSystemStorage
        assert file.read() == "guía".encode()
    with file.open("r", encoding="latin-1"):
        assert file.read() == "guÃ\xada"
    with file.open("rb"):
        assert file.read() == "guía".encode()
    assert file.closed
    store.delete("a.txt")
    with pytest.raises(FileNotFoundError):
        file.open()


# --- Deleting and listing -------------------------------------------------------------------------------


def test_deleting_what_is_missing_is_success(store):
    put(store, "a/b")

    for _ in range(2):
        store.delete("a/b")
        assert not store.exists("a/b")
    store.delete("a")
    store.delete("never/was")


def test_a_folder_exists_and_is_not_an_object(store):
    put(store, "a/b/c")

    assert all(store.exists(folder) for folder in ("", "a", "a/", "a/b", ".", "./a//b"))
    assert not any(store.exists(missing) for missing in ("b", "a/c", "a/b/c/d", "A"))
    assert not any(store.has_object(folder) for folder in ("a", "a/b"))
    store.delete("a")
    assert store.exists("a/b/c")
    with pytest.raises(ValueError, match="must be given"):
        store.delete("")


def test_a_file_may_have_the_name_of_a_folder(store):
    put(store, "a/b")

    assert store.save("a", ContentFile(b"x")) == "a"


def test_a_listing_shows_objects_and_nothing_of_the_stores_own(store, other):
    assert store.listdir("") == ([], [])
    for key in ("b", "a", "f/x", "f/g/y", ".hidden"):
        put(store, key)
    put(other, "elsewhere")

    assert store.listdir("") == store.listdir(".") == (["f"], [".hidden", "a", "b"])
    assert store.listdir("f/") == store.listdir("/f") == store.listdir(Path("f")) == (["g"], ["x"])
    for missing in ("missing", "a", "a\nb", "x" * 2000):
        assert store.listdir(missing) == ([], [])


def test_a_listing_is_whole_however_long(store, by_hand):
    """The protocol gives at most 1000 at once."""
    by_hand(f"many/{number:04}" for number in range(1100))
    by_hand(f"many/f{number}/x" for number in range(950))

    folders, objects = store.listdir("many")

    assert objects == [f"{number:04}" for number in range(1100)]
    assert sorted(folders) == sorted(f"f{number}" for number in range(950))


def test_a_walk_meets_every_object_once_in_the_order_of_the_keys(store, other):
    keys_in_order = [".hidden", "B", "a", "a b/x", "a-b", "a.txt", "a/b", "a/b.c/d", "a0", "b"]
    for key in reversed(keys_in_order):
        put(store, key, key.encode())
    put(other, "elsewhere")

    assert list(store.walk()) == [store.describe(key) for key in keys_in_order]


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("a", ["a", "a.b", "a/b", "a/b/c"]),
        ("a/", ["a/b", "a/b/c"]),
        ("a/b/", ["a/b/c"]),
        ("c", []),
        ("A", []),
    ],
)
def test_a_walk_keeps_to_the_prefix(store, prefix, found):
    for key in ("a", "a.b", "a/b", "a/b/c", "b/a"):
        put(store, key)

    assert [info.key for info in store.walk(prefix)] == found


def test_a_walk_is_whole_however_long(store, by_hand):
    """The protocol gives at most 1000 at once."""
    many = sorted([f"a{number % 7}/{number:04}" for number in range(1900)] + [f"{n:03}" for n in range(150)])
    by_hand(many)

    assert [info.key for info in store.walk()] == many


def test_a_walk_goes_on_when_an_object_is_deleted_meanwhile(store):
    for key in ("a", "b", "c"):
        put(store, key)

    walk = store.walk()
    first = next(walk)
    store.delete("b")

    assert first.key == "a"
    assert [info.key for info in walk][-1] == "c"


@pytest.mark.parametrize("prefix", ["a\0b", "..\\", "%2e%2e"])
def test_a_walk_takes_no_prefix_that_no_key_has(store, prefix):
    with pytest.raises(keys.InvalidKey):
        list(store.walk(prefix))


def test_a_walk_stays_in_its_bucket(store, other):
    put(other, "elsewhere")

    for prefix in ("../", f"../{other.bucket}/", "/", "//"):
        assert list(store.walk(prefix)) == []


def test_what_was_saved_is_no_leftover(store):
    put(store, "a")

    assert list(store.delete_leftovers(timedelta(0))) == []
    assert content(store, "a") == b"otter"


# --- URLs -----------------------------------------------------------------------------------------------


def test_a_url_of_a_public_bucket_is_plain_and_lasts(other, fetch, settings):
    put(other, "a b/n")

    url = other.url("a b/n")

    assert url == f"{settings.SUPABASE_URL}/storage/v1/object/public/{other.bucket}/a%20b/n"
    assert fetch(url) == (200, b"otter")


def test_a_url_of_a_private_bucket_is_signed_for_as_long_as_configured(store, settings):
    settings.DOWNLOAD_URL_TTL = 77
    put(store, "a/plan.pdf")

    url = urlsplit(store.url("a/plan.pdf"))

    token = parse_qs(url.query)["token"][0]
    left = tokens.check(token, "download", store.bucket, "a/plan.pdf").expires_at - timezone.now()
    assert url.path == f"/storage/v1/object/sign/{store.bucket}/a/plan.pdf"
    assert timedelta(seconds=60) < left <= timedelta(seconds=77)


@pytest.mark.parametrize(
    ("filename", "query"),
    [(None, None), ("", ""), ("guía 1&2.pdf", "guía 1&2.pdf"), ("a\r\nX-Evil: 1", "a\r\nX-Evil: 1")],
)
def test_a_download_name_stands_outside_the_token(store, filename, query):
    put(store, "a")

    signed = store.sign_download("a", seconds=60, filename=filename)

    asked = parse_qs(urlsplit(signed.url).query, keep_blank_values=True)
    assert asked.get("download") == (None if query is None else [query])
    assert asked["token"][0].isascii()
    assert "\n" not in signed.url


@pytest.fixture(params=["server", "secret"])
def signing(request, settings) -> str:
    """Both ways to sign."""
    settings.SUPABASE_SIGNING = request.param
    return request.param


def test_a_signed_upload_says_where_and_how(store, settings, signing):
    signed = store.sign_upload("a.pdf", "application/pdf", seconds=60, max_age=5)

    start = f"{settings.SUPABASE_URL}/storage/v1/object/upload/sign/{store.bucket}/a.pdf?token="
    assert signed.url == start + signed.token
    assert signed.headers == {
        "content-type": "application/pdf",
        "x-upsert": "false",
        "cache-control": "max-age=5",
    }
    assert tokens.check(signed.token, "upload", store.bucket, "a.pdf").upsert is False
    assert signed.expires_at == tokens.expiry(signed.token)
    assert signed.expires_at > timezone.now()


def test_a_signed_download_opens_this_object_until_it_expires(store, signing):
    put(store, "a")
    put(store, "b")

    signed = store.sign_download("a", seconds=60)

    token = parse_qs(urlsplit(signed.url).query)["token"][0]
    assert tokens.check(token, "download", store.bucket, "a").expires_at == signed.expires_at
    assert timedelta(seconds=50) < signed.expires_at - timezone.now() <= timedelta(seconds=60)
    with pytest.raises(tokens.InvalidToken):
        tokens.check(token, "download", store.bucket, "b")


def test_many_downloads_are_signed_at_once(store, signing, by_hand):
    wanted = [f"f/{number}" for number in range(1001)]
    by_hand(wanted)

    signed = store.sign_downloads(wanted, seconds=60)

    assert signed.keys() == set(wanted)
    for key in (wanted[0], wanted[999], wanted[1000]):
        token = parse_qs(urlsplit(signed[key].url).query)["token"][0]
        assert tokens.check(token, "download", store.bucket, key)
    assert store.sign_downloads([], seconds=60) == {}


def test_signed_urls_stay_out_of_logs(store):
    put(store, "a")

    for signed in (store.sign_upload("b", "a/b", seconds=60), store.sign_download("a", seconds=60)):
        assert isinstance(signed, SignedUpload | SignedURL)
        assert "token" not in repr(signed)
        assert "eyJ" not in f"{signed!r} {signed}"


# --- The same URL again ---------------------------------------------------------------------------------


def half_a_life_later(store: SignedStorage, key: str) -> None:
    """The cache lets go of what it was told to keep for half the life; the clock is not waited for."""
    url_cache.delete(store.bucket, key)


def test_a_download_url_is_the_same_until_half_its_life_is_over(store, monkeypatch):
    put(store, "a")
    now = tokens.time.time()
    first = store.sign_download("a", seconds=600)
    kept: list[int | None] = []
    monkeypatch.setattr(cache, "set_many", lambda known, timeout: kept.append(timeout))

    assert store.sign_download("a", seconds=600) == first
    assert store.sign_downloads(["a"], seconds=600)["a"] == first
    assert kept == []
    half_a_life_later(store, "a")
    monkeypatch.setattr(tokens.time, "time", lambda: now + 301)
    later = store.sign_download("a", seconds=600)

    assert kept == [300]
    if isinstance(store, LocalStorage):  # whose clock this is
        assert later.expires_at > first.expires_at


def test_a_url_for_another_time_is_another_url(store):
    put(store, "a")

    long, short = store.sign_download("a", seconds=3600), store.sign_download("a", seconds=60)

    assert long.url != short.url
    assert long.expires_at > short.expires_at


@pytest.mark.parametrize("leave", ["delete", "move"])
def test_a_url_is_forgotten_when_its_object_leaves(store, leave):
    put(store, "a")
    store.sign_download("a", seconds=600)
    assert url_cache.get_many(store.bucket, ["a"], 600)

    if leave == "delete":
        store.delete("a")
    else:
        store.move("a", store, "b")

    assert url_cache.get_many(store.bucket, ["a"], 600) == {}


class Broken:
    def __getattr__(self, name: str) -> Any:
        raise ConnectionRefusedError("no cache")


def test_a_cache_that_is_down_costs_a_token_and_nothing_else(store, monkeypatch):
    put(store, "a")
    monkeypatch.setattr(url_cache, "cache", Broken())

    assert store.sign_download("a", seconds=600).expires_at > timezone.now()
    store.delete("a")
    assert not store.exists("a")


# --- Hostile names ----------------------------------------------------------------------------------------

BY_KEY: dict[str, Callable[[SignedStorage, str], Any]] = {
    "describe": lambda store, key: store.describe(key),
    "read": lambda store, key: store.read(key),
    "delete": lambda store, key: store.delete_if_exists(key),
    "put": lambda store, key: store.put(key, [b""], content_type="a/b", cache_control=""),
    "replace": lambda store, key: store.replace(key, [b""], content_type="a/b", cache_control=""),
    "move from": lambda store, key: store.move(key, store, "free"),
    "move to": lambda store, key: store.move("taken", store, key),
    "copy from": lambda store, key: store.copy(key, store, "free"),
    "copy to": lambda store, key: store.copy("taken", store, key),
    "sign upload": lambda store, key: store.sign_upload(key, "a/b", seconds=60),
    "sign download": lambda store, key: store.sign_download(key, seconds=60),
    "sign downloads": lambda store, key: store.sign_downloads(["taken", key], seconds=60),
}
BY_NAME: dict[str, Callable[[SignedStorage, Any], Any]] = {
    "open": lambda store, name: store.open(name),
    "size": lambda store, name: store.size(name),
    "created": lambda store, name: store.get_created_time(name),
    "modified": lambda store, name: store.get_modified_time(name),
}


@pytest.mark.parametrize("act", BY_KEY.values(), ids=BY_KEY.keys())
def test_no_method_takes_a_hostile_key(store, act):
    put(store, "taken")

    for key in HOSTILE:
        with pytest.raises(SuspiciousFileOperation):
            act(store, key)

    assert store.listdir("") == ([], ["taken"])


def test_a_hostile_key_does_not_exist(store):
    assert not any(store.has_object(key) for key in HOSTILE)


@pytest.mark.parametrize("name", [*TRAVERSAL, "a\0b"], ids=ascii)
def test_a_name_that_leads_elsewhere_is_suspicious(store, name):
    for act in (*BY_NAME.values(), type(store).delete, type(store).get_available_name, type(store).url):
        with pytest.raises(SuspiciousFileOperation):
            act(store, name)
    with pytest.raises(SuspiciousFileOperation):
        store.save(name, ContentFile(b"x"))

    assert not store.exists(name)
    assert store.listdir("") == ([], [])


@pytest.mark.parametrize(
    "name", ["docs/guía.pdf", "gone.pdf", "a\nb", "\ud800", "x" * 300, "x/" * 600 + "x"], ids=brief
)
def test_a_name_that_no_object_has_is_missing_and_breaks_nothing(store, other, fetch, name):
    """As rows have them that are older than the store, or whose object was deleted by hand."""
    for act in BY_NAME.values():
        with pytest.raises(FileNotFoundError) as missing:
            act(store, name)
        assert missing.value.errno == errno.ENOENT

    assert not store.exists(name)
    store.delete(name)
    for each in (store, other):
        assert 400 <= fetch(each.url(name))[0] < 500


@pytest.mark.parametrize("name", ["", "img/", "/a.txt", "/", None])
def test_a_url_may_be_asked_of_a_folder_and_of_a_path(store, other, settings, name):
    """Templates build the addresses of their files from that of a folder."""
    start = f"{settings.SUPABASE_URL}/storage/v1/object/public"

    assert other.url(name) == f"{start}/{other.bucket}/{(name or '').lstrip('/')}"
    if not (name or "").startswith("/"):
        assert store.url(name).startswith(settings.SUPABASE_URL)


@pytest.mark.parametrize("name", ["", ".", "a/", "a/.", "/"])
def test_a_name_that_names_no_file_is_not_saved(store, name):
    with pytest.raises(SuspiciousFileOperation):
        store.save(name, ContentFile(b"x"))


@pytest.mark.parametrize("name", HOSTILE, ids=brief)
def test_a_hostile_name_is_saved_in_the_bucket_or_not_at_all(store, name):
    try:
        saved = store.save(name, ContentFile(b"x"))
    except SuspiciousFileOperation:
        assert store.listdir("") == ([], [])
    else:
        assert keys.check(saved) == saved
        assert content(store, saved) == b"x"


@pytest.mark.parametrize("path", ["..", "../", "/..", "../species", "a/../..", "//../", "%2e%2e"])
def test_a_hostile_folder_is_not_listed(store, path):
    with pytest.raises(SuspiciousFileOperation):
        store.listdir(path)


@pytest.mark.parametrize("name", [".arriving/a", "./.arriving/a", ".arriving\\a"])
def test_no_file_is_saved_where_the_sweep_would_delete_it(store, name):
    with pytest.raises(SuspiciousFileOperation, match="unfinished uploads"):
        store.save(name, ContentFile(b"x"))
    with pytest.raises(SuspiciousFileOperation, match="unfinished uploads"):
        with_options(store, location=".arriving").save("a", ContentFile(b"x"))
    assert store.save("a/.arriving/a", ContentFile(b"x")) == "a/.arriving/a"


def test_an_absolute_folder_is_one_of_the_bucket(store):
    assert store.listdir("/etc") == ([], [])


# --- Nothing is ever overwritten -------------------------------------------------------------------------


def test_an_object_is_created_once(store):
    put(store, "a", b"first")

    with pytest.raises(ObjectExists):
        put(store, "a", b"second", content_type="text/x-second")

    assert content(store, "a") == b"first"
    assert store.describe("a").content_type == "text/x-first"


def test_of_12_parallel_puts_of_one_name_one_succeeds(store):
    results = at_once(12, lambda which: put(store, "a/b", f"{which}".encode() * 70_000))

    winner = next(which for which, result in enumerate(results) if not isinstance(result, Exception))
    assert [type(result) for result in results].count(ObjectExists) == 11
    assert content(store, "a/b") == f"{winner}".encode() * 70_000
    assert store.describe("a/b") == results[winner]
    assert store.listdir("") == (["a"], [])


@pytest.mark.parametrize("size", [1, pytest.param(LARGE, marks=pytest.mark.slow)], ids=["small", "in parts"])
def test_12_parallel_saves_of_one_name_are_12_objects(store, size):
    names = at_once(
        12, lambda which: store.save("a/plan.pdf", ContentFile(bytes([which]) * size), max_length=40)
    )

    assert len(set(names)) == 12
    assert "a/plan.pdf" in names
    assert all(name.endswith(".pdf") for name in names)
    assert [content(store, name) == bytes([which]) * size for which, name in enumerate(names)] == [True] * 12


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


# --- In Django -------------------------------------------------------------------------------------------


class SameNameAlways:
    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return name


def test_a_class_that_knows_no_other_name_is_told_that_the_name_is_taken(store, monkeypatch):
    """... and does not send the file again and again."""
    kind = type("Stubborn", (SameNameAlways, type(store)), {})
    put(store, "a.txt", b"first")
    sent: list[str] = []
    put_once = kind.put
    monkeypatch.setattr(
        kind, "put", lambda self, key, *a, **k: (sent.append(key), put_once(self, key, *a, **k))
    )

    with pytest.raises(FileExistsError, match=r"^a\.txt$"):
        kind(store.bucket).save("a.txt", ContentFile(b"second"))

    assert sent == ["a.txt"]
    assert content(store, "a.txt") == b"first"


@pytest.mark.parametrize("size", [6, LARGE], ids=["small", "large"])
def test_a_file_is_overwritten_if_the_option_says_so(store, size):
    overwriting = with_options(store, file_overwrite=True)
    put(store, "a.txt", b"first")

    for letter in (b"2", b"3"):
        assert overwriting.save("a.txt", SimpleUploadedFile("x", letter * size, "text/x-new")) == "a.txt"

    assert content(store, "a.txt") == b"3" * size
    assert store.describe("a.txt").content_type == "text/x-new"
    assert store.listdir("") == ([], ["a.txt"])
    with pytest.raises(ObjectExists):
        put(overwriting, "a.txt")


def test_who_reads_while_a_file_is_overwritten_has_one_of_the_two(store):
    overwriting = with_options(store, file_overwrite=True)
    put(store, "a", b"old")

    seen = at_once(
        8, lambda which: content(store, "a") if which else overwriting.save("a", ContentFile(b"new"))
    )

    assert set(seen) <= {"a", b"old", b"new"}


def test_a_location_is_a_folder_of_the_bucket_for_all_that_has_a_name(store, other, fetch):
    inside, public = (with_options(each, location="/site/media/") for each in (store, other))

    name = inside.save("a/b.txt", ContentFile(b"otter"))
    public.save(name, ContentFile(b"otter"))

    assert name == "a/b.txt"
    assert [info.key for info in store.walk()] == ["site/media/a/b.txt"]
    assert content(inside, name) == content(store, "site/media/a/b.txt") == b"otter"
    assert fetch(inside.url(name)) == fetch(public.url(name)) == (200, b"otter")
    assert public.url("").endswith(f"/{other.bucket}/site/media/")
    assert (inside.listdir(""), inside.listdir("a")) == ((["a"], []), ([], ["b.txt"]))
    assert inside.save(name, ContentFile(b"")).startswith("a/b_")
    assert not inside.exists("site/media/a/b.txt")
    inside.delete(name)
    assert not inside.exists(name)


def test_a_location_is_no_file(store):
    """Although the bucket has an object of this name, for others."""
    put(store, "site")
    inside = with_options(store, location="site")

    assert inside.exists("")
    assert inside.listdir(".") == ([], [])
    inside.delete(".")
    assert store.exists("site")
    with pytest.raises(FileNotFoundError):
        inside.open(".")


def test_a_cdn_serves_a_public_bucket(make_store):
    store = make_store(public=True)

    for base_url in ("https://cdn.example.org/m", "https://cdn.example.org/m/"):
        public = with_options(store, base_url=base_url, location="site")
        assert public.url("a b/ñ.txt") == f"https://cdn.example.org/m/site/a%20b/{keys.from_name('ñ.txt')}"
        assert public.url("") == "https://cdn.example.org/m/site/"


def test_packages_find_no_base_url(make_store):
    """django-compressor and django-filer take a `base_url` for what every URL starts with."""
    assert not hasattr(make_store(public=True), "base_url")


def test_a_store_may_have_its_own_time_for_urls(store):
    put(store, "a")

    expires_at = tokens.expiry(with_options(store, url_expires=7200).url("a").partition("token=")[2])

    assert timedelta(minutes=115) < expires_at - timezone.now() <= timedelta(hours=2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"locatoin": "x"}, "'locatoin'.* location"),
        ({"bucket_name": "x", "default_acl": None}, "'bucket_name', 'default_acl'.* bucket, public"),
        ({"url_expires": timedelta(hours=1)}, "number of seconds"),
        ({"url_expires": 0}, "number of seconds"),
        ({"base_url": "https://cdn.example.org"}, "needs public"),
        ({"base_url": "cdn.example.org", "public": True}, "must be a URL"),
        ({"base_url": "https://cdn.example.org/?v=1", "public": True}, "must be a URL"),
        ({"cache_control": ""}, "cache_control must be a header"),
        ({"cache_control": "max-age=60\nX-Evil: 1"}, "cache_control must be a header"),
        ({"cache_control": 60}, "cache_control must be a header"),
        ({"public": "False"}, "public must be True or False"),
        ({"file_overwrite": None}, "file_overwrite must be True or False"),
        ({"url_expires": True}, "number of seconds"),
    ],
)
@pytest.mark.parametrize("kind", [LocalStorage, SupabaseStorage])
def test_an_option_that_is_wrong_is_named(kind, options, said):
    with pytest.raises(ImproperlyConfigured, match=said):
        kind(**options)


@pytest.mark.parametrize("location", ["..", "a/../..", "%2e%2e"])
def test_a_location_is_in_the_bucket(location):
    with pytest.raises(SuspiciousFileOperation):
        LocalStorage(location=location)


@modify_settings(INSTALLED_APPS={"remove": ["storage"]})
@pytest.mark.parametrize("kind", [LocalStorage, SupabaseStorage])
def test_without_the_app_the_store_says_so(kind):
    with pytest.raises(ImproperlyConfigured, match='Add "storage" to INSTALLED_APPS'):
        kind()


def test_the_store_can_stand_in_a_migration(store, other):
    public_names = ("storage.local.LocalStorage", "storage.supabase.SupabaseStorage")
    (kind,) = (name for name in public_names if name.endswith(f".{type(store).__name__}"))

    assert other.deconstruct() == (kind, (other.bucket,), {"public": True})
    assert MigrationWriter.serialize(other)[0] == f"{kind}('{other.bucket}', public=True)"
    assert MigrationWriter.serialize(type(store)())[0] == f"{kind}()"


def test_without_a_bucket_it_is_that_of_the_settings(store, settings):
    settings.SUPABASE_STORAGE_BUCKET = "elsewhere"

    assert type(store)().bucket == "elsewhere"
    assert storages["default"].bucket == "media"


def test_only_a_store_that_signs_can_be_asked_for():
    assert store_of("documents").bucket == "documents"
    with pytest.raises(AssertionError, match="cannot sign"):
        store_of("staticfiles")


@pytest.fixture
def as_default(store, settings) -> SignedStorage:
    """The default storage, as other people's apps know it."""
    public_names = ("storage.local.LocalStorage", "storage.supabase.SupabaseStorage")
    (kind,) = (name for name in public_names if name.endswith(f".{type(store).__name__}"))
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": kind},
        "named": {"BACKEND": kind, "OPTIONS": {"bucket": store.bucket, "public": True}},
    }
    settings.SUPABASE_STORAGE_BUCKET = store.bucket
    return store


def test_it_serves_as_the_default_storage_and_under_an_alias(as_default):
    name = default_storage.save("a.txt", ContentFile("otter"))

    assert content(as_default, name) == b"otter"
    assert default_storage.url(name).startswith("http")
    assert (storages["named"].bucket, storages["named"].public) == (as_default.bucket, True)


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (7, 5)).save(buffer, "PNG")
    return buffer.getvalue()


@isolate_apps("tests")
def test_a_models_fields_keep_their_files_in_it(store):
    class Animal(models.Model):  # noqa: DJ008
        plan = models.FileField(storage=store, upload_to="plans", max_length=60)
        picture = models.ImageField(storage=store, width_field="width", height_field="height")
        width = models.IntegerField(null=True)
        height = models.IntegerField(null=True)

        class Meta:
            app_label = "tests"

    animal = Animal()
    animal.plan.save("guía de campo.pdf", ContentFile(b"%PDF"), save=False)
    animal.picture.save("otter.png", ImageFile(io.BytesIO(picture()), "otter.png"), save=False)

    assert animal.plan.name == "plans/guia_de_campo.pdf"
    assert animal.plan.size == 4
    assert (animal.width, animal.height) == (7, 5)
    assert (animal.picture.width, animal.picture.height) == (7, 5)
    with store.open(animal.picture.name) as file:
        assert ImageFile(file).width == 7
    with animal.plan.open() as file:
        assert file.read() == b"%PDF"
    animal.plan.delete(save=False)
    assert not store.exists("plans/guia_de_campo.pdf")


@isolate_apps("tests")
def test_a_picture_is_measured_after_it_was_read_and_closed(store):
    class Photo(models.Model):  # noqa: DJ008
        file = models.ImageField(storage=store)

        class Meta:
            app_label = "tests"

    photo = Photo(file=store.save("otter.png", ContentFile(picture())))
    with photo.file.open() as file:
        assert file.read() == picture()

    assert (photo.file.width, photo.file.height) == (7, 5)
    assert photo.file.closed
    with photo.file.open("rb") as file:
        assert Image.open(file).size == (7, 5)


@isolate_apps("tests")
@pytest.mark.parametrize("name", ["docs/guía.pdf", "gone.pdf", "x" * 300])
def test_a_row_whose_file_is_missing_is_shown_and_its_file_deleted(store, name):
    class Report(models.Model):  # noqa: DJ008
        file = models.FileField(storage=store)

        class Meta:
            app_label = "tests"

    class ReportSerializer(serializers.ModelSerializer):
        class Meta:
            model = Report
            fields = ["file"]

    report = Report(file=name)

    assert name in AdminFileWidget().render("file", report.file)
    assert ReportSerializer(report).data["file"].startswith("http")
    with pytest.raises(FileNotFoundError):
        report.file.open()
    report.file.delete(save=False)
    assert not report.file


# --- Static files ----------------------------------------------------------------------------------------


class HashedLocal(ManifestFilesMixin, LocalStorage):
    pass


class HashedSupabase(ManifestFilesMixin, SupabaseStorage):
    pass


STATIC_FILES = {
    "css/base.css": b"a { background: url(../img/dot.png) }",
    "img/dot.png": b"dot",
    "js/[id].js": b"otter",
    "js/id.js": b"heron",
    "a~b.txt": b"tilde",
    "a%20b.txt": b"percent",
    "archive.tar.gz": b"archive",
    "guía.pdf": b"accent",
    "guia.pdf": b"no accent",
}


@pytest.fixture(params=["plain", "hashed"])
def static_store(request, other, settings, tmp_path) -> SignedStorage:
    """The storage of `collectstatic`, and files for it."""
    kinds = {
        (LocalStorage, "plain"): "storage.local.LocalStorage",
        (SupabaseStorage, "plain"): "storage.supabase.SupabaseStorage",
        (LocalStorage, "hashed"): f"{__name__}.HashedLocal",
        (SupabaseStorage, "hashed"): f"{__name__}.HashedSupabase",
    }
    options = {"bucket": other.bucket, "public": True, "location": "static"}
    entry = {"BACKEND": kinds[type(other), request.param], "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": entry}
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    settings.STATICFILES_DIRS = [tmp_path / "assets"]
    for name, file in STATIC_FILES.items():
        path = tmp_path / "assets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file)
    return storages["staticfiles"]


def test_static_files_are_collected_once_and_served(static_store, fetch, other):
    call_command("collectstatic", interactive=False, verbosity=0)
    first = {info.key for info in other.walk()}
    call_command("collectstatic", interactive=False, verbosity=0)

    assert {info.key for info in other.walk()} == first
    is_hashed = isinstance(static_store, ManifestFilesMixin)
    for name, file in STATIC_FILES.items():
        assert content(static_store, name) == file
        # ManifestFilesMixin takes names as URLs have them.
        status, body = fetch(static_url(quote(name) if is_hashed else name))
        assert status == 200
        assert body == file or name == "css/base.css"
    assert len(first) == (2 * len(STATIC_FILES) + 1 if is_hashed else len(STATIC_FILES))
    ages = {info.cache_control for info in other.walk()}
    assert ages == ({"max-age=3600", "max-age=31536000"} if is_hashed else {"max-age=3600"})


def test_static_files_of_before_are_cleared(static_store, other):
    put(other, "static/old/deep/gone.css")
    put(other, "elsewhere/kept.css")

    call_command("collectstatic", interactive=False, verbosity=0, clear=True)

    assert not static_store.exists("old")
    assert static_store.exists("js/[id].js")
    assert other.exists("elsewhere/kept.css")


def test_a_signed_url_serves_the_bytes(store, fetch, signing):
    put(store, "a", b"otter")

    signed = store.sign_download("a", seconds=60)

    assert fetch(signed.url) == (200, b"otter")
    store.move("a", store, "b")
    assert fetch(signed.url)[0] == 400
