"""The Storage protocol over a real server and real sockets: what only bytes on a wire can show."""

import http.client
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from threading import Barrier
from typing import Any

import httpx
import pytest
from django.conf import settings

from storage import tokens
from storage.local.disk import ABANDONED_SECONDS
from tests.support.cast import PDF
from tests.support.server import Server

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
BOUNDARY = "----formdata-undici-012345678901"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="cacheControl"\r\n\r\n3600\r\n'
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name=""; filename="blob"\r\n'
    "Content-Type: application/pdf\r\n\r\n"
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


class Object:
    """One object of the running server, and the tokens for it."""

    def __init__(self, server: Server, bucket: str = "uploads", key: str = "") -> None:
        self.server, self.bucket = server, bucket
        self.key = key or f"live/{secrets.token_hex(8)}.pdf"
        self.token = tokens.mint("upload", bucket, self.key, 600)
        self.put_path = f"/storage/v1/object/upload/sign/{bucket}/{self.key}?token={self.token}"
        read = tokens.mint("download", bucket, self.key, 600)
        self.get_path = f"/storage/v1/object/sign/{bucket}/{self.key}?token={read}"

    def put(
        self, content: Any = PDF, content_type: str = "application/pdf", **headers: str
    ) -> httpx.Response:
        """Chunked when `content` is an iterator."""
        return httpx.put(
            self.server.url + self.put_path,
            content=content,
            headers={"content-type": content_type, **headers},
            timeout=60,
            verify=False,  # the address is not https, and certificates take long to load
        )

    def get(self, query: str = "", method: str = "GET", **headers: str) -> httpx.Response:
        url = self.server.url + self.get_path + query
        return httpx.request(method, url, headers=headers, timeout=60, verify=False)

    def is_missing(self) -> bool:
        """Neither served nor on the disk."""
        answer = self.get()
        return code(answer) == "NoSuchKey" and not (self.server.media / self.bucket / self.key).exists()


class Wire:
    """A connection on which anything can be said."""

    def __init__(self, server: Server) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *error: Any) -> None:
        self.socket.close()

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.socket.sendall(piece)

    def request(self, path: str, *headers: str, method: str = "PUT") -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]
        self.say("\r\n".join(lines).encode())

    def hear(self, method: str = "PUT") -> tuple[int, dict[str, Any]]:
        """The status and the JSON of the answer, ({}: no body)."""
        answer = http.client.HTTPResponse(self.socket, method=method)
        answer.begin()
        body = answer.read()
        return answer.status, json.loads(body) if body else {}


def code(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/json", answer.content
    return answer.json()["code"] if answer.is_error else ""


def eventually(holds: Callable[[], bool]) -> bool:
    """The server may still be clearing up after it has answered, or found nobody to answer."""
    for _ in range(500):
        if holds():
            return True
        time.sleep(0.02)
    return False


def arriving(server: Server) -> list[Path]:
    return list((server.media / ".objects" / "arriving").glob("*"))


def leaves_nothing(server: Server) -> bool:
    return eventually(lambda: arriving(server) == [])


@pytest.fixture
def thing(server: Server) -> Object:
    return Object(server)


def in_pieces(content: bytes, size: int = 10_000) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


# --- What goes up comes back ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrap", "content_type"),
    [
        (lambda content: content, "application/pdf"),
        (in_pieces, "application/pdf"),
        (lambda content: HEAD + content + TAIL, FORM),
        (lambda content: in_pieces(HEAD + content + TAIL, 77_777), FORM),
    ],
    ids=["raw", "chunked", "form", "chunked form"],
)
@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 1])
def test_what_goes_up_comes_back(thing, wrap, content_type, size):
    content = os.urandom(size)

    answer = thing.put(wrap(content), content_type)

    assert (answer.status_code, answer.json()) == (200, {"Key": f"uploads/{thing.key}"})
    back = thing.get()
    assert back.content == content
    assert back.headers["content-type"] == "application/pdf"
    assert back.headers["content-length"] == str(size)
    assert leaves_nothing(thing.server)


def test_chunks_may_be_of_any_size(thing):
    with Wire(thing.server) as wire:
        wire.request(thing.put_path, "Content-Type: application/pdf", "Transfer-Encoding: chunked")
        for byte in b"otter":
            wire.say(b"1;ext=1\r\n", bytes([byte]), b"\r\n")
        wire.say(b"00000a\r\n0123456789\r\n", b"0\r\nX-Sum: 1\r\n\r\n")
        assert wire.hear()[0] == 200

    assert thing.get().content == b"otter0123456789"


def test_who_expects_continue_is_told_to(thing):
    with Wire(thing.server) as wire:
        wire.request(
            thing.put_path, "Content-Type: application/pdf", "Content-Length: 5", "Expect: 100-continue"
        )
        assert wire.socket.recv(12) == b"HTTP/1.1 100"
        assert wire.socket.recv(1000).endswith(b"\r\n\r\n")
        wire.say(b"otter")
        assert wire.hear()[0] == 200


# --- Limits ------------------------------------------------------------------------------------------------


def too_much() -> Iterator[bytes]:
    yield b"%PDF-1.7\n"
    piece = bytes(MIB)
    for _ in range(settings.STORAGE_FILE_SIZE_LIMIT // MIB):
        yield piece


def too_much_in_a_form() -> Iterator[bytes]:
    yield HEAD
    yield from too_much()
    yield TAIL


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(too_much, "application/pdf"), (too_much_in_a_form, FORM)],
    ids=["chunked", "chunked form"],
)
def test_a_body_over_the_limit_is_cut_off_and_leaves_nothing(thing, body, content_type):
    answer = thing.put(body(), content_type)

    assert (answer.status_code, code(answer)) == (400, "EntityTooLarge")
    assert thing.is_missing()
    assert leaves_nothing(thing.server)


def test_an_endless_body_is_cut_off(thing):
    """Nobody waits for its end: the server stops reading."""
    piece = b"100000\r\n" + bytes(MIB) + b"\r\n"
    sent = 0
    with Wire(thing.server) as wire:
        wire.request(thing.put_path, "Content-Type: application/pdf", "Transfer-Encoding: chunked")
        try:
            while sent < 4 * settings.STORAGE_FILE_SIZE_LIMIT:
                wire.say(piece)
                sent += MIB
        except OSError:
            pass

    assert sent < 4 * settings.STORAGE_FILE_SIZE_LIMIT
    assert thing.is_missing()
    assert leaves_nothing(thing.server)


def test_a_length_over_the_limit_is_refused_before_the_body(thing):
    with Wire(thing.server) as wire:
        wire.request(thing.put_path, "Content-Type: application/pdf", f"Content-Length: {10**12}")
        status, body = wire.hear()

    assert (status, body["code"]) == (400, "EntityTooLarge")
    assert thing.is_missing()


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_after_a_refused_large_upload_the_connection_answers_or_is_closed(thing, connection):
    """It never hangs, nor takes the rest of the body for a request."""
    thing.put()
    size = 2 * MIB
    with Wire(thing.server) as wire:
        wire.request(
            thing.put_path,
            "Content-Type: application/pdf",
            f"Content-Length: {size}",
            f"Connection: {connection}",
        )
        wire.say(bytes(size))
        status, body = wire.hear()
        assert (status, body["code"]) == (400, "KeyAlreadyExists")
        try:
            wire.request(thing.get_path.replace("/sign/", "/nowhere/"), method="GET")
            assert wire.hear("GET")[1]["code"] == "NoSuchBucket"
        except (OSError, http.client.HTTPException):
            pass  # closed

    assert thing.get().content == PDF


@pytest.mark.parametrize("size", [200_000, 20 * MIB])
def test_who_sends_everything_before_listening_is_told_why_it_was_refused(thing, size):
    """Most clients do. What they ask next is answered, on another connection."""
    thing.put()
    connection = http.client.HTTPConnection("127.0.0.1", thing.server.port, timeout=60)

    connection.request("PUT", thing.put_path, bytes(size), {"Content-Type": "application/pdf"})
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.request("GET", thing.get_path)
    content = connection.getresponse().read()

    assert told["code"] == "KeyAlreadyExists"
    assert content == PDF
    connection.close()


@pytest.mark.slow
def test_a_refused_client_that_stalls_is_given_up(thing):
    thing.put()
    with Wire(thing.server) as wire:
        wire.request(thing.put_path, "Content-Type: application/pdf", f"Content-Length: {MIB}")
        assert wire.hear()[0] == 400
        begun = time.monotonic()

        assert wire.socket.recv(1) == b""  # closed

    assert time.monotonic() - begun < 25


# --- Bodies that lie, or break off -----------------------------------------------------------------------

CUT_OFF = {
    "shorter than its length": (["Content-Length: 1000"], b"%PDF-1.7 half of it"),
    "nothing of its length": (["Content-Length: 1000"], b""),
    "chunked without an end": (["Transfer-Encoding: chunked"], b"5\r\notter\r\n"),
    "cut within a chunk": (["Transfer-Encoding: chunked"], b"ff\r\notter"),
    "a form cut in its file": (["Content-Length: 5000"], HEAD + b"otter"),
    "a chunked form cut in its file": (
        ["Transfer-Encoding: chunked"],
        b"%x\r\n%b\r\n" % (len(HEAD) + 5, HEAD + b"otter"),
    ),
}


@pytest.mark.parametrize(("headers", "body"), CUT_OFF.values(), ids=CUT_OFF.keys())
@pytest.mark.parametrize("how", ["half closed", "closed"])
def test_a_body_that_breaks_off_is_not_stored(thing, headers, body, how):
    content_type = FORM if BOUNDARY.encode() in body else "application/pdf"
    with Wire(thing.server) as wire:
        wire.request(thing.put_path, f"Content-Type: {content_type}", *headers)
        wire.say(body)
        if how == "half closed":
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.hear()[0] == 400

    assert leaves_nothing(thing.server)
    assert thing.is_missing()
    assert thing.put().status_code == 200


MALFORMED = {
    "no size": (["Transfer-Encoding: chunked"], b"zz\r\notter\r\n0\r\n\r\n"),
    "negative size": (["Transfer-Encoding: chunked"], b"-5\r\notter\r\n0\r\n\r\n"),
    "endless size": (["Transfer-Encoding: chunked"], b"f" * 20_000),
    "more than the size": (["Transfer-Encoding: chunked"], b"2\r\notter\r\n0\r\n\r\n"),
    "both framings": (["Transfer-Encoding: chunked", "Content-Length: 5"], b"5\r\notter\r\n0\r\n\r\n"),
    "two lengths": (["Content-Length: 5", "Content-Length: 6"], b"otter!"),
    "negative length": (["Content-Length: -5"], b"otter"),
    "length with a sign": (["Content-Length: +5"], b"otter"),
    "length of no kind": (["Content-Length: five"], b"otter"),
    "identity": (["Transfer-Encoding: identity", "Content-Length: 50"], b"otter"),
    "unheard-of coding": (["Transfer-Encoding: zipped"], b"otter"),
    "chunked twice": (["Transfer-Encoding: chunked, chunked"], b"5\r\notter\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize(("headers", "body"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_body_is_refused_and_not_stored(thing, headers, body):
    with Wire(thing.server) as wire:
        wire.request(thing.put_path, "Content-Type: application/pdf", *headers)
        wire.say(body)
        wire.socket.shutdown(socket.SHUT_WR)
        status, _ = wire.hear()

    assert 400 <= status < 502
    assert status != 500
    assert leaves_nothing(thing.server)
    assert thing.is_missing()


def test_what_follows_a_body_is_not_part_of_it(thing):
    """A length too small: the rest is another request, and no good one."""
    with Wire(thing.server) as wire:
        wire.request(thing.put_path, "Content-Type: application/pdf", "Content-Length: 5")
        wire.say(b"otter and more\r\n\r\n")
        assert wire.hear()[0] == 200

    assert thing.get().content == b"otter"


# --- Many at once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [2, 8])
@pytest.mark.parametrize("framing", ["chunked", "form"])
def test_of_parallel_uploads_with_one_token_one_succeeds(thing, number, framing):
    """All are half-way up before any is complete."""
    half_way = Barrier(number)

    def content(which: int) -> bytes:
        return f"%PDF-1.7 {which} ".encode() * 40_000

    def body(which: int) -> Iterator[bytes]:
        head, tail = (HEAD, TAIL) if framing == "form" else (b"", b"")
        yield head + content(which)[:300_000]
        half_way.wait(timeout=60)
        yield content(which)[300_000:] + tail

    with ThreadPoolExecutor(number) as threads:
        kind = FORM if framing == "form" else "application/pdf"
        answers = list(threads.map(lambda which: thing.put(body(which), kind), range(number)))

    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [200] + [400] * (number - 1)
    refused = [answer.json() for answer in answers if answer.status_code == 400]
    assert {(each["statusCode"], each["error"], each["code"]) for each in refused} == {
        ("409", "Duplicate", "KeyAlreadyExists")
    }
    assert thing.get().content == content(statuses.index(200))
    assert leaves_nothing(thing.server)


def test_a_used_token_does_not_change_the_object(thing):
    assert thing.put(b"first").status_code == 200

    for upsert in ("false", "true"):
        assert code(thing.put(b"second", **{"x-upsert": upsert})) == "KeyAlreadyExists"

    assert thing.get().content == b"first"


@pytest.mark.slow
def test_a_server_killed_in_the_middle_of_an_upload_has_nothing_half_there(tmp_path):
    with Server(tmp_path, workers=1) as server:
        thing = Object(server)
        with Wire(server) as wire:
            wire.request(thing.put_path, "Content-Type: application/pdf", f"Content-Length: {2 * MIB}")
            wire.say(bytes(MIB))
            assert eventually(lambda: any(path.stat().st_size for path in arriving(server)))
            server.kill()
        (temporary,) = arriving(server)

        server.start()

        assert thing.is_missing()
        young = Object(server)
        assert young.put().status_code == 200
        assert arriving(server) == [temporary]  # perhaps somebody is still writing it
        os.utime(temporary, (0, time.time() - ABANDONED_SECONDS - 1))
        assert thing.put().status_code == 200
        assert thing.get().content == PDF
        assert arriving(server) == []


# --- Coming back --------------------------------------------------------------------------------------------

CONTENT = b"0123456789"


@pytest.fixture(scope="module")
def served(server: Server) -> Object:
    """An object that no test changes."""
    thing = Object(server)
    assert thing.put(CONTENT).status_code == 200
    return thing


@pytest.mark.parametrize(
    ("header", "status", "content", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-99", 206, CONTENT, "bytes 0-9/10"),
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=5-999999", 206, b"56789", "bytes 5-9/10"),
        ("Bytes = 1 - 2", 206, b"12", "bytes 1-2/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=99999-", 416, None, "bytes */10"),
        ("bytes=3-1", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=-", 416, None, "bytes */10"),
        ("bytes=0-1,3-4", 416, None, "bytes */10"),
        ("bytes=a-b", 416, None, "bytes */10"),
        ("bytes=--1", 416, None, "bytes */10"),
        (f"bytes={'9' * 500}-", 416, None, "bytes */10"),
        (f"bytes={','.join(['0-'] * 500)}", 416, None, "bytes */10"),
        ("items=0-3", 200, CONTENT, None),
        ("garbage", 200, CONTENT, None),
        ("", 200, CONTENT, None),
    ],
    ids=lambda value: ascii(value)[:20],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_range_is_served(served, method, header, status, content, content_range):
    answer = served.get(method=method, range=header)

    assert answer.status_code == status
    assert answer.headers.get("content-range") == content_range
    if content is None:
        assert method == "HEAD" or code(answer) == "InvalidRange"
    else:
        assert answer.content == (content if method == "GET" else b"")
        assert answer.headers["content-length"] == str(len(content))
        assert answer.headers["accept-ranges"] == "bytes"


def test_an_empty_object_has_no_range(thing):
    thing.put(b"")

    for header in ("bytes=0-", "bytes=0-0", "bytes=-1"):
        assert thing.get(range=header).status_code == 416
    assert thing.get().content == b""


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        (lambda info: info["etag"], 206),
        (lambda info: info["last-modified"], 206),
        (lambda info: '"other"', 200),
        (lambda info: "W/" + info["etag"], 200),
        (lambda info: formatdate(0, usegmt=True), 200),
        (lambda info: "garbage", 200),
    ],
    ids=["etag", "date", "other etag", "weak etag", "old date", "garbage"],
)
def test_a_download_goes_on_only_with_the_same_bytes(served, condition, status):
    answer = served.get(range="bytes=4-", **{"if-range": condition(served.get().headers)})

    assert answer.status_code == status
    assert answer.content == (CONTENT[4:] if status == 206 else CONTENT)


@pytest.mark.parametrize(
    ("name", "condition", "status"),
    [
        ("if-none-match", lambda info: info["etag"], 304),
        ("if-none-match", lambda info: f'"other", {info["etag"]}', 304),
        ("if-none-match", lambda info: "W/" + info["etag"], 304),
        ("if-none-match", lambda info: "*", 304),
        ("if-none-match", lambda info: '"other"', 200),
        ("if-none-match", lambda info: "garbage", 200),
        ("if-modified-since", lambda info: info["last-modified"], 304),
        ("if-modified-since", lambda info: formatdate(0, usegmt=True), 200),
        ("if-modified-since", lambda info: "garbage", 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_has_not_changed_is_not_sent_again(served, method, name, condition, status):
    info = served.get().headers

    answer = served.get(method=method, **{name: condition(info)})

    assert answer.status_code == status
    assert answer.content == (CONTENT if (status, method) == (200, "GET") else b"")
    assert answer.headers["etag"] == info["etag"]
    assert answer.headers["expires"] == info["expires"]


@pytest.mark.parametrize(
    ("query", "disposition"),
    [
        ("", None),
        ("&download", "attachment;"),
        ("&download=", "attachment;"),
        ("&download=my%20file.pdf", "attachment; filename=my%20file.pdf; filename*=UTF-8''my%20file.pdf"),
        (
            "&download=gu%C3%ADa%F0%9F%A6%86.pdf",
            "attachment; filename=gu%C3%ADa%F0%9F%A6%86.pdf; filename*=UTF-8''gu%C3%ADa%F0%9F%A6%86.pdf",
        ),
        (
            "&download=a%0d%0aX-Evil:%201",
            "attachment; filename=a%0D%0AX-Evil%3A%201; filename*=UTF-8''a%0D%0AX-Evil%3A%201",
        ),
        ('&download=%22;x="', "attachment; filename=%22%3Bx%3D%22; filename*=UTF-8''%22%3Bx%3D%22"),
        ("&download=%00", "attachment; filename=%00; filename*=UTF-8''%00"),
        (
            "&download=..%2F..%2Fetc%2Fpasswd",
            "attachment; filename=..%2F..%2Fetc%2Fpasswd; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd",
        ),
        ("&download=%FF", "attachment; filename=%EF%BF%BD; filename*=UTF-8''%EF%BF%BD"),
    ],
)
def test_a_download_has_its_name_and_nothing_else(served, query, disposition):
    answer = served.get(query)

    assert answer.content == CONTENT
    assert answer.headers.get("content-disposition") == disposition
    assert "x-evil" not in answer.headers


def test_head_and_refusals_leave_the_connection_in_order(served):
    """A body where none belongs would be read as the next answer."""
    missing = Object(served.server)
    connection = http.client.HTTPConnection("127.0.0.1", served.server.port, timeout=60)
    etag = served.get().headers["etag"]
    asked: list[tuple[str, str, dict[str, str], int]] = [
        ("HEAD", served.get_path, {}, 200),
        ("HEAD", missing.get_path, {}, 400),
        ("HEAD", "/storage/v1/nowhere", {}, 404),
        ("HEAD", served.get_path, {"Range": "bytes=99-"}, 416),
        ("GET", served.get_path, {"If-None-Match": etag}, 304),
        ("OPTIONS", served.put_path, {}, 200),
        ("GET", served.get_path, {"Range": "bytes=2-3"}, 206),
    ]
    try:
        for method, path, headers, status in asked * 2:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == status
        assert body == b"23"
    finally:
        connection.close()


def test_a_download_that_is_given_up_keeps_nothing_open(served, server):
    large = Object(server)
    assert large.put(bytes(20 * MIB)).status_code == 200
    for _ in range(8):
        with Wire(server) as wire:
            wire.request(large.get_path, method="GET")
            wire.socket.recv(1000)

    path = str(server.media / large.bucket / large.key)
    workers = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    if workers.exists():  # Linux

        def is_closed() -> bool:
            opened = [
                os.readlink(link)
                for worker in workers.read_text().split()
                for link in Path(f"/proc/{worker}/fd").iterdir()
                if link.is_symlink()
            ]
            return path not in opened

        assert eventually(is_closed)
    assert served.get().content == CONTENT


# --- The rest of a hostile browser's day ----------------------------------------------------------------


def test_a_page_in_a_public_bucket_is_text_and_may_do_nothing(server):
    page = Object(server, "species", f"live/{secrets.token_hex(8)}.html")
    placed = server.media / "species" / page.key  # by hand: the bucket takes pictures only
    placed.parent.mkdir(parents=True, exist_ok=True)
    placed.write_bytes(b"<script>alert(1)</script>")

    public = httpx.get(f"{server.url}/storage/v1/object/public/species/{page.key}")

    for answer in (public, page.get()):
        assert answer.headers["content-type"] == "text/plain"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "sandbox"
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("verb", ["upload/sign", "sign", "public", "nowhere"])
def test_a_browser_may_ask_before_it_sends(served, verb):
    answer = httpx.options(
        f"{served.server.url}/storage/v1/object/{verb}/uploads/{served.key}",
        headers={
            "origin": "https://app.example",
            "access-control-request-method": "PUT",
            "access-control-request-headers": "content-type,x-upsert",
        },
    )

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "x-upsert" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize(
    "path", ["/storage/v1/nowhere", "/storage/v1/render/image/public/a/b", "/storage/v1/../v1/x"]
)
def test_an_unknown_route_is_told_without_its_query(served, path):
    answer = httpx.get(f"{served.server.url}{path}?token={served.token}")

    assert (answer.status_code, code(answer)) == (404, "InvalidRequest")
    assert served.token not in answer.text


def test_a_post_to_the_signed_url_is_refused(thing):
    answer = httpx.post(
        thing.server.url + thing.put_path, content=PDF, headers={"content-type": "application/pdf"}
    )

    assert (answer.status_code, code(answer)) == (400, "InvalidRequest")
    assert thing.token not in answer.text
    assert thing.is_missing()


@pytest.mark.parametrize(
    "path",
    [
        "/storage/v1/object/public/species/../../../../../../etc/passwd",
        "/storage/v1/object/public/species/%2e%2e/%2e%2e/db.sqlite3",
        "/storage/v1/object/public/species/..%5c..%5cdb.sqlite3",
        "/storage/v1/object/public/species//etc/passwd",
        "/storage/v1/object/public/species/a%00.jpg",
        "/storage/v1/object/public/%2e%2e/db.sqlite3",
        "/storage/v1/object/public/.objects/locks/00",
        "/storage/v1/object/public/uploads/x.pdf",
        "/storage/v1/object/public/species/\xff\xfe",
        "/storage/v1/object/public/species/" + "x/" * 2000,
    ],
    ids=lambda path: ascii(path[27:60]),
)
def test_no_path_on_the_wire_leads_out_of_its_bucket(server, path):
    """Said on a bare socket: a polite client would tidy it up first."""
    with Wire(server) as wire:
        wire.say(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode("latin-1"))
        status, body = wire.hear("GET")

    assert status in (400, 404)
    assert body["code"] in ("InvalidKey", "NoSuchKey", "NoSuchBucket", "InvalidRequest", "malformed")


def test_no_token_is_in_the_servers_log(thing):
    thing.put()
    thing.get()
    thing.put()
    thing.get("&download=" + thing.token)

    log = thing.server.log.read_text()
    assert thing.key in log
    assert not re.search(r"eyJ[\w-]{10,}\.", log)
