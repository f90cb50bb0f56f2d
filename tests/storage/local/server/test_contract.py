"""The exchanges recorded from a real Storage server, in their order, asked of a running one of ours."""

import http.client
import json
import re
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import jwt
import pytest
from django.conf import settings

from tests.support.server import Server

DATA = Path(__file__).parents[2] / "data"
RECORDED_AT = 1795225175  # the `iat` of the tokens that were new then
RECORDED_URL = "http://127.0.0.1:54321"
MEANINGFUL = (
    "accept-ranges",
    "cache-control",
    "content-disposition",
    "content-range",
    "etag",
    "tus-complete",
    "tus-extension",
    "tus-max-size",
    "tus-resumable",
    "tus-version",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "x-robots-tag",
)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
NOT_COMPARED = {"message"}  # its wording is free
#: What the recording lists, and was uploaded in exchanges that it does not have.
BEFORE = {
    "list.prefix": {
        **{f"c-any/ls/f{number}.txt": str(number).encode() for number in range(5)},
        "c-any/ls/sub/deep.txt": b"d",
    }
}


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text().splitlines()]


EXCHANGES = read("storage-v1.jsonl")
DIFFERENCES = {each["name"]: each for each in read("differences.jsonl")}


@pytest.fixture(scope="module")
def recording(server: Server) -> Iterator["Recording"]:
    replayed = Recording(server)
    before = replayed.buckets()
    yield replayed
    for name in replayed.buckets() - before:  # one is called `..`, and most clients cannot even ask for it
        for method, path in (("POST", f"/bucket/{quote(name)}/empty"), ("DELETE", f"/bucket/{quote(name)}")):
            assert replayed.send(method, path, replayed.service, b"").status == 200


def test_every_recorded_exchange_is_answered_as_the_real_server_did(recording: "Recording"):
    wrong = {exchange["name"]: problems for exchange in EXCHANGES if (problems := recording.replay(exchange))}

    assert wrong == {}, json.dumps(wrong, indent=1)


def test_every_difference_is_deliberate():
    assert DIFFERENCES.keys() <= {exchange["name"] for exchange in EXCHANGES}
    assert all(difference["reason"] for difference in DIFFERENCES.values())


class Recording:
    """The exchanges replayed so far: ids and upload URLs are others here, and must be so consistently."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.shift = int(time.time()) - RECORDED_AT  # seconds from that day to now
        self.service = {"Authorization": f"Bearer {key('SERVICE')}"}
        self.ids: dict[str, str] = {}
        self.uploads: dict[str, str] = {}

    def buckets(self) -> set[str]:
        return {row["name"] for row in self.send("GET", "/bucket", self.service, b"").json()}

    def replay(self, exchange: dict[str, Any]) -> list[str]:
        """What is not as it was, or as the difference says."""
        for path, content in BEFORE.get(exchange["name"], {}).items():
            headers = {**self.service, "Content-Type": "text/plain"}
            assert self.send("POST", f"/object/{path}", headers, content).status == 200
        request, expected = exchange["request"], DIFFERENCES.get(exchange["name"], exchange)["response"]
        made = [mint(each, self.shift) for each in exchange.get("jwt", [])]
        answer = self.ask(request, made)
        return list(self.compared(request, answer, expected, exchange.get("jwt", [])))

    def ask(self, request: dict[str, Any], made: list[str]) -> "Answer":
        def filled(text: str) -> str:
            text = re.sub(r"<JWT#(\d)>", lambda number: made[int(number[1])], text)
            return text.replace("token=SERVICE", f"token={key('SERVICE')}")

        headers = {name: filled(value) for name, value in request["headers"].items()}
        if "If-Modified-Since" in headers:
            headers["If-Modified-Since"] = formatdate(time.time() + 2, usegmt=True)
        scheme, _, who = headers.get("Authorization", "").partition(" ")
        if who:
            headers["Authorization"] = f"{scheme} {key(who)}"
        path = filled(request["path"])
        for theirs, ours in self.uploads.items():
            path = path.replace(theirs, ours)
        body = body_of(request)
        chunks = iter([body[:5000], body[5000:]]) if request.get("chunked") else None
        return self.send(request["method"], path, headers, chunks or body)

    def send(self, method: str, path: str, headers: dict[str, str], body: Any) -> "Answer":
        """By hand: every client that knows URLs would tidy these."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=20)
        connection._validate_path = lambda url: None  # type: ignore[attr-defined]
        if isinstance(body, bytes) and not body and method in ("GET", "HEAD", "OPTIONS", "DELETE"):
            body = None
        connection.request(method, f"/storage/v1{path}", body, headers)
        response = connection.getresponse()
        answer = Answer(response)
        connection.close()
        return answer

    def compared(self, request: Any, answer: "Answer", expected: Any, tokens: Any) -> Any:
        theirs = expected["headers"]
        yield from differing("status", answer.status, expected["status"])
        if isinstance(expected["body"], dict | list):
            yield from differing(
                "type", answer.headers.get("content-type", "").split(";")[0], "application/json"
            )
            yield from self.same("body", answer.json(), expected["body"], tokens)
        elif "html" not in theirs.get("content-type", "") and expected["status"] < 300:
            yield from differing("body", answer.body.decode(), expected["body"])
        if expected["status"] >= 400 and request["method"] != "HEAD":
            if theirs.get("content-type", "").startswith("text/plain"):
                yield from differing("type", answer.headers.get("content-type", "")[:10], "text/plain")
            return
        for name in MEANINGFUL:
            yield from differing(name, answer.headers.get(name), theirs.get(name))
        for name in ("last-modified", "expires", "location", "access-control-allow-methods"):
            if name in theirs and name not in answer.headers:
                yield f"{name} is missing"
        if "expires" in theirs:
            yield from differing(
                "expires",
                answer.headers["expires"],
                formatdate(moved(tokens[0], self.shift)["exp"], usegmt=True),
            )
        if "location" in theirs and "location" in answer.headers:
            yield from self.same_location(answer.headers["location"], theirs["location"])

    def same(self, where: str, ours: Any, theirs: Any, tokens: Any) -> Any:
        """By value, but for what is made anew each time: ids, times and tokens."""
        if isinstance(theirs, dict) and isinstance(ours, dict):
            yield from differing(f"{where} fields", sorted(ours), sorted(theirs))
            for name in theirs.keys() & ours.keys() - NOT_COMPARED:
                yield from self.same(f"{where}.{name}", ours[name], theirs[name], tokens)
        elif isinstance(theirs, list) and isinstance(ours, list):
            yield from differing(f"{where} length", len(ours), len(theirs))
            for number, (our, their) in enumerate(zip(ours, theirs, strict=False)):
                yield from self.same(f"{where}[{number}]", our, their, tokens)
        elif isinstance(theirs, str) and isinstance(ours, str):
            yield from self.same_text(where, ours, theirs, tokens)
        else:
            yield from differing(where, ours, theirs)

    def same_text(self, where: str, ours: str, theirs: str, tokens: Any) -> Any:
        if MOMENT.fullmatch(theirs):
            if not MOMENT.fullmatch(ours):
                yield f"{where}: {ours!r} is no time"
        elif is_uuid(theirs):
            if not is_uuid(ours) or self.ids.setdefault(theirs, ours) != ours:
                yield f"{where}: {ours!r} for {theirs!r}, seen as {self.ids.get(theirs)!r}"
        elif number := re.search(r"<JWT#(\d)>", theirs):
            plain, token = ours[: number.start()], ours[number.start() :]
            yield from differing(where, plain, theirs[: number.start()])
            yield from same_token(where, token, tokens[int(number[1])])
        else:
            yield from differing(where, ours, theirs)

    def same_location(self, ours: str, theirs: str) -> Any:
        known, made = urlsplit(theirs).path.rpartition("/"), urlsplit(ours).path.rpartition("/")
        yield from differing("location", made[0], known[0])
        self.uploads[known[2]] = made[2]


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace")


def differing(what: str, ours: Any, theirs: Any) -> Any:
    if ours != theirs:
        yield f"{what}: {ours!r} for {theirs!r}"


def same_token(where: str, ours: str, theirs: dict[str, Any]) -> Any:
    """The same claims; a download is good for as long as asked, an upload for as long as configured."""
    claims = jwt.decode(ours, settings.SUPABASE_JWT_SECRET, algorithms=["HS256"])
    known = dict(theirs["claims"])
    yield from differing(f"{where} header", jwt.get_unverified_header(ours), theirs["header"])
    lives = [each.pop("exp") - each.pop("iat") for each in (claims, known)]
    yield from differing(where, claims, known)
    if known["scope"] == "download":
        yield from differing(f"{where} life", *lives)


def moved(token: dict[str, Any], shift: int) -> dict[str, Any]:
    """The claims of the recorded token, moved in time."""
    return {
        name: value + shift if name in ("iat", "exp", "nbf") else value
        for name, value in token["claims"].items()
    }


def mint(token: dict[str, Any], shift: int) -> str:
    return jwt.encode(moved(token, shift), settings.SUPABASE_JWT_SECRET, "HS256", token["header"])


def key(who: str) -> str:
    """The token that the recording's name of somebody stands for."""
    secret, algorithm = settings.SUPABASE_JWT_SECRET, "HS256"
    claims: dict[str, Any] = {"role": "service_role", "exp": 2**40}
    match who.partition(":"):
        case "ANON", _, _:
            claims["role"] = "anon"
        case "USER", _, sub:
            claims |= {"role": "authenticated", "sub": sub}
        case "ROLE", _, role:
            claims["role"] = role
        case "NO-ROLE sub", _, sub:
            claims = {"sub": sub, "exp": 2**40}
        case "SERVICE(expired)", _, _:
            claims["exp"] = int(time.time()) - 60
        case "SERVICE(wrong signature)", _, _:
            secret = "not-the-secret-but-just-as-long-as-one-has-to-be"
        case "SERVICE(alg none)", _, _:
            return jwt.encode(claims, "", algorithm="none")
        case "garbage", _, _:
            return who
    return jwt.encode(claims, secret, algorithm)


def body_of(request: dict[str, Any]) -> bytes:
    """What was sent; the recording describes what is long."""
    body = request.get("body") or ""
    if request.get("chunked"):
        multipart = "multipart" in request["headers"]["Content-Type"]
        return form(bytes(6001)) if multipart else bytes(6001 if "c-lim/big" in request["path"] else 5001)
    if found := re.match(r"<(\d+) (bytes|paths|prefixes)", body):
        number = int(found[1])
        if found[2] == "bytes":
            return bytes(number)
        names = [f"none/{each}" for each in range(number)]
        return json.dumps({"expiresIn": 60, found[2]: names}).encode()
    return body.encode()


def form(content: bytes) -> bytes:
    return (
        b'------labboundary7MA4YWxk\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n'
        b"Content-Type: application/pdf\r\n\r\n" + content + b"\r\n------labboundary7MA4YWxk--\r\n"
    )


def is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
