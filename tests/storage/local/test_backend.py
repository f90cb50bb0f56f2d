"""LocalStorage on its disk: nothing half there, nothing elsewhere, whatever happens. See also test_stores."""

import errno
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import md5, sha256
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile

from storage.errors import ObjectExists, StorageUnavailable
from storage.local import LocalStorage, metadata
from storage.local.disk import ABANDONED_SECONDS
from tests.storage.test_keys import HOSTILE
from tests.support.server import ROOT


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


# --- Folders ------------------------------------------------------------------------------------------


def test_deleting_takes_away_the_folders_that_it_leaves_empty(store, media):
    put(store, "a/b/c/d")
    put(store, "a/other")

    store.delete("a/b/c/d")

    assert store.listdir("") == (["a"], [])
    assert store.listdir("a") == ([], ["other"])
    assert not list((media / ".objects" / "records").rglob("*.json"))[1:]


# --- Hostile names ----------------------------------------------------------------------------------------


def test_a_hostile_name_reaches_nothing_outside_of_its_bucket(store, media):
    for name in HOSTILE:
        for act in (
            lambda name: store.save(name, ContentFile(b"x")),
            lambda name: put(store, name),
            store.delete,
            store.open,
        ):
            with suppress(SuspiciousFileOperation, FileNotFoundError, ValueError):
                act(name)

    assert sorted(os.listdir(media)) == [".objects", "documents"]
    assert os.listdir(media.parent) == ["media"]


def test_a_key_is_not_copied_or_moved_onto_itself(store):
    put(store, "a", b"from")

    for verb in (store.move, store.copy):
        with pytest.raises(ObjectExists):
            verb("a", store, "a")

    assert content(store, "a") == b"from"


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
        assert not store.has_object(key)

    assert content(store, "file") == content(store, "folder/x") == b"kept"
    assert arriving(media) == []


# --- Nothing is ever overwritten -------------------------------------------------------------------------


def test_an_object_is_replaced_only_on_request(store):
    put(store, "a", b"first")

    put(store, "a", b"second!", content_type="text/x-second", replace=True)

    info = store.describe("a")
    assert content(store, "a") == b"second!"
    assert (info.size, info.content_type) == (7, "text/x-second")


SAVE_IN_A_PROCESS = """
import sys, os, time, django
django.setup()
from django.conf import settings
from storage.base import ObjectExists
from storage.local.backend import LocalStorage
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


def replaced_twice(store: LocalStorage, other: LocalStorage) -> None:
    put(store, "a", b"heron", replace=True)
    put(store, "a", b"stork", replace=True)


def away_and_back(store: LocalStorage, other: LocalStorage) -> None:
    store.move("a", other, "b")
    other.move("b", store, "a")


@pytest.mark.parametrize("look", ["describe", "open"])
@pytest.mark.parametrize("meanwhile", [replaced_twice, away_and_back])
def test_what_is_told_is_of_the_bytes_that_are_there_whatever_happens_meanwhile(
    store, other, monkeypatch, look, meanwhile
):
    put(store, "a", b"otter")
    read, first = metadata.read_records, [True]

    def read_late(name: str) -> list[dict[str, Any]]:
        if first and first.pop():
            meanwhile(store, other)
            if meanwhile is away_and_back:
                return []  # as it was while the object was away
        return read(name)

    monkeypatch.setattr(metadata, "read_records", read_late)
    seen = store.objects.open("a") if look == "open" else (None, store.objects.describe("a"))

    now = content(store, "a")
    assert (seen[1].content_type, seen[1].etag) == ("text/x-first", f'"{md5(now).hexdigest()}"')
    if seen[0]:
        with seen[0]:
            assert seen[0].read() == now


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


def test_whatever_appears_is_on_the_disk_before_and_its_name_after(store, monkeypatch):
    """A power cut takes what was not synced: never bytes or their description out of a name that stayed."""
    synced, appeared = set(), []
    replace, fsync = os.replace, os.fsync

    def seen_fsync(file: int) -> None:
        synced.add(os.fstat(file).st_ino)
        fsync(file)

    def seen_replace(file: Any, place: Any) -> None:
        assert os.stat(file).st_ino in synced, place
        replace(file, place)
        appeared.append(Path(place))

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    put(store, "folder/a")

    assert [path.suffix for path in appeared] == [".json", ""]
    assert os.stat(appeared[-1].parent).st_ino in synced


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
    os.utime(old, (0, time.time() - ABANDONED_SECONDS - 1))

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
