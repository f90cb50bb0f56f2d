"""With ACCEL_REDIRECT nginx sends the files of the local store. Clients cannot tell the difference."""

import grp
import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from django.test import override_settings

from storage import tokens
from tests.deploy.nginx import Nginx
from tests.deploy.test_nginx import SECRETS, open_connection, problem
from tests.support.proxy import Fault, Proxy
from tests.support.server import Server

pytestmark = pytest.mark.slow

CONTENT = bytes(range(256)) * 2000
#: The objects, with their types. Some are in folders of the store, since no path can have their key.
OBJECTS = {
    "plain/plan.pdf": "application/pdf",
    "odd/a b&c=d+e;f:g,h@i$j!k'(l)*.bin": "application/octet-stream",
    "odd/what?.txt": "text/plain;charset=utf-8",
    "a": "image/png",
    "a/b": "image/png",
    "a//b": "image/png",
    f"long/{'x' * 300}": "video/mp4",
    ".hidden/..data/x..": "application/octet-stream",
    "page.html": "text/html",
}
RANGES = [
    *("bytes=0-9", "bytes=-5", "bytes=500000-", "bytes=7-7", "bytes=0-"),
    *("bytes=9-999999999", "bytes=-999999999", "bytes = 0 - 9", "BYTES=0-9", "bytes=0-1,5-6"),
    *("bytes=9-3", "bytes=999999999-", "bytes=-0", "bytes=", "items=0-9"),
]


@pytest.fixture(scope="module")
def fronts(nginx: None, tmp_path_factory: Any) -> Iterator[tuple[Nginx, Nginx, Server]]:
    """nginx that passes files on, nginx that sends the same files, and the server behind the second."""
    folder = tmp_path_factory.mktemp("accel")
    environment = {
        "DEBUG": "false",
        "ALLOWED_HOSTS": "127.0.0.1",
        "MEDIA_ROOT": str(folder / "media"),
        **SECRETS,
    }
    passing = Server(folder / "passing", workers=1, **environment)
    naming = Server(folder / "naming", workers=1, ACCEL_REDIRECT="/internal-objects/", **environment)
    first = Nginx(folder / "first", passing.port, folder / "media")
    second = Nginx(folder / "second", naming.port, folder / "media")
    with passing, naming, first, second:
        yield first, second, naming


@pytest.fixture(scope="module")
def clients(fronts: tuple[Nginx, Nginx, Server], settings_of_signing: None) -> Iterator[list[httpx.Client]]:
    first, second, server = fronts
    with first.client(http2=False) as one, second.client(http2=False) as other:
        headers = {"Authorization": f"Bearer {server.service_key()}"}
        for name in ("private", "public"):
            one.post("/storage/v1/bucket", json={"name": name, "public": name == "public"}, headers=headers)
            for key, kind in OBJECTS.items():
                sent = {**headers, "Content-Type": kind, "Cache-Control": "max-age=3600"}
                url = f"/storage/v1/object/{name}/{quote(key)}"
                one.post(url, content=CONTENT, headers=sent).raise_for_status()
            empty = f"/storage/v1/object/{name}/empty"
            one.post(empty, content=b"", headers={**headers, "Content-Type": "image/gif"}).raise_for_status()
        yield [one, other]


@pytest.fixture(scope="module")
def settings_of_signing() -> Iterator[None]:
    with override_settings(SUPABASE_JWT_SECRET=SECRETS["SUPABASE_JWT_SECRET"]):
        yield


def signed(key: str) -> str:
    return (
        f"/storage/v1/object/sign/private/{quote(key)}?token={tokens.mint('download', 'private', key, 3600)}"
    )


def public(key: str) -> str:
    return f"/storage/v1/object/public/public/{quote(key)}"


def answers(clients: list[httpx.Client], url: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Return the answer of the second nginx, which must be that of the first."""
    one, other = (client.request(method, url, headers=headers) for client in clients)
    assert seen(other) == seen(one)
    return other


def seen(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    assert len(answer.headers) == len(answer.headers.multi_items())
    headers = {name: value for name, value in answer.headers.items() if name not in ("date", "x-request-id")}
    assert bool(answer.headers["x-request-id"])
    assert not [name for name in headers if name.startswith(("x-accel", "x-file"))]
    return answer.status_code, headers, answer.content


@pytest.mark.parametrize("key", [*OBJECTS, "empty", "missing"])
@pytest.mark.parametrize("url", [signed, public])
def test_every_key(clients: list[httpx.Client], url: Any, key: str):
    whole = answers(clients, url(key))
    head = answers(clients, url(key), "HEAD")

    if key in OBJECTS:
        assert (whole.status_code, whole.content) == (200, CONTENT)
        assert whole.headers["content-length"] == head.headers["content-length"] == str(len(CONTENT))
        assert whole.headers["etag"] == head.headers["etag"]
        assert answers(clients, url(key), Range="bytes=10-19").content == CONTENT[10:20]


@pytest.mark.parametrize("byte_range", RANGES)
def test_every_range(clients: list[httpx.Client], byte_range: str):
    for method in ("GET", "HEAD"):
        answers(clients, signed("plain/plan.pdf"), method, Range=byte_range)
        answers(clients, signed("empty"), method, Range=byte_range)


def test_a_range_is_partial_content(clients: list[httpx.Client]):
    answer = answers(clients, public("plain/plan.pdf"), Range="bytes=0-9")

    assert (answer.status_code, answer.headers["content-range"]) == (206, f"bytes 0-9/{len(CONTENT)}")


@pytest.mark.parametrize("name", ["", "plan.pdf", 'guía "2".pdf', "a\r\nb"])
def test_the_name_of_a_download(clients: list[httpx.Client], name: str):
    answer = answers(clients, f"{signed('plain/plan.pdf')}&download={quote(name)}")

    assert answer.headers["content-disposition"].startswith("attachment;")


def test_conditions(clients: list[httpx.Client]):
    url = signed("plain/plan.pdf")
    found = answers(clients, url).headers
    tags = [found["etag"], f"W/{found['etag']}", '"other"', f'"other", {found["etag"]}', "*", "not a tag"]
    times = [
        found["last-modified"],
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Fri, 01 Jan 2100 00:00:00 GMT",
        "never",
    ]
    statuses = set()
    for name in ("If-None-Match", "If-Match"):
        statuses |= {answers(clients, url, **{name: tag}).status_code for tag in tags}
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        statuses |= {answers(clients, url, **{name: time}).status_code for time in times}
    for value in [*tags, *times]:
        statuses.add(answers(clients, url, **{"If-Range": value, "Range": "bytes=5-9"}).status_code)
        answers(clients, url, **{"If-None-Match": value, "If-Modified-Since": times[0], "Range": "bytes=5-9"})

    assert statuses == {200, 206, 304, 412}


def test_nginx_sends_the_file(clients: list[httpx.Client], fronts: tuple[Nginx, Nginx, Server]):
    """gunicorn only names it."""
    answer = httpx.get(fronts[2].url + public("odd/what?.txt"))

    assert answer.content == b""
    assert answer.headers["x-accel-redirect"] == "/internal-objects/public/odd/what%3F.txt"


def test_no_client_reaches_the_internal_location(
    clients: list[httpx.Client], fronts: tuple[Nginx, Nginx, Server]
):
    for path in (
        *("/internal-objects/private/plain/plan.pdf", "//internal-objects/private/plain/plan.pdf"),
        *("/storage/v1/../../internal-objects/private/plain/plan.pdf", "/internal-objects/.objects/"),
        *("/%69nternal-objects/private/plain/plan.pdf", "/internal-objects/../media/private/plain/plan.pdf"),
    ):
        with open_connection(fronts[1]) as connection:
            connection.sendall(
                f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nX-Accel-Redirect: {path}\r\n\r\n".encode()
            )
            answer = connection.makefile("rb").read()
        assert b" 404 Not Found\r\n" in answer, path
        assert len(answer) < 2000


def test_a_file_that_nginx_may_not_read(
    fronts: tuple[Nginx, Nginx, Server], clients: list[httpx.Client], tmp_path: Path
):
    """That is a fault of the server, not of the client, who may try again."""
    path = fronts[1].media / "public" / "plain" / "secret.pdf"
    shutil.copy(path.with_name("plan.pdf"), path)
    path.chmod(0)
    front = Nginx(tmp_path, fronts[2].port, fronts[1].media)
    if os.getuid() == 0:
        front.user = f"nobody {grp.getgrgid(pwd.getpwnam('nobody').pw_gid).gr_name}"
    with front, front.client(http2=False) as client:
        assert problem(client.get(public("plain/secret.pdf"))) == (503, "not_ready")


def test_a_file_that_was_replaced_in_between(
    fronts: tuple[Nginx, Nginx, Server], clients: list[httpx.Client], tmp_path: Path
):
    """It does not get the ETag of the file before. Nor is a part of it sent to who has a part of that."""
    path = fronts[1].media / "public" / "plain" / "replaced.pdf"

    def replace() -> None:
        (tmp_path / "new").write_bytes(b"new")
        os.replace(tmp_path / "new", path)

    with ExitStack() as stack:
        between = stack.enter_context(Proxy(fronts[2].url, lambda *_: Fault(after=replace)))
        port = int(between.url.rpartition(":")[2])
        front = stack.enter_context(Nginx(tmp_path / "nginx", port, fronts[1].media))
        client = stack.enter_context(front.client(http2=False))
        for byte_range in ("", "bytes=0-1"):
            shutil.copy(path.with_name("plan.pdf"), path)
            etag = clients[0].get(public("plain/replaced.pdf")).headers["etag"]
            headers = {"Range": byte_range, "If-Range": etag} if byte_range else {}
            answer = client.get(public("plain/replaced.pdf"), headers=headers)
            assert (answer.status_code, answer.content) == (200, b"new")
            assert "etag" not in answer.headers
