"""deploy/nginx.conf, run by nginx in front of gunicorn with the settings of production."""

import re
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.deploy.main_job import API, PDF, carry, put, ticket
from tests.deploy.nginx import Nginx
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.server import Server

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
SECRETS = {
    "SECRET_KEY": "zK8v!q2LxRw7Tn4Yb9Hc3Jd6Fg1Ms5PaEoUiQtZkXyVbNmWe",
    "SUPABASE_JWT_SECRET": "f3a9c1d47e5b60829bd1e4f7a2c58360d94be17f",
}
LIES = {
    "X-Forwarded-For": "6.6.6.6",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example.org",
    "X-Forwarded-Port": "81",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Protocol": "http",
    "X-Forwarded-Scheme": "http",
    "X-Forwarded-Server": "evil.example.org",
    "X-Forwarded-Ssl": "off",
    "X-Real-IP": "6.6.6.6",
    "Forwarded": "for=6.6.6.6;proto=http;host=evil.example.org",
}


@pytest.fixture(scope="module")
def site(nginx: None, tmp_path_factory: Any) -> Iterator[tuple[Nginx, Server]]:
    """nginx, and a server that knows its public URL."""
    folder = tmp_path_factory.mktemp("nginx")
    front = Nginx(folder / "nginx", port=0)
    server = Server(
        folder / "server",
        workers=1,
        DEBUG="false",
        THREADS="4",
        ALLOWED_HOSTS="127.0.0.1",
        PUBLIC_URL=front.url,
        SUPABASE_URL=front.url,
        DOCUMENT_MAX_BYTES=str(100 * MIB),
        STORAGE_FILE_SIZE_LIMIT=str(100 * MIB),
        **SECRETS,
    )
    front.upstream = server.port
    with server, front:
        yield front, server


@pytest.fixture(scope="module")
def front(site: tuple[Nginx, Server]) -> Nginx:
    return site[0]


@pytest.fixture(scope="module")
def stranger(front: Nginx) -> Iterator[httpx.Client]:
    with front.client() as client:
        yield client


@pytest.fixture(scope="module")
def alice(site: tuple[Nginx, Server]) -> Iterator[httpx.Client]:
    front, server = site
    with front.client(server.token("alice@example.org")) as client:
        yield client


def test_the_main_job_over_tls_and_http_2(alice: httpx.Client, stranger: httpx.Client, front: Nginx):
    issued = carry(alice, stranger)

    assert issued["url"].startswith(f"{front.url}/storage/v1/")
    assert issued["complete_url"].startswith(f"{front.url}/api/v1/")
    assert stranger.get("/livez").http_version == "HTTP/2"
    with front.client(http2=False) as old:
        assert old.get("/livez").http_version == "HTTP/1.1"


def test_a_file_in_parts(alice: httpx.Client, stranger: httpx.Client, front: Nginx):
    """TUS: the first part is cut off, and the client goes on where the server is."""
    carry(alice, stranger, PDF * 100, send=send_in_parts)


def send_in_parts(stranger: httpx.Client, issued: dict[str, Any], content: bytes, size: int) -> None:
    resumable = issued["resumable"]
    pairs = (f"{name} {b64encode(value.encode()).decode()}" for name, value in resumable["metadata"].items())
    headers = {**resumable["headers"], "tus-resumable": "1.0.0"}
    announced = {**headers, "upload-length": str(size), "upload-metadata": ",".join(pairs)}
    location = stranger.post(resumable["endpoint"], headers=announced).raise_for_status().headers["location"]
    assert location.startswith(issued["url"].partition("/storage/")[0])
    middle = size // 2
    for offset, part in ((0, content[:middle]), (middle, content[middle:])):
        assert stranger.head(location, headers=headers).headers["upload-offset"] == str(offset)
        sent = {**headers, "upload-offset": str(offset), "content-type": "application/offset+octet-stream"}
        stranger.patch(location, content=part, headers=sent).raise_for_status()


def test_a_large_body_streams(alice: httpx.Client, front: Nginx, site: tuple[Nginx, Server]):
    """The store has most of it before the client has sent the rest. nginx keeps none of it."""
    size, block = 60 * MIB, PDF.ljust(MIB)
    document, issued = ticket(alice, size)
    before, seen = front.peak_memory(), []

    def body() -> Iterator[bytes]:
        for number in range(60):
            if number == 40:
                seen.append(wait_for_bytes(site[1].media, 30 * MIB))
                assert not [path for path in front.bodies.rglob("*") if path.is_file()]
            yield block

    with front.client(http2=False) as stranger:
        put(stranger, issued, body(), size)

    assert len(seen) == 1
    assert front.peak_memory() - before < 4 * MIB
    alice.post(issued["complete_url"]).raise_for_status()
    assert alice.get(f"{API}/documents/{document['id']}/").json()["file"]["size"] == size


def wait_for_bytes(folder: Path, number: int) -> int:
    """Wait until the files of the folder have so many bytes together, and return how many they have."""
    for _ in range(300):
        if (total := sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())) >= number:
            return total
        time.sleep(0.05)
    raise AssertionError(f"only {total} bytes have arrived")


def test_slow_clients_do_not_reach_gunicorn(front: Nginx, stranger: httpx.Client):
    """Half of them send a head that does not end, half a body."""
    heads = [f"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: {number}" for number in range(25)]
    bodies = [
        f"POST {API}/documents/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: 100000\r\n\r\n{{{number}"
        for number in range(25)
    ]
    dripping = [open_connection(front) for _ in range(50)]
    try:
        for connection, text in zip(dripping, heads + bodies, strict=True):
            connection.sendall(text.encode())
        for _ in range(3):
            for connection in dripping:
                connection.sendall(b" ")
            assert stranger.get("/livez").status_code == 200
        assert front.connections_upstream() < 5
        for connection in dripping:
            connection.setblocking(False)
            with pytest.raises(ssl.SSLWantReadError):  # still open, and not answered
                connection.recv(1)
    finally:
        for connection in dripping:
            connection.close()


def open_connection(front: Nginx) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", front.port), timeout=10))


def test_too_many_requests_of_one_address(nginx: None, tmp_path: Path):
    """A hundred at once; the others are answered like every problem."""
    body = f"POST {API}/documents/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\n{{"
    with Nginx(tmp_path, free_port()) as alone, alone.client() as client:
        dripping = [open_connection(alone) for _ in range(100)]
        for connection in dripping:
            connection.sendall(body.encode())
        for _ in range(100):  # until all have been read
            answer = client.get("/livez")
            if answer.status_code == 429:
                break
            time.sleep(0.05)
        for connection in dripping:
            connection.close()

    assert problem(answer) == (429, "throttled")
    assert answer.headers["retry-after"] == "5"


# --- Clients that lie ---------------------------------------------------------------------------------


def test_what_a_client_says_about_itself_does_not_reach_gunicorn(
    front: Nginx, site: tuple[Nginx, Server], tmp_path: Path
):
    with Proxy(site[1].url) as recorder:
        port = int(recorder.url.rpartition(":")[2])
        with Nginx(tmp_path, port) as lied_to, lied_to.client() as client:
            for path in ("/livez", "/storage/v1/status", "/static/none.css"):
                client.get(path, headers=LIES)

    assert len(recorder.asked) == 3
    for _, _, headers in recorder.asked:
        received = {name.lower(): value for name, value in headers.items()}
        told = {name.lower(): received.get(name.lower()) for name in LIES}
        assert told.pop("x-forwarded-for") == "127.0.0.1"
        assert told.pop("x-forwarded-proto") == "https"
        assert set(told.values()) == {None}


def test_urls_and_logs_do_not_repeat_a_lie(alice: httpx.Client, front: Nginx):
    created = alice.post(f"{API}/documents/", json={"title": "Plan"}, headers=LIES).raise_for_status()
    listed = alice.get(f"{API}/documents/?page_size=1", headers=LIES).raise_for_status()

    for answer in (created, listed):
        text = answer.text + str(answer.headers)
        assert "evil" not in text
        assert "6.6.6.6" not in text
        assert "http://" not in text
    assert created.headers["location"].startswith(f"{front.url}/api/v1/")
    assert {line.split()[0] for line in front.access_log.read_text().splitlines()} == {"127.0.0.1"}


def test_another_address_in_each_login_is_one_client(front: Nginx):
    """The admin counts wrong passwords by address: ten are allowed."""
    with front.client() as browser:
        form = browser.get("/admin/login/").text
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', form)
        assert token
        statuses = [
            browser.post(
                "/admin/login/",
                data={"username": f"nobody{number}", "password": "wrong", "csrfmiddlewaretoken": token[1]},
                headers={
                    **LIES,
                    "X-Forwarded-For": f"6.6.{number}.6",
                    "Referer": f"{front.url}/admin/login/",
                },
            ).status_code
            for number in range(11)
        ]

    assert statuses == [200] * 10 + [429]


def test_the_host_of_a_redirect_is_not_the_clients(front: Nginx):
    answer = httpx.get(f"{front.plain_url}/admin/?a=b", headers={"Host": "evil.example.org"})

    assert (answer.status_code, answer.headers["location"]) == (301, "https://api.zoo.example.org/admin/?a=b")


# --- What nginx answers itself ------------------------------------------------------------------------


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["access-control-allow-origin"] == "*"
    body = answer.json()
    assert body.keys() == {"type", "title", "status", "detail", "code", "errors"}
    assert body["status"] == answer.status_code
    return answer.status_code, body["code"]


def test_a_body_over_the_limit(front: Nginx):
    with front.client(http2=False) as client:
        assert problem(client.post(f"{API}/documents/", content=b" " * (MIB + 1))) == (413, "too_large")


def test_the_largest_body_reaches_the_api(alice: httpx.Client):
    answer = alice.post(
        f"{API}/documents/", content=b"{}".ljust(MIB), headers={"Content-Type": "application/json"}
    )

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")


def test_a_long_token_reaches_the_api(front: Nginx):
    with front.client("x" * 17_000, http2=False) as client:
        answer = client.get(f"{API}/documents/")

    assert (answer.status_code, answer.json()["code"]) == (431, "token_too_long")


def test_a_header_over_the_limit(front: Nginx):
    with front.client("x" * 40_000, http2=False) as client:
        assert problem(client.get(f"{API}/documents/")) == (431, "too_large")


def test_metrics_are_not_for_clients(front: Nginx):
    """However the path is written. httpx would write it in one way."""
    for path in ("/metrics", "/metrics/", "//metrics", "/%6detrics", "/api/../metrics", "/metrics?a=b"):
        with open_connection(front) as connection:
            connection.sendall(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
            answer = connection.makefile("rb").read()
        assert b" 404 Not Found\r\nServer: nginx\r\n" in answer, path
        assert b'"code":"not_found"' in answer, path
        assert b"X-Request-ID" not in answer, path  # which Django would add


def test_the_api_is_only_for_https(front: Nginx):
    for path in (f"{API}/species/", "/storage/v1/object/public/species/a.webp"):
        assert problem(httpx.get(front.plain_url + path)) == (400, "malformed")


def test_without_gunicorn(nginx: None, tmp_path: Path):
    with Nginx(tmp_path, free_port()) as alone, alone.client() as client:
        answer = client.get("/livez")
        sent = client.put("/storage/v1/object/documents/a.pdf?token=secret", content=b"a")

    assert problem(answer) == problem(sent) == (503, "not_ready")
    assert answer.headers["retry-after"] == "5"
    written = [path.read_text() for path in (tmp_path / "log").iterdir()]
    assert "secret" not in "".join(written)
    assert "/livez" in "".join(written)


# --- What nginx leaves alone --------------------------------------------------------------------------


def test_an_etag_comes_back_as_it_was(alice: httpx.Client):
    created = alice.post(f"{API}/documents/", json={"title": "Plan"}).raise_for_status()
    url = created.headers["location"]

    etag = alice.get(url, headers={"Accept-Encoding": "gzip"}).headers["etag"]
    changed = alice.patch(url, json={"title": "Another plan"}, headers={"If-Match": etag})

    assert etag == created.headers["etag"]
    assert changed.status_code == 200


def test_static_files_are_compressed(stranger: httpx.Client):
    assert stranger.get("/static/admin/css/base.css").headers["content-encoding"] == "gzip"


def test_headers_are_sent_once(stranger: httpx.Client, alice: httpx.Client):
    for answer in (stranger.get("/livez"), alice.get(f"{API}/documents/"), stranger.get("/admin/login/")):
        names = [name for name, _ in answer.headers.multi_items() if name not in ("set-cookie", "vary")]
        assert len(names) == len(set(names))
        assert answer.headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["server"] == "nginx"


def test_no_token_of_a_url_is_logged(alice: httpx.Client, stranger: httpx.Client, front: Nginx):
    issued = carry(alice, stranger)
    stranger.get(f"/storage/v1/object/sign/{'x' * 200}?token={issued['token']}")

    written = "".join(path.read_text() for path in front.access_log.parent.iterdir())

    assert issued["path"] in written
    assert "token=" not in written
