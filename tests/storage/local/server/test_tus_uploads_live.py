"""Resumable uploads over a real server and real sockets: cut off, killed, and by several processes."""

import http.client
import json
import os
import secrets
import socket
import struct
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.core.files import locks

from storage import tokens
from storage.local.server.request_body import RAW_CHUNK_SIZE
from tests.support.server import Server

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
BYTES = "application/offset+octet-stream"


class Upload:
    """One upload to the running server, by a token for its object."""

    endpoint = "/sign"

    def __init__(self, server: Server, length: int, key: str = "", bucket: str = "uploads") -> None:
        self.server, self.bucket, self.key = server, bucket, key or f"live/{secrets.token_hex(8)}.pdf"
        self.headers = {"tus-resumable": "1.0.0", **self.show()}
        told = {"bucketName": bucket, "objectName": self.key, "contentType": "application/pdf"}
        metadata = ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in told.items())
        self.created = httpx.post(
            f"{server.url}/storage/v1/upload/resumable{self.endpoint}",
            headers={**self.headers, "upload-length": str(length), "upload-metadata": metadata},
        )
        self.url = self.created.headers.get("location", "")

    def show(self) -> dict[str, str]:
        return {"x-signature": tokens.mint("upload", self.bucket, self.key, 600)}

    def head(self) -> httpx.Response:
        return httpx.head(self.url, headers=self.headers, timeout=60)

    @property
    def offset(self) -> int:
        return int(self.head().headers["upload-offset"])

    def patch(self, content: bytes | Iterator[bytes], offset: int) -> httpx.Response:
        """Chunked when `content` is an iterator."""
        told = {**self.headers, "upload-offset": str(offset), "content-type": BYTES}
        return httpx.patch(self.url, content=content, headers=told, timeout=60)

    def begin(self, *body: bytes, offset: int = 0, framing: str) -> socket.socket:
        """A PATCH whose end is yet to come."""
        lines = [
            f"PATCH {urlsplit(self.url).path} HTTP/1.1",
            "Host: 127.0.0.1",
            *(f"{name}: {value}" for name, value in self.headers.items()),
            f"Upload-Offset: {offset}",
            f"Content-Type: {BYTES}",
            framing,
        ]
        wire = socket.create_connection(("127.0.0.1", self.server.port), timeout=60)
        wire.sendall("\r\n".join([*lines, "", ""]).encode())
        for piece in body:
            wire.sendall(piece)
        return wire

    @property
    def stored(self) -> bytes | None:
        token = tokens.mint("download", self.bucket, self.key, 60)
        answer = httpx.get(
            f"{self.server.url}/storage/v1/object/sign/{self.bucket}/{self.key}?token={token}", timeout=60
        )
        if answer.is_error:
            assert answer.json()["code"] == "NoSuchKey"
            assert not (self.server.media / self.bucket / self.key).exists()
            return None
        return answer.content


class ByService(Upload):
    """With the service key, of which an object may have several."""

    endpoint = ""

    def show(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.server.service_key()}"}


def eventually(holds: Callable[[], Any]) -> bool:
    for _ in range(500):
        if holds():
            return True
        time.sleep(0.02)
    return False


def known(server: Server) -> list[Path]:
    return list((server.media / ".objects" / "parts").glob("*/*"))


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def test_what_goes_up_in_parts_comes_back_whole(server):
    """Each request on a connection of its own, to whichever process takes it."""
    content = os.urandom(3 * MIB + 1)
    upload = Upload(server, len(content))

    for start in range(0, len(content), MIB):
        part = content[start : start + MIB]
        answer = upload.patch(iter([part[:1000], part[1000:]]) if start % (2 * MIB) else part, start)
        assert (answer.status_code, answer.content) == (204, b"")

    assert answer.headers["tus-complete"] == "1"
    assert upload.stored == content
    assert upload.offset == len(content)


@pytest.mark.parametrize("framing", ["Content-Length: 2097152", "Transfer-Encoding: chunked"])
@pytest.mark.parametrize("end", ["in order", "by a reset"])
def test_a_connection_that_breaks_keeps_what_arrived(server, framing, end):
    content = os.urandom(2 * MIB)
    upload = Upload(server, len(content))
    sent = MIB + 50_001
    first = content[:sent] if "Length" in framing else chunk(content[:sent])

    wire = upload.begin(first, framing=framing)
    assert eventually(lambda: upload.offset > sent - RAW_CHUNK_SIZE)
    if end == "by a reset":
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()

    assert eventually(lambda: not is_written(upload))
    assert sent - RAW_CHUNK_SIZE < upload.offset <= sent
    assert upload.stored is None
    offset = upload.offset
    assert upload.patch(content[offset:], offset).status_code == 204
    assert upload.stored == content


def is_written(upload: Upload) -> bool:
    """Whether somebody holds its lock."""
    (folder,) = (
        path
        for path in known(upload.server)
        if json.loads((path / "record.json").read_text())["key"] == upload.key
    )
    with (folder / "lock").open("r+b") as file:
        return not locks.lock(file, locks.LOCK_EX | locks.LOCK_NB)


def test_of_parallel_uploads_of_one_object_one_succeeds(server):
    """Six connections, two processes."""
    key = f"live/{secrets.token_hex(8)}.pdf"
    many = [ByService(server, 100_001, key) for _ in range(6)]
    contents = [bytes([number]) * 100_001 for number in range(6)]
    ready = Barrier(6)

    def send(number: int) -> int:
        assert many[number].patch(contents[number][:100_000], 0).status_code == 204
        ready.wait(timeout=60)
        return many[number].patch(contents[number][100_000:], 100_000).status_code

    with ThreadPoolExecutor(6) as threads:
        statuses = list(threads.map(send, range(6)))

    assert sorted(statuses) == [204] + [409] * 5
    assert many[0].stored == contents[statuses.index(204)]
    assert sorted(upload.head().status_code for upload in many) == [200] + [404] * 5
    assert Upload(server, 5, key).created.status_code == 409


@pytest.mark.slow
def test_while_one_writes_another_is_told_to_wait(server):
    upload = Upload(server, 2 * MIB)
    with upload.begin(bytes(MIB), framing=f"Content-Length: {2 * MIB}") as wire:
        assert eventually(lambda: upload.offset == MIB)
        assert upload.patch(b"otter", MIB).status_code == 423

        wire.sendall(bytes(MIB))
        answer = http.client.HTTPResponse(wire)
        answer.begin()

    assert answer.status == 204
    assert upload.stored == bytes(2 * MIB)


def test_refusals_and_heads_leave_the_connection_in_order(server):
    """A body where none belongs, or one that nobody read, would be taken for the next message."""
    upload = Upload(server, 10)
    path = urlsplit(upload.url).path
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    part = {**upload.headers, "content-type": BYTES}
    asked: list[tuple[str, dict[str, str], bytes, int]] = [
        ("HEAD", upload.headers, b"", 200),
        ("HEAD", {"tus-resumable": "1.0.0"}, b"", 400),
        ("PATCH", {**part, "upload-offset": "3"}, bytes(1000), 409),
        ("PATCH", {**part, "upload-offset": "0"}, bytes(10_000), 413),
        ("PATCH", {"tus-resumable": "1.0.0"}, b"GET / HTTP/1.1\r\n\r\n", 403),
        ("OPTIONS", {}, b"", 204),
        ("HEAD", upload.headers, b"", 200),
    ]
    try:
        for method, headers, body, status in asked * 2:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            assert answer.status == status
            answer.read()
    finally:
        connection.close()
    assert upload.offset == 0


@pytest.mark.slow
@pytest.mark.parametrize("whole", [False, True], ids=["in the middle", "after the last byte"])
@pytest.mark.parametrize("goes_on", ["HEAD", "PATCH"])
def test_a_server_that_is_killed_goes_on_where_it_was(tmp_path, whole, goes_on):
    """After the last byte: all of it is on the disk, and the body has not ended yet."""
    content = os.urandom(2 * MIB)
    with Server(tmp_path, workers=2) as server:
        upload = Upload(server, len(content))
        sent = content if whole else content[:MIB]
        with upload.begin(chunk(sent), framing="Transfer-Encoding: chunked"):
            (folder,) = known(server)
            assert eventually(lambda: (folder / "bytes").stat().st_size == len(sent))
            server.kill()

        server.start()

        assert upload.stored is None
        assert list((server.media / ".objects" / "arriving").glob("*")) == []
        if goes_on == "HEAD":
            assert upload.offset == len(sent)
        if not (whole and goes_on == "HEAD"):
            assert upload.patch(content[len(sent) :], len(sent)).headers["tus-complete"] == "1"
        assert upload.stored == content
        assert sorted(path.name for path in folder.iterdir()) == ["lock", "record.json"]


def test_no_token_is_in_the_servers_log(server):
    upload = Upload(server, 5)
    upload.patch(b"otter", 0)
    upload.patch(b"otter", 0)
    httpx.post(f"{server.url}/storage/v1/upload/resumable/sign", headers=upload.headers)

    assert upload.headers["x-signature"] not in server.log.read_text()
