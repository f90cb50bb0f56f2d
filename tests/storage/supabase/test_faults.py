"""What SupabaseStorage does when the network, a gateway or the server fails: by a real proxy on loopback."""

import io
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import stamina
from django.core.files.base import ContentFile

from storage.base import SignedStorage
from storage.errors import ObjectExists, ObjectMissing, StorageMisconfigured, StorageUnavailable
from storage.local import LocalStorage
from storage.protocol import TUS_CHUNK_SIZE
from storage.supabase import SupabaseStorage, deadlines, http_client, transport
from storage.supabase import client as supabase_client
from tests.support import proxy as faults
from tests.support.cases import spread
from tests.support.proxy import Proxy, says
from tests.support.server import Server

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
LARGE = os.urandom(7 * MIB)
HTML = b"<html><body>Bad gateway</body></html>"


@pytest.fixture
def proxy(supabase: str) -> Iterator[Proxy]:
    with Proxy(supabase) as running:
        yield running


@pytest.fixture
def impatient(monkeypatch) -> Iterator[None]:
    """A client with little time, that does not pause before it tries again."""
    supabase_client.close()
    monkeypatch.setattr(http_client, "TIMEOUT", httpx.Timeout(0.5))
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 1)
    monkeypatch.setattr(deadlines, "MINIMUM_RATE", 64 * MIB)
    with stamina.set_testing(True, attempts=supabase_client.ATTEMPTS):
        yield
    supabase_client.close()


@pytest.fixture
def store(bucket_of, impatient, proxy: Proxy, settings, server: Server) -> SupabaseStorage:
    """With an object `a`, through the proxy."""
    made = bucket_of()
    settings.MEDIA_ROOT = str(server.media)
    at_home(made).put("a", [b"otter"], content_type="a/b", cache_control="max-age=1")
    settings.SUPABASE_URL = proxy.url
    return made


def at_home(store: SignedStorage) -> LocalStorage:
    """The same bucket, past all proxies."""
    return LocalStorage(store.bucket)


def put(store: SupabaseStorage, key: str = "new", content: bytes = b"heron") -> Any:
    store.put(key, iter([content]), content_type="a/b", cache_control="max-age=1")
    return store.describe(key)


def read(store: SupabaseStorage, key: str = "a") -> bytes:
    with store.open(key) as file:
        return file.read()


def everything(store: SupabaseStorage) -> set[str]:
    """Every key of the bucket, what is on its way included."""
    return set(at_home(store).objects.walk())


#: By verb: the act, the request that fails, and whether it may be made again.
Verb = tuple[Callable[[SupabaseStorage], Any], str, bool]
VERBS: dict[str, Verb] = {
    "describe": (lambda store: store.describe("a"), "GET /object/info", True),
    "exists": (lambda store: store.exists("missing"), "GET /object/info", True),
    "open": (read, "GET /object/authenticated", True),
    "listdir": (lambda store: store.listdir(""), "POST /object/list-v2", True),
    "walk": (lambda store: list(store.walk()), "POST /object/list-v2", True),
    "delete": (lambda store: store.delete("a"), "DELETE /object/", True),
    "sign upload": (lambda store: store.sign_upload("b", "a/b", seconds=9), "POST /object/upload/sign", True),
    "sign download": (lambda store: store.sign_download("a", seconds=9), "POST /object/sign", True),
    "move": (lambda store: store.move("a", store, "b"), "POST /object/move", False),
    "copy": (lambda store: store.copy("a", store, "b"), "POST /object/copy", False),
    "check_ready": (lambda store: store.check_ready(), "GET /bucket/", False),
    "put: send": (put, r"POST /object/test-", True),
    "put: look": (put, "GET /object/info", True),
    "put: settle": (put, "POST /object/move", True),
    "put in parts: begin": (lambda store: put(store, "new", LARGE), "POST /upload/resumable", True),
    "put in parts: send": (lambda store: put(store, "new", LARGE), "PATCH /upload/resumable", True),
}
AGAIN = {name: verb for name, verb in VERBS.items() if verb[2]}
FAULTS: dict[str, faults.Handling] = {
    "500": says(500, b'{"statusCode":"500","error":"internal","message":"x"}'),
    "503": says(503, Retry_After="0"),
    "429": says(429, b"slow down", Retry_After="0"),
    "a gateway's page": says(502, HTML, Content_Type="text/html"),
    "reset": faults.reset,
    "hangs": faults.hangs,
    "drips headers": faults.drips,
}
#: Answers that claim success.
FALSE: dict[str, faults.Handling] = {
    "a gateway's page as success": says(200, HTML, Content_Type="text/html"),
    "JSON that is none": says(200, b'{"Key": ', Content_Type="application/json"),
    "other JSON": says(200, b'["a"]', Content_Type="application/json"),
    "an answer cut off": faults.cut,
    "drips body": faults.drips_body,
}
KINDS = {**FAULTS, **FALSE}
SLOW = {"hangs", "drips headers", "drips body"}  # each waits for a deadline
#: A cut answer has done all that a part or a move is for, and a body drips after `open` has returned.
NO_FAULT = {
    ("put in parts: send", "an answer cut off"),
    ("put: settle", "an answer cut off"),
    ("open", "drips body"),
}


def cases(verbs: dict[str, Verb]) -> list[Any]:
    """Every verb with three faults, and so every fault with three verbs: all go through one `request`."""
    return [
        pytest.param(
            verbs[verb], KINDS[kind], id=f"{verb}, {kind}", marks=[pytest.mark.slow] if kind in SLOW else []
        )
        for verb, kind in spread(verbs, KINDS, each=3)
        if (verb, kind) not in NO_FAULT
    ]


# --- Once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "fault"), cases(AGAIN))
def test_what_may_be_repeated_survives_one_fault(store, proxy, verb, fault):
    act, request, _ = verb
    at_home(store).put("elsewhere", [b""], content_type="a/b", cache_control="")
    proxy.fail(fault, on=request, times=1)

    act(store)

    assert proxy.count(request) >= 2
    assert not any(key.startswith(".arriving") for key in everything(store))


@pytest.mark.parametrize("content", [b"heron", LARGE], ids=["small", "in parts"])
@pytest.mark.parametrize("fault", [faults.cut_request, faults.lost], ids=["cut", "lost"])
def test_a_body_that_breaks_off_is_sent_again(store, proxy, content, fault):
    proxy.fail(fault, on="POST /object/test-|PATCH", times=1)

    put(store, "new", content)

    assert read(store, "new") == content
    assert everything(store) == {"a", "new"}


# --- Always --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("verb", "fault"), cases(VERBS))
def test_what_goes_on_failing_is_unavailable_soon_and_leaves_nothing_half_done(store, proxy, verb, fault):
    act, request, again = verb
    proxy.fail(fault, on=request)
    started = time.monotonic()

    with pytest.raises(StorageUnavailable):
        act(store)

    assert time.monotonic() - started < 3 * transport.REQUEST_SECONDS + 2.5
    assert proxy.count(request) >= (supabase_client.ATTEMPTS if again else 1)
    assert again or proxy.count(request) == 1
    assert everything(store) - {"b"} <= {"a"}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
def test_a_server_that_is_gone_is_unavailable(store, settings, verb):
    settings.SUPABASE_URL = "http://127.0.0.1:9"

    with pytest.raises(StorageUnavailable) as gone:
        verb[0](store)

    assert not isinstance(gone.value, StorageMisconfigured)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
def test_a_redirection_is_no_success_and_not_followed(store, proxy, verb):
    act, request, _ = verb
    proxy.fail(says(301, Location="http://127.0.0.1:9/"), on=request)

    with pytest.raises(StorageMisconfigured, match="another address"):
        act(store)

    assert proxy.count(request) == 1
    assert everything(store) == {"a"}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS.keys())
def test_a_wrong_key_is_told_and_nothing_is_missing(store, settings, verb):
    settings.SUPABASE_SECRET_KEY = "sb_secret_wrong"

    with pytest.raises(StorageMisconfigured) as refused:
        verb[0](store)

    assert "sb_secret" not in str(refused.value)
    assert everything(store) == {"a"}


@pytest.mark.parametrize("status", ['"400"', "Infinity", "1e999", "null", "[]", '"x"', "-1"])
def test_an_error_of_any_shape_is_an_error(store, proxy, status):
    proxy.fail(says(400, f'{{"statusCode": {status}, "error": {{"a": 1}}}}'.encode()))

    with pytest.raises(StorageUnavailable):
        store.describe("a")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"id": "x", "size": None},
        {"id": "x", "size": 1, "content_type": "a/b", "cache_control": "", "created_at": "yesterday"},
    ],
)
def test_a_description_that_lacks_something_is_no_description(store, proxy, body):
    proxy.fail(lambda passing, _: passing.relay(httpx.Response(200, json=body)), on="info")

    with pytest.raises(StorageUnavailable, match="invalid response"):
        store.exists("a")


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.put("b", [b"x"], content_type=7, cache_control=""),
        lambda store: store.put("b", ["text"], content_type="a/b", cache_control=""),
        lambda store: supabase_client.call(lambda sdk: sdk.from_("a", "of another version"), "a"),
        lambda store: store.sign_downloads([7], seconds=60),
        lambda store: store.describe(7),
        lambda store: store.open(7),
    ],
    ids=["content type", "chunks", "SDK", "keys", "key", "name"],
)
def test_a_mistake_of_the_program_is_no_outage(store, proxy, act):
    """... so nothing is tried again, and other requests go on."""
    with pytest.raises(TypeError):
        act(store)

    assert proxy.count("POST|GET") == 0


def test_a_file_that_cannot_be_read_is_no_outage(store, proxy):
    def chunks() -> Iterator[bytes]:
        yield b"x"
        raise NotImplementedError("no more")

    with pytest.raises(NotImplementedError, match="no more"):
        store.put("new", chunks(), content_type="a/b", cache_control="")

    assert proxy.count() == 0


def test_tokens_that_cannot_be_read_are_none(store, proxy):
    proxy.fail(says(200, b'{"url": "/x?token=abc", "token": "abc"}'), on="upload/sign")
    proxy.fail(says(200, b'[{"path": "a", "signedURL": "/x?token=a.b.c", "error": null}]'), on="object/sign")

    for act in (VERBS["sign upload"][0], VERBS["sign download"][0]):
        with pytest.raises(StorageUnavailable, match="invalid response"):
            act(store)


# --- Waiting --------------------------------------------------------------------------------------------


def waits(monkeypatch, asked: str) -> list[float]:
    """The seconds waited between attempts when each is answered 429 with this `Retry-After`."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)

    def refused() -> None:
        raise http_client.error_from_response(httpx.Response(429, headers={"Retry-After": asked}), "a")

    with pytest.raises(StorageUnavailable):
        supabase_client.retry(refused)
    return slept


@pytest.mark.parametrize("seconds", [0, 1, 5])
def test_the_server_says_how_long_to_wait(seconds, monkeypatch):
    assert waits(monkeypatch, str(seconds)) == [seconds] * (supabase_client.ATTEMPTS - 1)


def test_a_retry_after_that_cannot_be_read_does_not_matter(monkeypatch):
    slept = waits(monkeypatch, "tomorrow")

    assert len(slept) == supabase_client.ATTEMPTS - 1
    assert all(0 < seconds <= supabase_client.MAX_RETRY_AFTER for seconds in slept)


def test_a_long_wait_is_left_to_the_caller(monkeypatch):
    assert waits(monkeypatch, "100000") == []


@pytest.mark.parametrize(
    "again",
    [lambda store: store.describe("a"), lambda store: put(store), lambda store: read(store)],
    ids=["describe", "put", "read"],
)
@pytest.mark.parametrize("kind", ["hangs", "drips headers", "drips body"])
@pytest.mark.slow
def test_no_call_takes_longer_than_its_deadline_allows(store, proxy, again, kind, monkeypatch):
    monkeypatch.setattr("storage.supabase.backend.PUT_SECONDS", 2)
    monkeypatch.setattr("storage.supabase.backend.CLEANUP_SECONDS", 0.5)
    proxy.fail(KINDS[kind])
    started = time.monotonic()

    with pytest.raises(StorageUnavailable):
        again(store)

    assert time.monotonic() - started < supabase_client.ATTEMPTS * transport.REQUEST_SECONDS + 1


def test_the_bounds_add_up_to_less_than_a_hundred_seconds():
    attempt = transport.REQUEST_SECONDS
    waits = (supabase_client.ATTEMPTS - 1) * (supabase_client.MAX_RETRY_AFTER + 1)

    assert supabase_client.ATTEMPTS * attempt + waits < 100
    from storage.supabase import backend  # noqa: PLC0415

    assert backend.PUT_SECONDS + TUS_CHUNK_SIZE / deadlines.MINIMUM_RATE + backend.CLEANUP_SECONDS < 100


# --- Putting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"heron" * 10_000, LARGE], ids=["small", "in parts"])
def test_what_was_changed_on_its_way_never_gets_its_key(store, proxy, content):
    proxy.fail(faults.flips, on="POST /object/test-|PATCH", times=1)

    with pytest.raises(StorageUnavailable, match="differs from the file"):
        put(store, "new", content)

    assert everything(store) == {"a"}
    assert proxy.count("POST /object/move") == 0


@pytest.mark.parametrize("content", [b"heron" * 10_000, LARGE], ids=["small", "in parts"])
def test_what_an_attempt_before_left_at_the_stage_is_replaced(store, content):
    about = {"content_type": "text/plain", "cache_control": "no-cache"}
    put(store, "stage", b"half of it")

    store.put_file(
        "new",
        io.BytesIO(content),
        len(content),
        staging_key="stage",
        verify=lambda staging_key: True,
        **about,
    )

    assert store.read("new").read() == content
    assert everything(store) == {"a", "new"}


def test_an_etag_that_is_no_md5_costs_a_second_look(store, proxy):
    """As the real server gives for what came in parts."""

    def strange(passing: Any, body: bytes) -> None:
        answer = passing.upstream(body)
        passing.relay(httpx.Response(200, json={**answer.json(), "etag": '"0123-2"'}))

    proxy.fail(strange, on="GET /object/info")

    put(store)

    assert proxy.count("GET /object/authenticated") == 1
    assert read(store, "new") == b"heron"


def test_an_object_without_etag_is_an_object(store, proxy):
    def without(passing: Any, body: bytes) -> None:
        info = passing.upstream(body).json()
        del info["etag"]
        passing.relay(httpx.Response(200, json=info))

    proxy.fail(without, on="GET /object/info")

    assert put(store).etag == ""


@pytest.mark.parametrize("times", [1, 2])
def test_a_move_whose_answer_is_lost_is_recognised(store, proxy, times):
    proxy.fail(faults.lost, on="POST /object/move", times=times)

    assert put(store).size == 5

    assert everything(store) == {"a", "new"}
    assert store.save("new", ContentFile(b"x")) != "new"


def test_a_lost_move_onto_a_key_that_somebody_has_is_a_conflict(store, proxy):
    proxy.fail(faults.reset, on="POST /object/move", times=1)

    with pytest.raises(ObjectExists):
        put(store, "a")

    assert everything(store) == {"a"}
    assert read(store) == b"otter"


def test_a_delete_whose_answer_is_lost_is_success(store, proxy):
    proxy.fail(faults.lost, on="DELETE", times=1)

    store.delete("a")

    assert everything(store) == set()


def test_a_full_disk_of_this_machine_is_unavailable(store, monkeypatch):
    class Full:
        def __init__(self, **options: Any) -> None: ...
        def __enter__(self) -> Any:
            return self

        def __exit__(self, *error: Any) -> None: ...
        def write(self, piece: bytes) -> None:
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr("tempfile.SpooledTemporaryFile", Full)

    with pytest.raises(StorageUnavailable, match="No space left"):
        put(store)


def test_a_source_that_breaks_off_leaves_nothing(store):
    def broken() -> Iterator[bytes]:
        yield b"half of it"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.put("new", broken(), content_type="a/b", cache_control="max-age=1")

    assert everything(store) == {"a"}


@pytest.mark.parametrize(("size", "connection"), [(64 * 1024, None), (64 * 1024 + 1, "close")])
def test_a_connection_that_carried_a_large_body_is_not_used_again(store, proxy, size, connection):
    """The real server may refuse the body before it has it all, and then hang when asked once more."""
    said: list[str] = []

    def listens(passing: Any, body: bytes) -> None:
        said.append(passing.headers["Connection"])
        faults.passed_on(passing, body)

    proxy.fail(listens, on="POST /object/test-")

    store.put("new", [bytes(size)], content_type="a/b", cache_control="max-age=1")

    assert said == [connection]


class Slow(io.BytesIO):
    """Comes a byte at a time, as over a line that is shared."""

    def read(self, size: int | None = -1, /) -> bytes:
        time.sleep(0.15)
        return super().read(1)


def test_a_slow_line_is_given_time_where_there_is_no_hurry(store, monkeypatch):
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.4)

    def send(key: str) -> None:
        about = {"content_type": "a/b", "cache_control": "max-age=1", "verify": lambda staging_key: True}
        store.put_file(key, Slow(b"heron"), 5, **about)

    with pytest.raises(StorageUnavailable):
        send("hurried")
    with deadlines.minimum_rate(1):
        send("patient")

    assert "hurried" not in everything(store)
    assert read(store, "patient") == b"heron"


def test_small_files_come_and_go_over_one_connection(store, proxy):
    connections = set()

    def listens(passing: Any, body: bytes) -> None:
        connections.add(passing.client_address)
        faults.passed_on(passing, body)

    proxy.fail(listens)

    for number in range(3):
        put(store, f"new-{number}")
        assert read(store, f"new-{number}") == b"heron"

    assert len(connections) == 1


# --- In parts -------------------------------------------------------------------------------------------


def changed(header: str, value: Callable[[str], str]) -> faults.Handling:
    def change(passing: Any, body: bytes) -> None:
        answer = passing.upstream(body)
        answer.headers[header] = value(answer.headers.get(header, ""))
        passing.relay(answer)

    return change


@pytest.mark.parametrize(
    "location",
    [
        lambda told: told.replace("http://", "https://elsewhere.example.org:1/x/"),
        lambda told: f"{told}?x=/y",
        lambda told: "/" + told.rpartition("/")[2],
    ],
    ids=["another host", "a query", "a path"],
)
def test_parts_go_to_the_configured_server_wherever_it_says_it_is(store, proxy, location):
    proxy.fail(changed("Location", location), on="POST /upload/resumable")

    put(store, "new", LARGE)

    assert at_home(store).size("new") == len(LARGE)


@pytest.mark.parametrize("location", ["", "http://elsewhere.example.org/"])
def test_an_upload_that_is_nowhere_is_unavailable(store, proxy, location):
    proxy.fail(changed("Location", lambda told: location), on="POST /upload/resumable")

    with pytest.raises(StorageUnavailable, match="no Location"):
        put(store, "new", LARGE)


@pytest.mark.parametrize("offset", ["0", "-5", "99999999999", "x", ""])
def test_a_server_that_says_nothing_arrives_is_not_asked_for_ever(store, proxy, offset):
    proxy.fail(says(204, Upload_Offset=offset), on="PATCH")
    proxy.fail(says(200, Upload_Offset=offset), on="HEAD")

    with pytest.raises(StorageUnavailable):
        put(store, "new", LARGE)

    assert proxy.count("PATCH") <= supabase_client.ATTEMPTS


@pytest.mark.parametrize("status", [409, 423])
def test_a_part_that_is_still_being_written_is_waited_for(store, proxy, status):
    """And is not taken for a name that somebody has."""
    proxy.fail(says(status, b"conflict", Content_Type="text/plain"), on="PATCH", times=2)

    put(store, "new", LARGE)

    assert everything(store) == {"a", "new"}


# --- Reading ---------------------------------------------------------------------------------------------


def test_a_read_that_breaks_off_goes_on_where_it_was(store, proxy):
    put(store, "new", LARGE)
    proxy.fail(faults.cut, on="GET /object/authenticated", times=4)

    assert read(store, "new") == LARGE

    assert proxy.count("GET /object/authenticated") >= 5


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(store, proxy):
    put(store, "new", LARGE)

    with store.open("new") as file:
        file.read(10)
        at_home(store).objects.write("new", [LARGE[::-1]], content_type="a/b", cache_control="", replace=True)
        with pytest.raises(StorageUnavailable, match="replaced"):
            file.read()


def test_sizes_above_two_gigabytes_are_read_from_their_end(store, proxy):
    size = 5 * 1024**3
    proxy.fail(lambda passing, _: passing.relay(window(passing, size)), on="GET /object/authenticated")

    with store.open("a") as file:
        assert file.size == size
        file.seek(-3, os.SEEK_END)
        assert file.read() == b"xxx"


def window(passing: Any, size: int) -> httpx.Response:
    first, last = re.fullmatch(r"bytes=(\d+)-(\d*)", passing.headers["Range"]).groups()
    end = min(int(last or size), size - 1)
    headers = {"Content-Range": f"bytes {first}-{end}/{size}", "ETag": '"e"'}
    return httpx.Response(206, headers=headers, content=b"x" * (end - int(first) + 1))


@pytest.mark.parametrize("range_", ["bytes 0-4/*", "", "nonsense"])
def test_an_answer_that_is_no_range_is_not_the_object(store, proxy, range_):
    proxy.fail(says(206, b"otter", Content_Range=range_), on="GET /object/authenticated")

    with pytest.raises(StorageUnavailable, match="range requests"):
        store.open("a")


# --- Listing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cursor", [None, "the same"])
def test_a_list_that_does_not_go_on_is_not_the_whole(store, proxy, cursor):
    page = {"hasNext": True, "folders": [], "objects": [], "nextCursor": cursor}
    proxy.fail(lambda passing, _: passing.relay(httpx.Response(200, json=page)), on="list-v2")

    with pytest.raises(StorageUnavailable, match="no new cursor"):
        store.listdir("")


# --- Addresses -------------------------------------------------------------------------------------------


def test_the_project_may_be_below_a_path(store, proxy, settings, monkeypatch):
    settings.SUPABASE_URL = f"{proxy.url}/zoo"
    monkeypatch.setattr(
        faults.Passing,
        "upstream",
        lambda self, body, pass_on=faults.Passing.upstream: (
            setattr(self, "path", self.path.removeprefix("/zoo")) or pass_on(self, body)
        ),
    )

    put(store, "new", LARGE)

    assert read(store, "new") == LARGE
    assert store.exists("new")
    assert store.listdir("")[1] == ["a", "new"]
    assert store.sign_download("new", seconds=60).url.startswith(f"{proxy.url}/zoo/storage/v1/object/sign/")


@pytest.mark.parametrize("url", ["nonsense", "ftp://127.0.0.1", "http://", "http://[::1"])
def test_an_address_that_is_none_is_told(store, settings, url):
    settings.SUPABASE_URL = url

    for act in (store.describe, store.open, store.delete):
        with pytest.raises(StorageUnavailable):
            act("a")


def test_what_is_missing_stays_missing_behind_faults(store, proxy):
    proxy.fail(FAULTS["503"], times=1)

    with pytest.raises(ObjectMissing):
        store.describe("missing")


def test_the_proxy_changes_nothing_unless_it_is_told_to(store):
    assert store.save("f/a.txt", ContentFile("x")) == "f/a.txt"
    assert read(store, "f/a.txt") == b"x"
