"""The Storage protocol, asked of the routes in the same process: recorded exchanges, and bad input."""

from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.test import Client, RequestFactory

from api.auth.development_tokens import development_token
from storage import buckets, keys, tokens
from storage.buckets import Bucket
from storage.local import LocalStorage
from storage.local.objects import LocalObjects
from storage.local.server.responses import serve
from tests.storage.test_keys import HOSTILE
from tests.storage.test_keys import LEGAL as LEGAL_KEYS
from tests.support.work import processor_seconds

ANY, LIMITED, PUBLIC = (LocalStorage(name, public=name == "c-pub") for name in ("c-any", "c-lim", "c-pub"))
LIMIT = 1000
PDF = b"%PDF-1.4 lab document\n"


@pytest.fixture(autouse=True)
def _buckets(monkeypatch) -> None:
    """Those of the recording."""
    declared = {
        "c-any": Bucket("c-any"),
        "c-lim": Bucket("c-lim", False, LIMIT, ("application/pdf", "image/*", "text/plain")),
        "c-pub": Bucket("c-pub", public=True),
    }
    monkeypatch.setattr(buckets, "declared", lambda: declared)
    monkeypatch.setattr(buckets, "declared_bucket", declared.get)


@pytest.fixture
def media(settings) -> Path:
    return Path(settings.MEDIA_ROOT)


class Finished(Client):
    """A client that reads every answer to its end: `body` is what it read."""

    def request(self, **request: Any) -> Any:
        answer = super().request(**request)
        answer.body = answer.getvalue()
        return answer


client = Finished(raise_request_exception=False)


def upload(
    store: LocalStorage, key: str, content: Any = PDF, content_type: str = "application/pdf", **options: Any
) -> Any:
    token = tokens.mint("upload", store.bucket, key, 60, upsert=options.pop("upsert", False))
    path = f"/storage/v1/object/upload/sign/{store.bucket}/{quote(key)}?token={token}"
    # Django's client says no type of an empty body, unless it is told twice.
    return client.generic("PUT", path, content, content_type, CONTENT_TYPE=content_type, **options)


def download(store: LocalStorage, key: str, query: str = "", method: str = "GET", **headers: str) -> Any:
    token = tokens.mint("download", store.bucket, key, 60)
    path = f"/storage/v1/object/sign/{store.bucket}/{quote(key)}?token={token}{query}"
    return client.generic(method, path, headers=headers)


def put(store: LocalStorage, key: str, content: bytes = PDF, **options: Any) -> Any:
    told = {"content_type": "application/pdf", "cache_control": "max-age=60"}
    return store.objects.write(key, [content], **{**told, **options})


def code(answer: Any) -> str:
    """The code of a refusal, which must be whole, and JSON that no browser takes for a page."""
    assert answer.headers["Content-Type"] == "application/json", answer.content
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    body = answer.json()
    assert body.keys() == {"statusCode", "error", "message", "code"}
    return body["code"]


def left_behind(media: Path) -> list[str]:
    return [str(path.relative_to(media)) for path in (media / ".objects" / "arriving").glob("*")]


def chunked(body: bytes) -> dict[str, Any]:
    """What a server makes of a chunked body: no length, and an input that ends where it ends."""
    return {
        "wsgi.input": BytesIO(body),
        "wsgi.input_terminated": True,
        "HTTP_TRANSFER_ENCODING": "chunked",
        "CONTENT_LENGTH": "",
    }


# --- Keys and buckets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [key for key in LEGAL_KEYS if key.strip("?") == key], ids=ascii)
def test_every_legal_key_goes_up_and_comes_back(key):
    answer = upload(ANY, key)

    assert answer.json() == {"Key": f"c-any/{key}"}
    assert download(ANY, key).body == PDF


def is_legal(key: str) -> bool:
    try:
        return bool(keys.check_legal(key))
    except keys.InvalidKey:
        return False


@pytest.mark.parametrize(
    "key", [key for key in HOSTILE if key.isprintable() and key and not is_legal(key)], ids=ascii
)
def test_a_hostile_key_is_refused_even_with_a_token_for_it(key, media):
    """The browser's and the server's own tidying of paths may have made it another key."""
    for answer in (upload(ANY, key), download(ANY, key)):
        assert code(answer) in ("InvalidKey", "InvalidSignature", "InvalidRequest", "NoSuchKey")
        assert answer.status_code in (400, 404)
    assert not media.exists() or left_behind(media) == []


@pytest.mark.parametrize(
    "path",
    [
        "object/sign/c-any/..%2f..%2fmanage.py",
        "object/sign/c-any/%2e%2e/%2e%2e/manage.py",
        "object/sign/c-any/a%00b",
        "object/sign/c-any/a%0ab",
        "object/sign/../c-any/a",
        "object/sign/.objects/records",
        "object/sign/c-any/%ff%fe",
        "object/public/c-any/raw.pdf",
        "object/public/../c-any/raw.pdf",
        "object/public/.objects/locks/00",
        "object/public/%2e%2e/db.sqlite3",
        "object/public/c-pub/..%2fc-any%2fraw.pdf",
        "object/public/c-pub/../c-any/raw.pdf",
        "object/public/c-pub//etc/passwd",
        "object/public/c-pub/",
        "object/public/c-pub",
        "object/public/",
    ],
)
def test_no_path_leads_out_of_its_bucket(path):
    put(ANY, "raw.pdf", b"secret")
    put(PUBLIC, "p", b"public")

    answer = client.get(f"/storage/v1/{path}")

    assert answer.status_code in (400, 404)
    assert code(answer)
    assert b"secret" not in answer.content


ODD = [
    "file/below",
    "folder",
    "a//b",
    "/etc/passwd",
    "a/",
    "//",
    "x" * 300,
    f"{'x' * 300}/{'y' * 300}",
    "n/" * 600,
]


@pytest.mark.parametrize("key", ODD, ids=lambda key: key[:20])
def test_a_key_that_a_folder_cannot_have_is_kept_elsewhere_and_served_as_any_other(key, media):
    put(ANY, "file", b"a file")
    put(ANY, "folder/x", b"in a folder")

    assert upload(ANY, key, b"odd").status_code == 200

    assert download(ANY, key).body == b"odd"
    assert code(upload(ANY, key)) == "KeyAlreadyExists"
    assert key in list(ANY.objects.walk())
    assert download(ANY, "file").body == b"a file"
    assert download(ANY, "folder/x").body == b"in a folder"
    assert not any(path.is_relative_to(media / "c-any") for path in media.rglob("*") if path.name == "odd")
    ANY.objects.remove(key)
    assert code(download(ANY, key)) == "NoSuchKey"


# --- Tokens -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "token", ["", ".", "a.b.c", "%00", "%F0%9F%A6%86", "null", "eyJhbGciOiJub25lIn0.e30."]
)
@pytest.mark.parametrize(("method", "route"), [("PUT", "upload/sign"), ("GET", "sign"), ("HEAD", "sign")])
def test_garbage_for_a_token_is_refused(method, route, token):
    put(ANY, "a")

    answer = client.generic(method, f"/storage/v1/object/{route}/c-any/a?token={token}", b"x")

    assert answer.status_code == 400
    assert method == "HEAD" or code(answer) == "InvalidJWT"


def test_somebodys_access_token_is_no_token_here():
    put(ANY, "a")
    token = development_token("curator@example.org", role="staff")

    for query, headers in ((f"?token={token}", {}), ("", {"authorization": f"Bearer {token}"})):
        answer = client.get(f"/storage/v1/object/sign/c-any/a{query}", headers=headers)
        assert code(answer) in ("InvalidSignature", "InvalidRequest")


def test_whether_an_object_exists_is_told_to_nobody_without_its_token():
    put(ANY, "there")
    other = tokens.mint("download", "c-any", "other", 60)

    answers = [
        client.get(f"/storage/v1/object/sign/c-any/{key}?token={other}") for key in ("there", "missing")
    ]

    assert answers[0].content == answers[1].content


def test_the_last_of_two_tokens_counts_and_nothing_else_is_tried():
    put(ANY, "a")
    right = tokens.mint("download", "c-any", "a", 60)

    assert client.get(f"/storage/v1/object/sign/c-any/a?token=x&token={right}").status_code == 200
    assert client.get(f"/storage/v1/object/sign/c-any/a?token={right}&token=x").status_code == 400


# --- Bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, LIMIT - 1, LIMIT])
@pytest.mark.parametrize("framing", ["length", "chunked", "form"])
def test_a_body_up_to_the_limit_is_stored(size, framing):
    content = bytes(size)

    answer = send(content, framing)

    assert answer.status_code == 200
    assert LIMITED.size("a") == size


@pytest.mark.parametrize("size", [LIMIT + 1, 10 * LIMIT, 200 * LIMIT])
@pytest.mark.parametrize("framing", ["length", "chunked", "form", "chunked form"])
def test_a_body_over_the_limit_is_refused_and_leaves_nothing(size, framing, media):
    answer = send(bytes(size), framing)

    assert (answer.status_code, code(answer)) == (400, "EntityTooLarge")
    assert answer.json()["statusCode"] == "413"
    assert not LIMITED.exists("a")
    assert not media.exists() or left_behind(media) == []


BOUNDARY = "----formdata-undici-012345678901"


def form(*parts: tuple[str, bytes], end: str = "--\r\n") -> bytes:
    """Of parts: their header lines, without the last line break, and their content."""
    return (
        b"".join(
            f"--{BOUNDARY}\r\n{headers}\r\n\r\n".encode(errors="surrogateescape") + content + b"\r\n"
            for headers, content in parts
        )
        + f"--{BOUNDARY}{end}".encode()
    )


CACHE = 'Content-Disposition: form-data; name="cacheControl"'
PART = 'Content-Disposition: form-data; name=""; filename="blob"\r\nContent-Type: application/pdf'
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def send(content: bytes, framing: str) -> Any:
    if framing == "length":
        return upload(LIMITED, "a", content)
    if framing == "chunked":
        return upload(LIMITED, "a", content, **chunked(content))
    body = form((CACHE, b"3600"), (PART, content))
    return upload(LIMITED, "a", body, FORM, **(chunked(body) if framing == "chunked form" else {}))


def test_a_form_as_storage_js_sends_it_is_stored():
    body = form((CACHE, b"7"), (PART, PDF))

    assert upload(LIMITED, "a", body, FORM).json() == {"Key": "c-lim/a"}

    info = LIMITED.describe("a")
    assert (info.size, info.content_type, info.cache_control) == (len(PDF), "application/pdf", "max-age=7")


def test_a_file_that_looks_like_a_boundary_is_stored_whole():
    content = f"\r\n--{BOUNDARY[:-1]}\r\n\r\n--\r\n".encode()

    assert upload(LIMITED, "a", form((PART, content)), FORM).status_code == 200
    assert download(LIMITED, "a").body == content


NO_FORMS = {
    "garbage": (b"garbage", FORM),
    "nothing but the end": (f"--{BOUNDARY}--\r\n".encode(), FORM),
    "no file": (form((CACHE, b"3600")), FORM),
    "no end": (form((PART, PDF), end=""), FORM),
    "cut in the file": (form((PART, PDF))[:-50], FORM),
    "cut after the file": (form((PART, PDF), (CACHE, b"3600"))[:-60], FORM),
    "cut in the headers": (form((PART, PDF))[:60], FORM),
    "no boundary": (form((PART, PDF)), "multipart/form-data"),
    "empty boundary": (form((PART, PDF)), "multipart/form-data; boundary="),
    "another boundary": (form((PART, PDF)), "multipart/form-data; boundary=x"),
    "no disposition": (form(("Content-Type: application/pdf", PDF)), FORM),
    "headers that are no text": (form((PART.replace("blob", "\udcff"), PDF)), FORM),
    "a hundred fields": (form(*[(CACHE, b"1")] * 100, (PART, PDF)), FORM),
    "longer than it says": (form((f"{PART}\r\nContent-Length: 1", bytes(5000))), FORM),
    "an endless header": (form((PART + "x" * 10_000, PDF)), FORM),
}


@pytest.mark.parametrize(("body", "content_type"), NO_FORMS.values(), ids=NO_FORMS.keys())
def test_a_form_that_is_none_is_refused_and_leaves_nothing(body, content_type, media):
    answer = upload(LIMITED, "a", body, content_type)

    assert (answer.status_code, code(answer)) == (400, "InvalidRequest")
    assert not LIMITED.exists("a")
    assert not media.exists() or left_behind(media) == []


def test_a_field_of_a_form_is_not_read_into_memory_whatever_its_size(settings):
    """The limit of the bucket is for the file, which is streamed."""
    settings.STORAGE_FILE_SIZE_LIMIT = 10_000_000

    assert code(upload(ANY, "a", form((CACHE, b"9" * 1_000_000), (PART, PDF)), FORM)) == "EntityTooLarge"


@pytest.mark.parametrize("seconds", ["", "-1", "1.5", "٣", "1\r\nX-Evil: 1", "9" * 400, "max-age=5", "\0"])
def test_a_lifetime_of_no_kind_is_none(seconds):
    assert upload(ANY, "a", form((CACHE, seconds.encode()), (PART, PDF)), FORM).status_code == 200

    assert ANY.describe("a").cache_control == "no-cache"


@pytest.mark.parametrize(
    "evil", ["a/b\nX-Evil: 1", "a/b\rX-Evil: 1", "a/b\0", "a/\x1b[2J", "a/é", "a/\u202e"]
)
def test_a_type_that_could_not_be_served_is_refused(evil):
    part = PART.replace("application/pdf", evil)

    assert code(upload(ANY, "a", form((part, PDF)), FORM)) == "InvalidMimeType"
    assert not ANY.exists("a")


@pytest.mark.parametrize("length", ["-1", "-5000", "abc", "1e3", "0x10", "9" * 5000])
def test_a_length_that_is_none_is_refused(length):
    answer = upload(ANY, "a", PDF, CONTENT_LENGTH=length)

    assert (answer.status_code, code(answer)) == (400, "InvalidRequest")
    assert not ANY.exists("a")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html",
        "APPLICATION/PDF",
        "application/pdf; charset=utf-8",
        "application/x-www-form-urlencoded",
        "",
    ],
)
@pytest.mark.parametrize("framing", ["raw", "form"])
def test_a_type_that_the_bucket_does_not_take_is_refused(content_type, framing):
    part = PART.replace("Content-Type: application/pdf", f"Content-Type: {content_type}")
    body, sent_as = (PDF, content_type) if framing == "raw" else (form((part, PDF)), FORM)

    answer = upload(LIMITED, "a", body, sent_as)

    assert (answer.json()["statusCode"], code(answer)) == ("415", "InvalidMimeType")
    assert not LIMITED.exists("a")


def test_the_limit_of_the_store_holds_for_every_bucket(settings):
    settings.STORAGE_FILE_SIZE_LIMIT = 10

    assert code(upload(ANY, "a", bytes(11))) == "EntityTooLarge"
    assert code(upload(LIMITED, "a", bytes(11))) == "EntityTooLarge"
    assert upload(ANY, "a", bytes(10)).status_code == 200


def test_an_object_is_replaced_only_with_a_token_that_says_so():
    put(ANY, "a", b"first")

    assert code(upload(ANY, "a", b"second", headers={"x-upsert": "true"})) == "KeyAlreadyExists"
    assert upload(ANY, "a", b"second", upsert=True).status_code == 200

    assert download(ANY, "a").body == b"second"


# --- Answers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", ["text/html", "TEXT/HTML", "text/html; charset=utf-8", " text/html"])
def test_a_page_is_served_as_text(content_type):
    put(PUBLIC, "p.html", b"<script>", content_type=content_type)

    assert client.get("/storage/v1/object/public/c-pub/p.html").headers["Content-Type"] == "text/plain"


@pytest.mark.parametrize("content_type", ["image/svg+xml", "application/xhtml+xml", "text/xml", "text/html"])
def test_nothing_that_is_served_may_act_on_this_origin(content_type):
    put(PUBLIC, "p", b"<script>alert(1)</script>", content_type=content_type)

    for answer in (client.get("/storage/v1/object/public/c-pub/p"), download(PUBLIC, "p")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"] == "sandbox"
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        "object/upload/sign/c-lim/a.pdf",
        "object/sign/c-any/a",
        "object/public/c-pub/p",
        "object/public/c-none/p",
        "object/c-any/a",
        "bucket",
        "",
    ],
)
def test_every_origin_may_ask(path):
    headers = {
        "origin": "https://app.example",
        "access-control-request-method": "PUT",
        "access-control-request-headers": "authorization,x-upsert,content-type",
    }

    answer = client.options(f"/storage/v1/{path}", headers=headers)

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "PUT" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization,x-upsert,content-type"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_page_elsewhere_may_read_answers_and_refusals():
    put(PUBLIC, "p")

    for path in ("object/public/c-pub/p", "object/public/c-pub/missing", "object/sign/c-any/a", "nowhere"):
        answer = client.get(f"/storage/v1/{path}", headers={"origin": "https://app.example"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE", "PUT", "TRACE", "PROPFIND"])
@pytest.mark.parametrize(
    "path", ["render/image/sign/c-any/a", "nowhere", "", "bucket/a/b/c", "a\nb"], ids=ascii
)
def test_an_unknown_route_is_told_without_its_query(method, path):
    answer = client.generic(method, f"/storage/v1/{quote(path)}?token=eyJsecret", b"x")

    assert (answer.status_code, code(answer)) == (404, "InvalidRequest")
    assert b"eyJsecret" not in answer.content


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("POST", "upload/sign"),
        ("GET", "upload/sign"),
        ("DELETE", "upload/sign"),
        ("PATCH", "upload/sign"),
        ("PUT", "sign"),
        ("POST", "sign"),
        ("DELETE", "sign"),
        ("PUT", "public"),
        ("DELETE", "public"),
    ],
)
def test_another_method_does_nothing_even_with_the_token(method, route):
    put(PUBLIC, "there")
    scope = "upload" if route.startswith("upload") else "download"
    for key in ("there", "new"):
        token = tokens.mint(scope, "c-pub", key, 60)
        answer = client.generic(method, f"/storage/v1/object/{route}/c-pub/{key}?token={token}", PDF)

        assert answer.status_code in (400, 404)
        assert code(answer) in ("InvalidRequest", "InvalidMimeType", "NoSuchBucket")
        assert token not in answer.content.decode()

    assert PUBLIC.listdir("") == ([], ["there"])


def test_a_store_in_trouble_says_try_again_and_nothing_of_the_disk(media):
    media.write_bytes(b"")

    for answer in (upload(ANY, "a"), download(ANY, "a")):
        assert (answer.status_code, code(answer)) == (503, "SlowDown")
        assert answer.headers["Retry-After"] == "5"
        assert str(media) not in answer.content.decode()


def test_a_bug_is_told_without_its_traceback(monkeypatch, settings):
    settings.DEBUG = True
    monkeypatch.setattr(LocalObjects, "open", lambda objects, key: 1 / 0)

    answer = download(ANY, "a")

    assert (answer.status_code, code(answer)) == (500, "InternalError")
    assert b"division" not in answer.content


def test_csrf_cookies_are_not_asked_for():
    strict = Client(enforce_csrf_checks=True)
    token = tokens.mint("upload", "c-any", "a", 60)

    answer = strict.put(f"/storage/v1/object/upload/sign/c-any/a?token={token}", PDF, "application/pdf")

    assert answer.status_code == 200


@pytest.mark.parametrize("key", ["a", "missing"])
@pytest.mark.parametrize("query", ["", "&download=", "&download=x"])
def test_head_has_the_headers_of_get_and_no_body(key, query):
    put(ANY, "a")

    get, head = (download(ANY, key, query, method) for method in ("GET", "HEAD"))

    ignored = {"X-Request-ID", "Expires"}
    assert head.status_code == get.status_code
    assert head.body == b""
    assert {name for name in get.headers if name not in ignored} == {
        name for name in head.headers if name not in ignored
    }
    assert head.headers["Content-Type"] == get.headers["Content-Type"]


@pytest.mark.django_db  # Django lets go of its database connections at the same time
def test_an_answer_that_nobody_reads_lets_go_of_its_file():
    put(ANY, "a")

    answer = serve(RequestFactory().get("/"), ANY.objects, "a")
    answer.close()

    assert answer.file.closed


def test_a_wrong_condition_on_an_object_is_told():
    etag = put(ANY, "a").etag

    refused = download(ANY, "a", **{"if-match": '"other"'})

    assert (refused.status_code, refused.json()["code"]) == (412, "PreconditionFailed")
    assert download(ANY, "a", **{"if-match": etag}).status_code == 200
    assert download(ANY, "a", **{"if-match": "*"}).status_code == 200


SPACES = " " * 100_000


@pytest.mark.parametrize(
    "range_", [f"bytes={SPACES}-{SPACES}x", f"bytes=1-{SPACES}x", f"bytes{SPACES}={SPACES}x"]
)
def test_a_range_is_read_in_linear_time(range_: str):
    put(ANY, "a.pdf")

    with processor_seconds(10):
        assert download(ANY, "a.pdf", Range=range_).status_code == 416


def test_spaces_in_a_range_do_not_matter():
    put(ANY, "a.pdf")

    assert download(ANY, "a.pdf", Range=" bytes = 1 - 3 ").body == PDF[1:4]
