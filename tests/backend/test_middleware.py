"""However it is asked, the API answers in its own words: problem+json, and the headers that belong to it."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any

import httpx
import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import include, path, re_path
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api import errors
from storage.origins import pattern_regex
from tests.support.cast import Caller, code
from tests.support.server import Server

JSON = "application/json"
DOCUMENTS = "/api/v1/documents/"
MISSING = "01971f6d-1d0a-7c11-9f0e-5b8c2f6f3a10"
SECRET = "the secret of the stack"


# --- Views that fail --------------------------------------------------------------------------------

FAILURES = {
    "runtime": (RuntimeError(SECRET), 500, "internal"),
    "key": (KeyError(SECRET), 500, "internal"),
    "os": (OSError(2, SECRET, "/etc/passwd"), 500, "internal"),
    "recursion": (RecursionError(SECRET), 500, "internal"),
    "404": (Http404(SECRET), 404, "not_found"),
    "403": (PermissionDenied(SECRET), 403, "permission_denied"),
    "400": (SuspiciousOperation(SECRET), 400, "malformed"),
}


def plain(request: HttpRequest, name: str) -> HttpResponse:
    raise FAILURES[name][0]


class Failing(APIView):
    permission_classes = (AllowAny,)

    def get(self, request: Request, name: str) -> Response:
        raise FAILURES[name][0]


class Unrenderable(APIView):
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        return Response({"what": lambda: SECRET})


urlpatterns = [
    path("api/plain/<str:name>", plain),
    path("api/v1/drf/<str:name>", Failing.as_view()),
    path("api/v1/unrenderable", Unrenderable.as_view()),
    path("", include("backend.urls")),
    re_path("", errors.not_found),
]


@pytest.fixture(params=[True, False], ids=["DEBUG", "production"])
def debug(request, settings) -> bool:
    settings.DEBUG = request.param
    return request.param


@pytest.fixture
def visitor() -> Client:
    return Client(enforce_csrf_checks=True, raise_request_exception=False)


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("where", ["/api/plain/", "/api/v1/drf/"])
def test_a_view_that_fails_is_a_problem_that_tells_nothing(
    debug, settings, visitor: Client, where: str, name: str
):
    settings.ROOT_URLCONF = __name__

    answer = visitor.get(f"{where}{name}", headers={"accept": "text/html"})

    assert (answer.status_code, code(answer)) == FAILURES[name][1:]
    assert SECRET not in answer.content.decode()
    assert "Traceback" not in answer.content.decode()
    assert answer.headers["X-Request-ID"]
    assert answer.headers["Cache-Control"] == "no-store"


def test_an_answer_that_cannot_be_written_is_a_problem(debug, settings, visitor: Client):
    settings.ROOT_URLCONF = __name__

    assert code(visitor.get("/api/v1/unrenderable")) == "internal"


# --- Paths and methods ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "where",
    [
        "/nowhere",
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nowhere/",
        "/api/v2/documents/",
        "/api/v1/documents",
        "/api/v1/documents//",
        "//api/v1/documents/",
        f"/api/v1/documents/{MISSING}",
        f"/api/v1/documents/{MISSING}/nowhere/",
        "/API/V1/DOCUMENTS/",
        "/api/v1/documents/../../../etc/passwd",
        "/api/v1/%2e%2e/%2e%2e/settings.py",
        "/api/v1/documents/%00/x/",
        "/api/v1/%ff%fe/",
        "/api/v1/<script>/",
        "/static/../manage.py",
        "/static/nothing.css",
        "/livez/",
        "/favicon.ico",
        "/.env",
        f"/{'a' * 4000}",
    ],
)
def test_a_path_that_is_none_is_404_for_every_method(debug, visitor: Client, where: str):
    for method in ("get", "post", "put", "patch", "delete", "options"):
        answer = getattr(visitor, method)(where, headers={"accept": "text/html"})
        assert answer.status_code == 404
        assert code(answer) == "not_found"
        assert "Location" not in answer.headers
    assert visitor.head(where).status_code == 404


@pytest.mark.parametrize("method", ["get", "post", "patch"])
def test_a_member_gets_no_redirect_to_the_slash_either(debug, alice: Caller, method: str):
    answer = getattr(alice.client, method)("/api/v1/documents", {"title": "x"}, content_type=JSON)

    assert code(answer) == "not_found"
    assert "slash" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "where"),
    [
        ("DELETE", "documents/"),
        ("PUT", "documents/"),
        ("FOO", "documents/"),
        ("TRACE", "documents/"),
        ("POST", f"documents/{MISSING}/"),
        ("GET", f"documents/{MISSING}/upload-url/"),
        ("POST", f"documents/{MISSING}/download-url/"),
        ("GET", f"uploads/{MISSING}/complete/"),
        ("POST", "uploads/"),
        ("PATCH", f"uploads/{MISSING}/"),
        ("POST", "/api/docs/"),
        ("DELETE", "/api/schema/"),
    ],
)
def test_a_method_that_is_not_possible_is_405_with_those_that_are(
    debug, alice: Caller, method: str, where: str
):
    answer = alice.client.generic(method, where if where.startswith("/") else f"/api/v1/{where}")

    assert code(answer) == "method_not_allowed"
    allowed = answer.headers["Allow"].split(", ")
    assert allowed
    assert method not in allowed


@pytest.mark.parametrize(
    "host", ["evil.example.org", "localhost.evil.org", "127.0.0.1:80:80", "a b", "", "é"]
)
def test_a_host_that_is_not_ours_is_refused(debug, visitor: Client, settings, host: str):
    settings.ALLOWED_HOSTS = ["localhost"]

    for where in ("/", "/livez", DOCUMENTS, "/admin/"):
        answer = visitor.get(where, headers={"host": host})
        assert code(answer) == "malformed"
        assert answer.headers["X-Request-ID"]
        assert not host or host not in answer.content.decode()


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/png", "nonsense", "", "*/*;q=0"])
def test_the_answer_is_json_whatever_is_accepted(debug, alice: Caller, accept: str):
    answer = alice.client.get(DOCUMENTS, headers={"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == JSON

    assert code(alice.client.get(f"{DOCUMENTS}{MISSING}/", headers={"accept": accept})) == "not_found"


def test_no_format_is_asked_for_in_the_query(alice: Caller):
    assert code(alice.get("documents/", format="html")) == "invalid"


# --- Bodies -----------------------------------------------------------------------------------------


def send(alice: Caller, body: bytes | str, content_type: str = JSON) -> Any:
    return alice.client.generic("POST", DOCUMENTS, body, content_type=content_type)


@pytest.mark.parametrize(
    "body",
    [
        "{",
        "}",
        '{"title": }',
        '{"title": "x"',
        '{"title": "x"} {"title": "y"}',
        "{'title': 'x'}",
        '{"title": "x",}',
        "title=x",
        " ",
        '{"title": NaN}',
        '{"title": Infinity}',
        '{"title": -Infinity}',
        '{"title": ' + "9" * 5000 + "}",
        "[" * 100_000,
        '{"title":' * 100_000,
        '{"title": ' + "[" * 50_000 + "]" * 50_000 + "}",
        b'{"title": "\xff"}',
        b'{"title": "\xed\xa0\x80"}',
        '{"title": "x"}'.encode("utf-16"),
        '{"title": "x"}'.encode("utf-32"),
        b"\x1f\x8b\x08\x00",
        b"\x00",
        '{"title": "a\nb"}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_no_json_is_malformed(debug, alice: Caller, body: bytes | str):
    answer = send(alice, body)

    assert answer.status_code == 400
    assert code(answer) == "malformed"
    assert alice.get("documents/").json()["count"] == 0


@pytest.mark.parametrize(
    "body",
    [
        "[]",
        '[{"title": "x"}]',
        "null",
        '"title"',
        "1",
        "true",
        "{}",
        '{"title": null}',
        '{"title": ""}',
        '{"title": "   "}',
        '{"title": ["x"]}',
        '{"title": {"x": 1}}',
        '{"title": true}',
        '{"title": "\\u0000"}',
        '{"title": "\\ud800"}',
        json.dumps({"title": "x" * 201}),
        '{"title": "x", "visibility": "public"}',
        '{"title": "x", "visibility": ["private"]}',
        '{"title": "x", "visibility": {}}',
        '{"title": "x", "visibility": "\\ud800"}',
        '{"title": "x", "visibility": null}',
        '{"title": "x", "category": 1e999, "visibility": 1e999}',
        json.dumps({"title": "x", "category": "c" * 51}),
    ],
)
def test_json_of_another_shape_is_invalid(alice: Caller, body: str):
    answer = send(alice, body)

    assert answer.status_code == 400
    assert code(answer) == "invalid"
    for error in answer.json()["errors"]:
        assert error.keys() == {"pointer", "code", "detail"}
        assert error["pointer"].startswith("#")
    assert answer.json()["errors"]


def test_what_a_client_may_not_set_is_left_alone(alice: Caller, bob: Caller):
    document = alice.document(
        id=MISSING, owner=str(bob.id), owner_id=str(bob.id), file="documents/x.pdf", file_facts={"name": "x"}
    )

    assert document["id"] != MISSING
    assert document["owner"]["id"] == str(alice.id)
    assert document["file"] is None


def test_utf8_is_read_with_and_without_its_mark(alice: Caller):
    for body in ('{"title": "Pingüino"}'.encode(), '{"title": "Pingüino"}'.encode("utf-8-sig")):
        assert send(alice, body).json()["title"] == "Pingüino"


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "latin-1", "utf-16", "x-unknown", "", "é"])
def test_json_is_utf8_whatever_charset_is_claimed(alice: Caller, charset: str):
    answer = send(alice, '{"title": "Pingüino"}'.encode(), f"application/json; charset={charset}")

    assert answer.status_code == 201
    assert answer.json()["title"] == "Pingüino"


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "text/html",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/jsonp",
        "application/json-patch+json",
        "json",
        "*/*",
        "",
        ";",
    ],
)
def test_a_body_that_is_not_called_json_is_415(debug, alice: Caller, content_type: str):
    answer = send(alice, '{"title": "x"}', content_type)

    assert answer.status_code == 415
    assert code(answer) == "unsupported_media_type"


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 2_000_000, 3_000_000, 10_000_000])
def test_a_body_over_a_mebibyte_is_413(debug, alice: Caller, size: int):
    padding = " " * (size - len('{"title":"x"}'))

    answer = send(alice, f'{{"title":{padding}"x"}}')

    assert answer.status_code == 413
    assert code(answer) == "too_large"


def test_a_body_of_a_mebibyte_is_read(alice: Caller):
    padding = " " * (1024 * 1024 - len('{"title":"x"}'))

    assert send(alice, f'{{"title":{padding}"x"}}').status_code == 201


class Broken(BytesIO):
    """The body of a client that a server gave up: WSGI does not say how it raises that."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def read(self, size: int | None = -1) -> bytes:
        raise self.error


@pytest.mark.parametrize("path", [DOCUMENTS, "/admin/login/"])
@pytest.mark.parametrize("framing", [{"CONTENT_LENGTH": "9"}, {"HTTP_TRANSFER_ENCODING": "chunked"}], ids=str)
@pytest.mark.parametrize(
    ("error", "status", "expected"),
    [
        (TimeoutError("too slow"), 408, "request_timeout"),
        (ConnectionResetError(), 400, "malformed"),
        (ValueError("not a chunk"), 400, "malformed"),
    ],
    ids=str,
)
def test_a_body_that_does_not_arrive_is_told_apart(
    visitor: Client, path: str, framing: dict[str, str], error: Exception, status: int, expected: str
):
    wsgi = {"wsgi.input": Broken(error), "wsgi.input_terminated": True}

    answer = visitor.post(path, b"x", content_type=JSON, **wsgi, **framing)

    assert (answer.status_code, code(answer)) == (status, expected)


@pytest.mark.parametrize("length", ["9", "x"])
def test_a_body_that_is_not_as_long_as_declared_is_malformed(alice: Caller, length: str):
    answer = alice.client.post(DOCUMENTS, b'{"title": "x"}'[:8], content_type=JSON, CONTENT_LENGTH=length)

    assert (answer.status_code, code(answer)) == (400, "malformed")


# --- Lists ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["0", "-1", "2", "x", "1.5", "9" * 5000, "1e3", "\0", "٣x"])
def test_a_page_that_is_none_is_404(alice: Caller, page: str):
    assert code(alice.get("documents/", page=page)) == "not_found"


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("ordering", "nowhere"),
        ("ordering", "owner__id"),
        ("ordering", "title,nowhere"),
        ("ordering", "-"),
        ("ordering", "file"),
        ("ordering", "title;drop table"),
        ("ordering", "\0"),
        ("owner", "alice"),
        ("owner", "you"),
        ("owner", "1"),
        ("visibility", "public"),
        ("visibility", "\0"),
        ("category", "\0"),
    ],
)
def test_a_filter_that_is_none_is_400(alice: Caller, parameter: str, value: str):
    answer = alice.get("documents/", **{parameter: value})

    assert answer.status_code == 400
    assert code(answer) == "invalid"
    assert answer.json()["errors"][0]["pointer"] == f"#/{parameter}"


@pytest.mark.parametrize("size", ["0", "-1", "101", "x", "1e9", "9" * 5000, "", "\0"])
def test_a_page_size_that_is_none_is_400(alice: Caller, size: str):
    answer = alice.get("documents/", page_size=size)

    assert code(answer) == "invalid"
    assert answer.json()["errors"][0]["pointer"] == "#/page_size"


def test_a_search_for_what_no_text_holds_is_400(alice: Caller):
    assert code(alice.get("documents/", search="\0")) == "invalid"


def test_a_page_holds_at_most_a_hundred(alice: Caller):
    for _ in range(101):
        alice.document()

    assert len(alice.get("documents/", page_size=100).json()["results"]) == 100
    assert len(alice.get("documents/").json()["results"]) == 25


def test_a_thousand_parameters_are_malformed(debug, alice: Caller):
    assert code(alice.client.get(f"{DOCUMENTS}?{'a=1&' * 1100}")) == "malformed"


@pytest.mark.parametrize(
    "id_", ["x", "0", "%20", "me", MISSING[:-1], f"{{{MISSING}}}", "a" * 3000, "%00", "'--"]
)
@pytest.mark.parametrize("collection", ["documents", "uploads"])
def test_an_id_that_is_none_is_404(alice: Caller, collection: str, id_: str):
    for method, rest in (("get", ""), ("delete", ""), ("patch", "")):
        answer = getattr(alice, method)(f"{collection}/{id_}/{rest}")
        assert code(answer) in ("not_found", "method_not_allowed")
    assert code(alice.post(f"documents/{id_}/upload-url/", {})) == "not_found"
    assert code(alice.post(f"uploads/{id_}/complete/")) == "not_found"


@pytest.mark.parametrize(
    "body",
    [
        {"ids": [MISSING] * 101},
        {"ids": [MISSING] * 100_00},
        {"ids": ["x"]},
        {"ids": [None]},
        {"ids": [[MISSING]]},
        {"ids": [{}]},
        {"ids": MISSING},
        {"ids": {"0": MISSING}},
        {"ids": None},
        {},
        [],
        [MISSING],
    ],
    ids=lambda body: str(body)[:30],
)
def test_ids_that_are_none_or_too_many_are_400(alice: Caller, body: Any):
    answer = alice.post("documents/download-urls/", json.dumps(body))

    assert answer.status_code == 400
    assert code(answer) == "invalid"


def test_a_pointer_names_the_very_item(alice: Caller):
    answer = alice.post("documents/download-urls/", {"ids": [MISSING, "x"]})

    assert [error["pointer"] for error in answer.json()["errors"]] == ["#/ids/1"]


# --- Headers ----------------------------------------------------------------------------------------

ORIGIN = "https://app.example.org"


@pytest.fixture
def _origin(settings) -> None:
    settings.CORS_ALLOWED_ORIGINS = [ORIGIN]


@pytest.mark.usefixtures("_origin")
def test_the_app_may_read_every_answer_of_the_api(alice: Caller, visitor: Client):
    answers = [
        alice.client.get(DOCUMENTS, headers={"origin": ORIGIN}),
        alice.client.get(f"{DOCUMENTS}{MISSING}/", headers={"origin": ORIGIN}),
        alice.client.post(DOCUMENTS, "{", content_type=JSON, headers={"origin": ORIGIN}),
        visitor.get(DOCUMENTS, headers={"origin": ORIGIN}),
        visitor.get("/api/nowhere", headers={"origin": ORIGIN}),
    ]

    assert [answer.status_code for answer in answers] == [200, 404, 400, 401, 404]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        exposed = {name.lower() for name in answer.headers["Access-Control-Expose-Headers"].split(", ")}
        assert exposed == {"location", "etag", "retry-after", "x-request-id"}
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "origin" in answer.headers["Vary"].lower()


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://pr-7.example.app", "https://pr-7.example.app"),
        ("https://evil-example.app", None),
        ("https://x.example.app.evil.com", None),
    ],
)
def test_an_app_may_have_one_of_many_origins(visitor: Client, settings, origin: str, allowed: str | None):
    settings.CORS_ALLOWED_ORIGIN_REGEXES = [pattern_regex("https://*.example.app")]

    answer = visitor.get(DOCUMENTS, headers={"origin": origin})

    assert answer.headers.get("Access-Control-Allow-Origin") == allowed


@pytest.mark.usefixtures("_origin")
def test_the_app_may_send_what_it_needs(visitor: Client):
    wanted = "authorization,content-type,x-request-id,if-match,if-none-match,idempotency-key,traceparent"
    headers = {
        "origin": ORIGIN,
        "access-control-request-method": "PATCH",
        "access-control-request-headers": wanted,
    }

    answer = visitor.options(DOCUMENTS, headers=headers)

    assert answer.status_code == 200
    assert set(wanted.split(",")) <= set(answer.headers["Access-Control-Allow-Headers"].split(", "))
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"]


@pytest.mark.usefixtures("_origin")
@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example.org",
        "http://app.example.org",
        "https://app.example.org:8443",
        "https://app.example.org.evil.org",
        "null",
    ],
)
def test_another_origin_may_read_nothing(visitor: Client, origin: str):
    preflight = {"origin": origin, "access-control-request-method": "GET"}

    for answer in (
        visitor.get(DOCUMENTS, headers={"origin": origin}),
        visitor.options(DOCUMENTS, headers=preflight),
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.usefixtures("_origin")
def test_the_admin_is_nobodys_to_read_from_elsewhere(visitor: Client, db):
    answer = visitor.get("/admin/login/", headers={"origin": ORIGIN})

    assert answer.status_code == 200
    assert "Access-Control-Allow-Origin" not in answer.headers


def test_no_shared_cache_keeps_what_is_a_members(alice: Caller, nobody: Caller):
    document = alice.document_with_file()
    listed, refused = alice.get("documents/"), nobody.get("documents/")

    assert listed.headers["Cache-Control"] == "private, no-cache"
    assert refused.headers["Cache-Control"] == "no-store"
    assert alice.get(f"documents/{document['id']}/download-url/").headers["Cache-Control"] == "no-store"
    many = alice.post("documents/download-urls/", {"ids": [document["id"]]})
    assert many.headers["Cache-Control"] == "no-store"
    for answer in (listed, refused, many):
        assert "Authorization" in [name.strip() for name in answer.headers["Vary"].split(",")]


def test_answers_carry_what_keeps_browsers_safe(visitor: Client, alice: Caller):
    for answer in (visitor.get("/livez"), alice.get("documents/"), visitor.get("/nowhere")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert not answer.cookies


def test_over_https_browsers_are_told_to_stay_there(settings):
    settings.SECURE_HSTS_SECONDS, settings.SECURE_HSTS_INCLUDE_SUBDOMAINS = 31536000, True

    answer = Client().get("/livez", secure=True)

    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_cookies_of_the_admin_open_nothing_in_the_api(admin_client: Client):
    assert code(admin_client.get(DOCUMENTS)) == "not_authenticated"
    assert code(admin_client.post(DOCUMENTS, {"title": "x"}, content_type=JSON)) == "not_authenticated"


# --- gunicorn ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authorization(server: Server) -> str:
    return f"Authorization: Bearer {server.token('alice@example.org')}\r\n"


@pytest.fixture(scope="module")
def member(server: Server) -> Iterator[httpx.Client]:
    with server.client("alice@example.org") as client:
        yield client


def speak(server: Server, request: str) -> tuple[int, dict[str, str], bytes]:
    """Send these very bytes, and read the answer to its end."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        answer = b""
        with suppress(OSError):  # it may answer, and close, before it has read everything
            connection.sendall(request.replace("HOST", f"Host: 127.0.0.1:{server.port}").encode("latin-1"))
            connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(re.findall(rb"(?s)[0-9a-fA-F]+\r\n(.*?)\r\n", body))
    return int(first.split()[1]), headers, body


def problem_of(answer: tuple[int, dict[str, str], bytes]) -> str:
    status, headers, body = answer
    assert headers["content-type"] == "application/problem+json", answer
    problem = json.loads(body)
    assert problem.keys() == {"type", "title", "status", "detail", "code", "errors"}
    assert problem["status"] == status
    return problem["code"]


@pytest.mark.parametrize(
    ("status", "expected", "request_"),
    [
        (414, "too_large", f"GET /{'a' * 9000} HTTP/1.1\r\nHOST\r\n\r\n"),
        (431, "too_large", f"GET / HTTP/1.1\r\nHOST\r\nX-Long: {'a' * 40_000}\r\n\r\n"),
        (431, "token_too_long", f"GET / HTTP/1.1\r\nHOST\r\nAuthorization: Bearer {'a' * 40_000}\r\n\r\n"),
        (431, "too_large", "GET / HTTP/1.1\r\nHOST\r\n" + "X-Many: a\r\n" * 150 + "\r\n"),
        (400, "malformed", "GET /\r\n\r\n"),
        (400, "malformed", "NONSENSE\r\n\r\n"),
        (400, "malformed", "\x16\x03\x01\x02\x00\x01\r\n\r\n"),
        (400, "malformed", "G@T / HTTP/1.1\r\nHOST\r\n\r\n"),
        (400, "malformed", "GET / HTTP/9.9\r\nHOST\r\n\r\n"),
        (400, "malformed", "GET / HTTP/1.1\r\nHOST\r\nno colon\r\n\r\n"),
        (400, "malformed", "GET / HTTP/1.1\r\nHOST\r\nSpace : x\r\n\r\n"),
        (400, "malformed", "GET / HTTP/1.1\r\nHOST\r\nX: a\0b\r\n\r\n"),
        (400, "malformed", "GET / HTTP/1.1\r\nHOST\r\nX: a\r\n folded\r\n\r\n"),
        (400, "malformed", "POST / HTTP/1.1\r\nHOST\r\nContent-Length: -1\r\n\r\n"),
        (400, "malformed", "POST / HTTP/1.1\r\nHOST\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        (
            400,
            "malformed",
            "POST / HTTP/1.1\r\nHOST\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (400, "malformed", "GET /api/v1/documents/ HTTP/1.1\r\nHost: evil.example.org\r\n\r\n"),
        (400, "malformed", "GET /api/v1/documents/ HTTP/1.1\r\nHost: \r\n\r\n"),
        (404, "not_found", "OPTIONS * HTTP/1.1\r\nHOST\r\n\r\n"),
        (404, "not_found", "CONNECT evil.example.org:443 HTTP/1.1\r\nHOST\r\n\r\n"),
        (404, "not_found", "GET /api/v1/%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHOST\r\n\r\n"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, str) else None,
)
def test_what_gunicorn_cannot_read_is_a_problem_too(
    server: Server, status: int, expected: str, request_: str
):
    answer = speak(server, request_.replace("HOST\r\n", "HOST\r\nConnection: close\r\n"))

    assert answer[0] == status
    assert problem_of(answer) == expected
    assert "set-cookie" not in answer[1]


def pieces(content: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def test_a_chunked_body_is_read_like_any_other(server: Server, member: httpx.Client):
    body = json.dumps({"title": "In pieces", "description": "x" * 4000}).encode()

    answer = member.post(DOCUMENTS, content=pieces(body, 100), headers={"Content-Type": JSON})

    assert answer.status_code == 201, answer.text
    assert answer.json()["title"] == "In pieces"
    assert answer.json()["description"] == "x" * 4000


@pytest.mark.parametrize(
    ("body", "status", "expected"), [(b"{", 400, "malformed"), (b"[]", 400, "invalid"), (b"", 400, "invalid")]
)
def test_a_chunked_body_is_judged_like_any_other(
    member: httpx.Client, body: bytes, status: int, expected: str
):
    answer = member.post(DOCUMENTS, content=pieces(body, 10), headers={"Content-Type": JSON})

    assert (answer.status_code, answer.json()["code"]) == (status, expected)


def test_a_chunked_body_is_bounded(server: Server, authorization: str):
    chunk = f"{0x10000:x}\r\n{' ' * 0x10000}\r\n"
    head = (
        f"POST {DOCUMENTS} HTTP/1.1\r\nHOST\r\nConnection: close\r\n{authorization}Content-Type: {JSON}\r\n"
    )

    answer = speak(server, f"{head}Transfer-Encoding: chunked\r\n\r\n{chunk * 20}0\r\n\r\n")

    assert answer[0] == 413
    assert problem_of(answer) == "too_large"
    assert answer[1]["x-request-id"]


@pytest.mark.parametrize(
    "chunks", ["zz\r\n{}\r\n0\r\n\r\n", "-1\r\n{}\r\n0\r\n\r\n", "5\r\n{}", "2\r\n{}XX0\r\n\r\n"]
)
def test_a_chunked_body_that_is_broken_is_malformed(server: Server, authorization: str, chunks: str):
    head = (
        f"POST {DOCUMENTS} HTTP/1.1\r\nHOST\r\nConnection: close\r\n{authorization}Content-Type: {JSON}\r\n"
    )

    answer = speak(server, f"{head}Transfer-Encoding: chunked\r\n\r\n{chunks}")

    assert answer[0] == 400
    assert problem_of(answer) == "malformed"


@pytest.mark.parametrize("size", [1_500_000, 3_000_000])
def test_a_large_body_is_refused_by_a_real_server_too(server: Server, authorization: str, size: int):
    head = (
        f"POST {DOCUMENTS} HTTP/1.1\r\nHOST\r\nConnection: close\r\n{authorization}Content-Type: {JSON}\r\n"
    )

    answer = speak(server, f"{head}Content-Length: {size}\r\n\r\n{' ' * size}")

    assert answer[0] == 413
    assert problem_of(answer) == "too_large"


@pytest.mark.parametrize(
    "charset", ["base64", "undefined", "idna", "zip", "rot13", "unicode_escape", "utf-16"]
)
def test_a_hostile_charset_changes_nothing(member: httpx.Client, charset: str):
    headers = {"Content-Type": f"application/json; charset={charset}"}

    answer = member.post(DOCUMENTS, content='{"title": "Pingüino"}'.encode(), headers=headers)
    assert answer.status_code == 201, answer.text
    assert answer.json()["title"] == "Pingüino"
    assert member.get(f"{DOCUMENTS}?search=Pingüino", headers=headers).json()["count"] > 0


@pytest.mark.parametrize("parameter", ["x*=nonsense'en'%41", "charset*=nonsense''%41", "x*=''"])
def test_a_hostile_parameter_of_the_content_type_is_no_crash(member: httpx.Client, parameter: str):
    headers = {"Content-Type": f"application/json; {parameter}"}

    assert member.get(f"{DOCUMENTS}?search=x", headers=headers).status_code == 200
    answer = member.post(DOCUMENTS, content=b'{"title": "x"}', headers=headers)
    assert answer.status_code in (201, 415)


def test_one_refusal_does_not_spoil_the_connection_for_the_next(member: httpx.Client):
    for _ in range(3):
        assert (
            member.post(DOCUMENTS, content=pieces(b"{", 1), headers={"Content-Type": JSON}).status_code == 400
        )
        assert (
            member.post(DOCUMENTS, content=b" " * 2_000_000, headers={"Content-Type": JSON}).status_code
            == 413
        )
        assert member.get(DOCUMENTS).status_code == 200


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize(
    "path", ["/api/schema/", "/api/v1/documents/", "/storage/v1/object/sign/documents/x"]
)
def test_a_query_of_a_thousand_fields_is_refused(path: str, debug: bool, alice: Caller, settings):
    settings.DEBUG = debug

    answer = alice.client.get(f"{path}?{'a=&' * 1001}")

    assert answer.status_code == 400
