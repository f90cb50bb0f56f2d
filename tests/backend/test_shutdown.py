"""A server that is stopped loses nothing: uploads, completions and the sweep end, or can be repeated."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.cast import PDF, announcement
from tests.support.server import ROOT, Server

pytestmark = pytest.mark.slow

SIZE = 4 * 1024 * 1024
LARGE = PDF + b"%" * (SIZE - len(PDF))
IMPATIENT = {"GUNICORN_CMD_ARGS": "--graceful-timeout 1"}  # seconds, instead of 30


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path, workers=1) as running:
        yield running


class Member:
    """Alice with a ticket for a document."""

    def __init__(self, server: Server, content: bytes = PDF) -> None:
        self.server, self.content = server, content
        document = self.client.post("/api/v1/documents/", json={"title": "Plan"}).json()
        self.path = f"/api/v1/documents/{document['id']}/"
        self.ticket = self.client.post(f"{self.path}upload-url/", json=announcement(content)).json()

    @property
    def client(self) -> httpx.Client:
        return self.server.client("alice@example.org")

    def send(self) -> int:
        headers = self.ticket["headers"]
        return httpx.put(self.ticket["url"], content=self.content, headers=headers, verify=False).status_code

    def complete(self) -> httpx.Response:
        return self.client.post(urlsplit(self.ticket["complete_url"]).path)

    def downloads(self) -> bytes:
        url = self.client.get(f"{self.path}download-url/").json()["url"]
        return httpx.get(url, verify=False).content


def start_sending(member: Member) -> socket.socket:
    """Send the head and half of the body."""
    url = urlsplit(member.ticket["url"])
    head = [f"PUT {url.path}?{url.query} HTTP/1.1", f"Host: {url.netloc}", f"Content-Length: {len(LARGE)}"]
    head += [f"{name}: {value}" for name, value in member.ticket["headers"].items()]
    connection = socket.create_connection((url.hostname, url.port), timeout=20)
    connection.sendall("\r\n".join([*head, "", ""]).encode() + LARGE[: SIZE // 2])
    time.sleep(0.5)
    return connection


def restart(server: Server) -> None:
    server.process.wait(timeout=30)
    server.start()


def test_an_upload_that_is_under_way_ends(server: Server):
    member = Member(server, LARGE)
    with start_sending(member) as connection:
        server.process.terminate()
        time.sleep(1)
        connection.sendall(LARGE[SIZE // 2 :])
        assert b" 200 " in connection.recv(100)
    assert server.process.wait(timeout=30) == 0

    restart(server)
    assert member.complete().status_code == 200
    assert member.downloads() == LARGE


def test_an_upload_that_takes_too_long_can_be_sent_again(tmp_path: Path):
    with Server(tmp_path, workers=1, **IMPATIENT) as server:
        member = Member(server, LARGE)
        with start_sending(member):
            server.process.terminate()
            restart(server)
        assert member.complete().json()["code"] == "object_missing"  # nothing is half-recorded

        assert member.send() == 200
        assert member.complete().status_code == 200
        assert member.downloads() == LARGE
        server.manage("reconcile_storage")  # it would fail if rows and objects differed


def test_a_completion_that_is_under_way_ends(tmp_path: Path):
    slowly = {"UPLOAD_SCANNER": "tests.support.scanners.scan_slowly"}
    with Server(tmp_path, workers=1, **slowly) as server, ThreadPoolExecutor() as pool:
        member = Member(server)
        assert member.send() == 200
        answer = pool.submit(member.complete)
        time.sleep(1)
        server.process.terminate()

        assert answer.result().status_code == 200
        restart(server)
        assert member.downloads() == PDF


def test_a_completion_that_is_cut_off_is_done_by_the_next_call_or_the_sweep(tmp_path: Path):
    slowly = {"UPLOAD_SCANNER": "tests.support.scanners.scan_slowly"}
    with Server(tmp_path, workers=1, **slowly, **IMPATIENT) as server, ThreadPoolExecutor() as pool:
        members = [Member(server), Member(server)]
        answers = []
        for member in members:
            assert member.send() == 200
            answers.append(pool.submit(member.complete))
        time.sleep(1)
        server.kill()
        for answer in answers:
            with pytest.raises(httpx.HTTPError):
                answer.result()
        server.start()

        assert members[0].complete().status_code == 200
        for _ in range(20):  # the lease ends after eight seconds
            server.manage("sweep")
            if server.client("alice@example.org").get(f"{members[1].path}").json()["file"]:
                break
            time.sleep(1)
        assert [member.downloads() for member in members] == [PDF, PDF]
        server.manage("reconcile_storage")  # it would fail if rows and objects differed


def test_the_sweep_ends_its_task_and_the_next_one_does_the_rest(tmp_path: Path):
    slowly = {"UPLOAD_SCANNER": "tests.support.scanners.scan_slowly"}
    with Server(tmp_path, workers=1, **slowly) as server:
        members = [Member(server) for _ in range(3)]
        assert [member.send() for member in members] == [200] * 3
        command = [sys.executable, "manage.py", "sweep", "--every", "60"]
        with subprocess.Popen(command, cwd=ROOT, env=server.environment, stderr=subprocess.DEVNULL) as sweep:
            client = server.client("alice@example.org")
            for _ in range(100):
                if any(
                    each["state"] == "verifying" for each in client.get("/api/v1/uploads/").json()["results"]
                ):
                    break
                time.sleep(0.1)
            sweep.send_signal(signal.SIGTERM)
            assert sweep.wait(timeout=20) == 0

        states = sorted(each["state"] for each in client.get("/api/v1/uploads/").json()["results"])
        assert states == ["completed", "pending", "pending"]
        server.manage("sweep")
        assert [member.downloads() for member in members] == [PDF] * 3


def test_the_server_waits_for_its_sweep(tmp_path: Path):
    """In a container, all processes are killed when the first one ends."""
    settings = {"UPLOAD_SCANNER": "tests.support.scanners.scan_slowly", "SWEEP_EVERY": "1"}
    with Server(tmp_path, workers=1, **settings) as server:
        member = Member(server)
        assert member.send() == 200
        client = server.client("alice@example.org")
        for _ in range(100):
            if client.get("/api/v1/uploads/").json()["results"][0]["state"] == "verifying":
                break
            time.sleep(0.1)
        server.process.terminate()
        assert server.process.wait(timeout=30) == 0
        with suppress(ProcessLookupError):
            server.kill()

        server.environment["SWEEP_EVERY"] = "0"
        server.start()
        assert member.downloads() == PDF
