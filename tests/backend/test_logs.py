"""Logs tell what happened, and never what opens a door."""

import json
import logging
import logging.config
import re
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from secrets import token_hex
from typing import Any
from uuid import uuid4

import httpx
import pytest
import structlog
from django.conf import settings as project
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from api.auth.development_tokens import development_token
from backend import access_log, outages
from backend.logs import REDACTED, logging_config
from backend.middleware import REQUEST_ID
from tests.support.cases import CONTROL_CHARACTERS, crossed
from tests.support.cast import Caller, code, down
from tests.support.pages import PAGES
from tests.support.server import Server
from tests.support.work import processor_seconds

TOKEN = development_token("alice@example.org")
SIGNATURE = TOKEN.rpartition(".")[2]
KEY = "sb_secret_of_this_test_A1b2C3"
SECRETS = [
    pytest.param(text, hidden, id=text[:30])
    for text, hidden in [
        (f"GET /storage/v1/object/sign/a/b.pdf?token={TOKEN}", SIGNATURE),
        ("GET /x?token=opaque.and-short&download=", "opaque"),
        ("GET /x?access_token=opaque", "opaque"),
        ("next=%2Fx%3Ftoken%3Dopaque", "opaque"),
        ("GET /x?TOKEN=opaque", "opaque"),
        (f"Authorization: Bearer {TOKEN}", SIGNATURE),
        ("authorization: bearer opaque-token", "opaque"),
        ("{'Authorization': 'Bearer opaque-token'}", "opaque"),
        (f"refused {TOKEN}", SIGNATURE),
        (f"refused {TOKEN!r} at once", SIGNATURE),
        (f"two: {TOKEN},{TOKEN}", SIGNATURE),
        (f"cut off {TOKEN[:30]}", TOKEN[:30]),
        ("encrypted eyJhbGciOiJkaXIifQ..iv.text.tag", "tag"),
        (f"apikey {KEY}", KEY),
        ("postgres://zoo:hush@db.example.org/zoo", "hush"),
        ("redis://:hush@cache.example.org/0", "hush"),
        ("signed with whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8"),
        (f"signed with {project.SUPABASE_JWT_SECRET}", project.SUPABASE_JWT_SECRET),
        (f"signed with {project.SECRET_KEY}", project.SECRET_KEY),
    ]
]


@pytest.fixture
def log() -> Iterator[StringIO]:
    """What the project's own handler writes."""
    (handler,) = [
        handler
        for handler in logging.getLogger().handlers
        if type(handler.formatter).__name__ == "RedactingFormatter"
    ]
    written = StringIO()
    before = handler.setStream(written)
    yield written
    handler.setStream(before)


def formatted(record: logging.LogRecord, *, pretty: bool, secrets: list[str] | None = None) -> str:
    """The record as the configured formatter writes it."""
    config = logging_config(pretty=pretty, secrets=secrets or [project.SECRET_KEY])["formatters"]
    logger = logging.config.DictConfigurator({"version": 1})
    return logger.configure_formatter(config["line"]).format(record)


def record(message: str, *arguments: Any, error: Any = None) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("some.library", logging.ERROR, __file__, 1, message, arguments, info)


# --- What is taken out ------------------------------------------------------------------------------


LOGGERS = ["django.server", "django.request", "gunicorn.error", "httpx", "any"]


@pytest.mark.parametrize(
    ("logger", "secret"),
    crossed({name: name for name in LOGGERS}, {case.id: case.values for case in SECRETS}),
)
def test_no_logger_writes_a_secret(log: StringIO, logger: str, secret: tuple[str, str]):
    text, hidden = secret
    logging.getLogger(logger).error(text)
    logging.getLogger(logger).error("as an argument: %s", text)
    logging.getLogger(logger).error("within one: %s", {"said": [text]})

    assert log.getvalue().count(REDACTED) >= 3
    assert hidden not in log.getvalue()


@pytest.mark.parametrize(("text", "hidden"), SECRETS)
def test_no_event_writes_a_secret(log: StringIO, text: str, hidden: str):
    logger = structlog.get_logger("of.this.test")

    logger.error("event", said=text, nested={"said": [text]})
    logger.error(text)
    with structlog.contextvars.bound_contextvars(bound=text):
        logger.error("event")

    assert hidden not in log.getvalue()


@pytest.mark.parametrize("pretty", [True, False])
def test_a_traceback_tells_neither_secrets_nor_local_variables(pretty: bool):
    local_variable = "whatever stands in " + "a local variable"
    try:
        try:
            raise ValueError(f"cannot read {TOKEN}")
        except ValueError as cause:
            raise RuntimeError(f"?token={SIGNATURE} of {local_variable[:8]}") from cause
    except RuntimeError as error:
        line = formatted(record("failed", error=error), pretty=pretty)

    assert "RuntimeError" in line
    assert "ValueError" in line
    assert SIGNATURE not in line
    assert local_variable not in line


def test_a_line_for_machines_is_one_line_of_json_whatever_is_in_it():
    said = 'two\nlines, "quotes", \x1b[31m and ümläut'
    line = formatted(record("%s", said), pretty=False)

    assert "\n" not in line
    assert "\x1b" not in line
    fields = json.loads(line)
    assert fields["event"] == said
    assert fields["level"] == "error"
    assert fields["logger"] == "some.library"
    assert fields["timestamp"].endswith("Z")


def test_a_line_with_a_secret_taken_out_is_still_json():
    for text in (f"?token={TOKEN}", f'{{"token": "{TOKEN}"}}', f"Bearer {TOKEN}", f"'Bearer {TOKEN}'"):
        assert REDACTED in json.loads(formatted(record("%s", text), pretty=False))["event"]


@pytest.mark.parametrize("secret", ['with"quotes', "with\\backslash", "with-ümläut", "with'apostrophe"])
@pytest.mark.parametrize("pretty", [True, False])
def test_a_secret_is_known_however_the_line_writes_it(pretty: bool, secret: str):
    for said in (secret, {"key": secret}):
        line = formatted(record("holds %s", said), pretty=pretty, secrets=[secret])
        assert REDACTED in line
        assert secret[5:] not in line


def test_what_is_no_secret_stays_readable():
    text = "PUT /storage/v1/object/sign/documents/a.pdf?download=token.pdf 200 https://example.org/a@b"

    assert text in formatted(record(text), pretty=False)


@pytest.mark.parametrize("pretty", [True, False])
def test_no_control_character_reaches_a_line(pretty: bool):
    said = f"a{CONTROL_CHARACTERS}b"
    hostile = record("%s", said, error=ValueError(said))
    hostile.name = said
    with structlog.contextvars.bound_contextvars(bound=said, nested={"said": [said]}):
        line = formatted(hostile, pretty=pretty)

    assert not set(CONTROL_CHARACTERS) & set(line)
    assert r"\u001b" in line
    if not pretty:
        assert json.loads(line)["event"] == said


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_a_message_cannot_begin_a_line(end: str):
    assert len(formatted(record("a%sb", end), pretty=True).splitlines()) == 1


HOSTILE_LINES = {
    "tokens": "eyJ",
    "tokens with dots": "eyJhbGciOiJIUzI1NiJ9.",
    "parts of tokens": "eyJhb.",
    "signed URLs": "token=",
    "encoded": "token%3D",
    "bearers": "Bearer ",
    "keys": "sb_secret_",
    "webhooks": "whsec_",
    "schemes": "://",
    "colons": "://:",
    "users": "://a:",
    "passwords": "://a:b",
    "long": "a",
    "controls": "\x1b",
}


@pytest.mark.parametrize("piece", HOSTILE_LINES.values(), ids=HOSTILE_LINES)
def test_a_hostile_line_is_redacted_in_linear_time(piece: str):
    hostile = piece * (300_000 // len(piece))

    with processor_seconds(10):
        for line in (hostile, f"://{hostile}", f"{hostile} "):
            formatted(record("%s", line), pretty=False)


# --- Requests ---------------------------------------------------------------------------------------


def explode(request: HttpRequest) -> HttpResponse:
    opener = request.headers.get("Authorization", "")
    raise RuntimeError(f"exploded with {opener} at {request.get_full_path()}")


urlpatterns = [path("api/explode", explode)]


@pytest.mark.parametrize("debug", [True, False])
def test_an_unforeseen_error_is_logged_with_its_traceback_and_without_the_token(
    log: StringIO, settings, debug: bool
):
    settings.ROOT_URLCONF, settings.DEBUG = __name__, debug
    request_id = uuid4().hex
    client = Client(raise_request_exception=False)

    answer = client.get(
        "/api/explode",
        {"token": TOKEN},
        headers={
            "authorization": f"Bearer {TOKEN}",
            "x-request-id": request_id,
            "referer": f"/?token={TOKEN}",
        },
    )

    assert code(answer) == "internal"
    written = log.getvalue()
    assert "Traceback" in written
    assert "exploded with Bearer [redacted]" in written
    assert f"request_id={request_id}" in written
    assert SIGNATURE not in written
    assert SIGNATURE not in answer.content.decode()
    assert "exploded" not in answer.content.decode()


REFUSED = {"authorization": "Bearer nonsense"}  # the log tells why, in one line


@pytest.mark.parametrize("asked", ["a", "0197-abc.DEF_1:2/3+4=@", "x" * 128, "0197" * 8])
def test_a_plain_request_id_is_taken_over(log: StringIO, db, asked: str):
    answer = Client().get("/api/v1/documents/", headers={**REFUSED, "x-request-id": asked})

    assert answer.headers["X-Request-ID"] == asked
    assert asked in log.getvalue().partition("request_id=")[2]


@pytest.mark.parametrize(
    "asked",
    [
        "",
        " ",
        "two words",
        "a\tb",
        "x" * 129,
        "ümläut",
        "<b>",
        'a"b',
        "a;b",
        "a,b",
        "a\x7f",
        "a%0ab",
        "{}",
        "a\n",
    ],
)
def test_any_other_request_id_is_replaced(log: StringIO, db, asked: str):
    answer = Client().get("/api/v1/documents/", headers={**REFUSED, "x-request-id": asked})

    given = answer.headers["X-Request-ID"]
    assert given != asked
    assert REQUEST_ID.fullmatch(given)
    assert f"request_id={given}" in log.getvalue()


def test_each_request_has_an_id_of_its_own(db):
    client = Client(raise_request_exception=False)
    paths = ["/livez", "/nowhere", "/api/v1/documents/", "/api/schema/", "/static/nothing.js"]
    answers = [client.get(path_) for path_ in paths] + [client.get("/livez", headers={"host": "evil"})]

    assert len({answer.headers["X-Request-ID"] for answer in answers}) == len(answers)


def test_the_id_of_one_request_is_not_in_the_lines_of_the_next(log: StringIO, db):
    Client().get("/api/v1/documents/", headers={**REFUSED, "x-request-id": "the-first"})
    Client().get("/api/v1/documents/", headers={**REFUSED, "x-request-id": "the-second"})

    second = [line for line in log.getvalue().splitlines() if "the-second" in line]
    assert second
    assert not any("the-first" in line for line in second)


def test_a_token_for_a_request_id_is_not_logged(log: StringIO, db):
    Client().get("/api/v1/documents/", headers={**REFUSED, "x-request-id": TOKEN[:128]})

    assert TOKEN[60:128] not in log.getvalue()


# --- Libraries --------------------------------------------------------------------------------------


def test_httpx_does_not_tell_what_it_fetched(log: StringIO):
    transport = httpx.MockTransport(lambda request: httpx.Response(200))
    with httpx.Client(transport=transport, headers={"apikey": KEY}) as client:
        client.get(f"https://ref.supabase.co/storage/v1/object/sign/a/b?token={TOKEN}")
        assert log.getvalue() == ""

        logger = logging.getLogger("httpx")
        before = logger.level
        logger.setLevel(logging.INFO)  # as somebody who looks for a fault may set it
        client.get(f"https://ref.supabase.co/storage/v1/object/sign/a/b?token={TOKEN}")
        logger.setLevel(before)

    assert f"?token={REDACTED}" in log.getvalue()
    assert SIGNATURE not in log.getvalue()


def test_no_logger_has_a_handler_of_its_own_that_would_bypass_the_formatter():
    """pytest's are not counted: they keep records for the tests."""
    named = [logging.getLogger(name) for name in logging.root.manager.loggerDict]
    names = {
        (logger.name, type(handler).__name__)
        for logger in named
        for handler in logger.handlers
        if not isinstance(handler, logging.NullHandler) and "pytest" not in type(handler).__module__
    }

    assert names == set()


# --- Requests ---------------------------------------------------------------------------------------


class Sent:
    """A response of gunicorn that was sent."""

    def __init__(self, status: str = "200 OK", sent: int = 0, response_length: int | None = None) -> None:
        self.status, self.sent, self.response_length = status, sent, response_length


def access_line(log: StringIO, monkeypatch, environ: dict[str, Any], response: Sent) -> dict[str, Any]:
    """The line of a request, as it is in production."""
    monkeypatch.setattr(access_log, "DEBUG", False)
    (handler,) = [each for each in logging.getLogger().handlers if getattr(each, "stream", None) is log]
    config = logging_config(pretty=False, secrets=[])["formatters"]
    formatter = logging.config.DictConfigurator({"version": 1}).configure_formatter(config["line"])
    monkeypatch.setattr(handler, "formatter", formatter)
    log.truncate(0)
    log.seek(0)
    logger = object.__new__(access_log.AccessLogger)  # gunicorn's own set-up would add handlers
    logger.access(response, None, environ, timedelta(milliseconds=12))
    line: dict[str, Any] = json.loads(log.getvalue())
    return line


def environ_after(caller: Any, path_: str) -> dict[str, Any]:
    """The WSGI environment of a request that was answered."""
    environ: dict[str, Any] = caller.get(path_).wsgi_request.environ
    return environ


@pytest.mark.django_db
def test_an_access_line_has_fields(log: StringIO, monkeypatch, alice: Caller):
    document = alice.document()
    environ = environ_after(alice, f"/api/v1/documents/{document['id']}/?download=secret")

    line = access_line(log, monkeypatch, environ, Sent(sent=321))

    assert {name: line[name] for name in ("event", "level", "method", "route", "status", "bytes", "ms")} == {
        "event": "request",
        "level": "info",
        "method": "GET",
        "route": "/api/v1/documents/<pk>/",
        "status": 200,
        "bytes": 321,
        "ms": 12,
    }
    assert re.fullmatch("[0-9a-f]{16}", line["principal"])
    [example] = PAGES["docs/operations.md"].code("json", "Logs")
    assert json.loads(example).keys() == line.keys()
    assert str(alice.id) not in json.dumps(line)
    assert "secret" not in json.dumps(line)


@pytest.mark.django_db
def test_all_requests_of_a_member_have_the_same_principal(log, monkeypatch, alice, bob, nobody):
    callers = [alice, bob, alice, nobody]
    seen = [
        access_line(log, monkeypatch, environ_after(each, "/api/v1/species/"), Sent())["principal"]
        for each in callers
    ]

    assert seen[0] == seen[2] != seen[1]
    assert seen[3] is None


@pytest.mark.parametrize(
    ("response", "method", "level", "size"),
    [
        pytest.param(Sent("404 Not Found", 10), "GET", "info", 10, id="refused"),
        pytest.param(Sent("503 Service Unavailable", 10), "GET", "warning", 10, id="unavailable"),
        pytest.param(Sent("500 Internal Server Error", 10), "GET", "error", 10, id="a fault"),
        pytest.param(Sent("200 OK", 0, 5000), "GET", "info", 5000, id="sent by the kernel"),
        pytest.param(Sent("200 OK", 0, 5000), "HEAD", "info", 0, id="without its body"),
    ],
)
def test_an_access_line_tells_how_bad_it_is(log, monkeypatch, response, method, level, size):
    line = access_line(log, monkeypatch, {"REQUEST_METHOD": method, "PATH_INFO": "/x"}, response)

    assert (line["level"], line["bytes"]) == (level, size)


@pytest.mark.django_db
@pytest.mark.parametrize("path_", ["/api/v1/documents/", "/nowhere/", "/storage/v1/object/x", "/admin/x/"])
def test_a_refused_request_has_no_second_line(log: StringIO, nobody: Caller, path_: str):
    assert nobody.client.get(path_, {"token": TOKEN}).status_code >= 300

    assert log.getvalue() == ""


# --- Outages ----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_outage_is_one_line_and_no_traceback(log: StringIO, monkeypatch, alice: Caller):
    document = alice.document_with_file()
    monkeypatch.setattr("storage.local.LocalStorage.sign_download", down)
    for _ in range(5):
        assert alice.get(f"documents/{document['id']}/download-url/").status_code == 503

    assert log.getvalue().count("service_unavailable") == 1
    assert "StorageUnavailable: down" in log.getvalue()
    assert "Traceback" not in log.getvalue()


def test_the_next_line_of_an_outage_comes_a_minute_later_and_counts(log: StringIO, monkeypatch):
    time_ = [1000.0]
    monkeypatch.setattr(outages, "monotonic", lambda: time_[0])
    logger = structlog.get_logger("of.this.test")
    for seconds in (0, 1, 30, 28.9, 0.1):
        time_[0] += seconds
        logger.warning("it_failed", outage="storage")
    logger.warning("it_failed", outage="keys")

    first, second, other = log.getvalue().splitlines()
    assert "dropped=0" in first
    assert "dropped=3" in second
    assert "keys" in other


def test_the_causes_of_an_outage_are_told(log: StringIO):
    try:
        try:
            raise OSError("no route to host")
        except OSError as cause:
            raise ValueError("the store") from cause
    except ValueError as error:
        structlog.get_logger("of.this.test").warning("it_failed", outage="storage", exc_info=error)

    assert "'ValueError: the store', 'OSError: no route to host'" in log.getvalue()


def test_what_a_library_repeats_is_dropped_when_logging_was_configured_twice():
    """As in a worker: gunicorn configures it, and then Django."""
    records = [
        logging.LogRecord("psycopg.pool", logging.WARNING, "", 1, "no %s", ("way",), None) for _ in "ab"
    ]
    kept = [outages.is_not_repeated(record) and outages.is_not_repeated(record) for record in records]

    assert kept == [True, False]


# --- A real server ----------------------------------------------------------------------------------


def lines_of(server: Server, marker: str) -> list[str]:
    """The lines with this marker, once they are written."""
    for _ in range(100):
        lines = [line for line in server.log.read_text().splitlines() if marker in line]
        if any("gunicorn.access" in line for line in lines):
            return lines
        time.sleep(0.05)
    raise AssertionError(server.log.read_text())


def visit(server: Server, path_: str, marker: str) -> None:
    """A request that carries its token wherever one can be carried."""
    httpx.get(
        f"{server.url}{path_}",
        params={"token": TOKEN, "apikey": KEY},
        headers={
            "Authorization": f"Bearer {TOKEN}",
            "Referer": f"http://localhost:3000/?token={TOKEN}",
            "User-Agent": f"curl {TOKEN}",
            "Cookie": f"access_token={TOKEN}",
            "apikey": KEY,
            "X-Request-ID": marker,
        },
    )


def test_gunicorn_logs_requests_with_their_id_and_without_their_query(server: Server):
    marker = f"of-this-test-{uuid4().hex}"
    for path_ in ("/livez", "/nowhere", f"/api/v1/{TOKEN}/", "/storage/v1/object/sign/documents/a/b.pdf"):
        visit(server, path_, marker)

    lines = lines_of(server, marker)
    assert any(re.search(r"GET /livez 200 \d+ \d+ms", line) for line in lines)
    assert not any("?" in line for line in lines if "gunicorn.access" in line)
    written = server.log.read_text()
    assert SIGNATURE not in written
    assert KEY not in written


def test_gunicorn_does_not_repeat_the_token_of_what_it_cannot_read(server: Server):
    host = f"Host: 127.0.0.1:{server.port}\r\n"
    mangled = [
        f"GET /x?token={TOKEN} NONSENSE\r\n{host}\r\n",
        f"GET /x?token={TOKEN}\r\n\r\n",
        f"G@T /x?token={TOKEN} HTTP/1.1\r\n{host}\r\n",
        f"GET /livez HTTP/1.1\r\n{host}Authorization : Bearer {TOKEN}\r\n\r\n",
        f"GET /livez HTTP/1.1\r\n{host}Bearer {TOKEN}\r\n\r\n",
        f"GET /livez HTTP/1.1\r\n{host}Expect: Bearer {TOKEN}\r\n\r\n",
    ]
    before = server.log.read_text().count("Invalid request from")
    for request in mangled:
        with connected(server) as connection:
            connection.sendall(request.encode())
            assert b"application/problem+json" in connection.recv(4096)

    written = server.log.read_text()
    assert written.count("Invalid request from") - before == len(mangled)
    assert SIGNATURE not in written


@pytest.mark.parametrize(
    "request_text",
    [
        "POST /admin/login/ HTTP/1.1\r\n{host}\r\nusername=admin&password={secret}\r\n\r\n",
        "POST /api/nowhere/ HTTP/1.1\r\n{host}Content-Length: 4\r\n\r\nuserpassword={secret}\r\n\r\n",
        "GET /livez HTTP/1.1\r\n{host}Cookie; sessionid='{secret}'\r\n\r\n",
        "GET /livez HTTP/1.1\r\n{host}Authorization {secret}: Basic\r\n\r\n",
        "GET /livez HTTP/1.1\r\n{host}Expect: {secret}\r\n\r\n",
        "GET /livez HTTP/1.1\r\n{host}Transfer-Encoding: {secret}\r\n\r\n",
        "GET http://[{secret} HTTP/1.1\r\n{host}\r\n",
        "{secret} /livez HTTP/1.1\r\n{host}\r\n",
    ],
)
def test_gunicorn_quotes_nothing_of_what_it_cannot_read(server: Server, request_text: str):
    secret = f'"{uuid4().hex}'
    before = server.log.read_text().count("Invalid request from")
    with connected(server) as connection:
        host = f"Host: 127.0.0.1:{server.port}\r\n"
        connection.sendall(request_text.format(host=host, secret=secret).encode())
        while connection.recv(4096):
            pass

    written = server.log.read_text()
    assert written.count("Invalid request from") == before + 1
    assert secret[1:] not in written


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def test_gunicorn_writes_no_control_character_of_a_request(server: Server):
    marker = f"of-this-test-{uuid4().hex}"
    raw = "%00%08%0a%0b%0c%1b%7f%c2%85%c2%9b%e2%80%a8%e2%80%ae%ff"
    httpx.get(f"{server.url}/nowhere/{raw}", headers={"X-Request-ID": marker})
    with connected(server) as connection:
        connection.sendall(f"GET /x\x1b[31m\x0b\x85 {marker}\r\n\r\n".encode("latin-1"))
        connection.recv(4096)

    assert lines_of(server, marker)
    written = server.log.read_bytes()
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\xa8\xae]", written)


@pytest.mark.slow
def test_in_production_every_line_is_json_and_tells_no_secret(tmp_path: Path):
    secrets = {"SECRET_KEY": f"{token_hex(25)}Zoo$1", "SUPABASE_JWT_SECRET": token_hex(20)}
    marker = uuid4().hex
    with Server(tmp_path, workers=1, DEBUG="false", ALLOWED_HOSTS="127.0.0.1", **secrets) as production:
        visit(production, "/api/v1/documents/", marker)
        visit(production, "/nowhere", marker)
        with connected(production) as connection:
            connection.sendall(f"GET /x?token={TOKEN} NONSENSE\r\n\r\n".encode())
            connection.recv(4096)
        seen = lines_of(production, marker)
        production.stop()

    lines = [json.loads(line) for line in production.log.read_text().splitlines()]
    assert {"event", "level", "logger", "timestamp"} <= set.intersection(*map(set, lines))
    assert [
        line["path"] for line in lines if line["event"] == "request" and line["request_id"] == marker
    ] == [
        "/api/v1/documents/",
        "/nowhere",
    ]
    assert all(json.loads(line)["request_id"] == marker for line in seen)
    written = production.log.read_text()
    assert not any(secret in written for secret in (SIGNATURE, KEY, *secrets.values()))
