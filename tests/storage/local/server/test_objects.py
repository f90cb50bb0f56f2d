"""Objects by the Storage protocol: sent, read, copied, moved and deleted, and by whom."""

import json
import time
from base64 import b64encode
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from django.test import Client

from storage.local import buckets
from tests.support.storage_cast import PDF, Holder, anon, expired, member, nobody, refusal, service, token

GIF = b"GIF89a"
LAST_SECOND = 9007199254740  # that a token of the real server may have
MISSING, NO_BUCKET, DENIED = ("404", "NoSuchKey"), ("404", "NoSuchBucket"), ("403", "AccessDenied")


@pytest.fixture(autouse=True)
def _buckets() -> None:
    service.bucket("things")
    service.bucket("shown", public=True)
    service.bucket("small", file_size_limit=10, allowed_mime_types=["text/plain"])


def info(path: str) -> dict[str, Any]:
    answer = service.ask("GET", f"object/info/{path}")
    assert answer.status_code == 200, answer.body
    return answer.json()


def content(path: str) -> bytes:
    return service.ask("GET", f"object/{path}").body


def copy(source: str, target: str, **options: Any) -> Any:
    return service.ask("POST", "object/copy", places(source, target, **options.pop("told", {})), **options)


def move(source: str, target: str) -> Any:
    return service.ask("POST", "object/move", places(source, target))


def places(source: str, target: str, **told: Any) -> dict[str, Any]:
    (bucket, key), (other, new_key) = (path.split("/", 1) for path in (source, target))
    return {
        "bucketId": bucket,
        "sourceKey": key,
        "destinationBucket": other,
        "destinationKey": new_key,
        **told,
    }


def in_base64(metadata: Any) -> str:
    return b64encode(json.dumps(metadata).encode()).decode()


# --- Sent ---------------------------------------------------------------------------------------------


def test_what_is_sent_is_known():
    answer = service.upload("things/a/b.pdf", cache_control="max-age=60", x_metadata=in_base64({"k": "v"}))

    assert answer.json() == {"Key": "things/a/b.pdf", "Id": info("things/a/b.pdf")["id"]}
    known = info("things/a/b.pdf")
    assert known == {
        **known,
        "name": "a/b.pdf",
        "bucket_id": "things",
        "size": len(PDF),
        "content_type": "application/pdf",
        "cache_control": "max-age=60",
        "metadata": {"k": "v"},
        "last_modified": known["created_at"],
    }


class Slow(BytesIO):
    """A body during which the bucket is deleted."""

    def read(self, size: int | None = -1) -> bytes:
        with suppress(buckets.BucketMissing):
            buckets.delete("things")
        return super().read(size)


def test_a_bucket_that_is_deleted_while_the_bytes_travel_takes_nothing():
    sent = service.client.post(
        "/storage/v1/object/things/a", b"otter", "text/plain", **{"wsgi.input": Slow(b"otter")}
    )

    service.bucket("things")
    assert refusal(sent) == NO_BUCKET
    assert refusal(service.ask("GET", "object/things/a")) == MISSING


def test_the_id_stays_and_the_version_is_of_the_bytes():
    service.put("things/a")
    first = info("things/a")

    service.upload("things/a", GIF, x_upsert="true", content_type="image/gif")
    second = info("things/a")
    move("things/a", "shown/b")
    third = info("shown/b")

    assert first["id"] == second["id"] == third["id"]
    assert first["created_at"] == second["created_at"] == third["created_at"]
    assert first["version"] != second["version"]
    assert (second["size"], second["content_type"]) == (len(GIF), "image/gif")
    assert {**second, "name": "b", "bucket_id": "shown"} == third


@pytest.mark.parametrize(
    ("method", "upsert", "told"),
    [
        ("POST", None, ("409", "KeyAlreadyExists")),
        ("POST", "false", ("409", "KeyAlreadyExists")),
        ("POST", "TRUE", ("409", "KeyAlreadyExists")),
        ("POST", "true", None),
        ("PUT", None, None),
        ("PUT", "false", None),
    ],
)
def test_an_object_is_replaced_only_when_asked(method, upsert, told):
    service.put("things/a", x_metadata=in_base64({"old": 1}))

    options = {"x_upsert": upsert} if upsert else {}
    answer = service.ask(method, "object/things/a", GIF, content_type="image/gif", **options)

    assert answer.status_code == (400 if told else 200)
    assert told is None or refusal(answer) == told
    assert content("things/a") == (PDF if told else GIF)
    assert info("things/a")["metadata"] == ({"old": 1} if told else {})


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        (in_base64({"k": {"deep": [1, None]}}), {"k": {"deep": [1, None]}}),
        (in_base64({"ключ": "é"}), {"ключ": "é"}),
        (in_base64([1]), {}),
        (in_base64("text"), {}),
        (b64encode(b'{"k": NaN}').decode(), {}),
        (b64encode(b"\xff").decode(), {}),
        ("!", {}),
        ("", {}),
    ],
)
def test_metadata_that_is_no_object_says_nothing(header, kept):
    service.put("things/a", x_metadata=header)

    assert info("things/a")["metadata"] == kept


def form(*parts: tuple[str, bytes]) -> dict[str, Any]:
    body = b"".join(
        b"--edge\r\nContent-Disposition: form-data; " + head.encode() + b"\r\n\r\n" + content + b"\r\n"
        for head, content in parts
    )
    return {"content": body + b"--edge--\r\n", "content_type": "multipart/form-data; boundary=edge"}


FILE = ('name=""; filename="blob"\r\nContent-Type: image/gif', GIF)


@pytest.mark.parametrize(
    ("fields", "content_type", "cache_control", "metadata"),
    [
        ([], "image/gif", "no-cache", {}),
        ([('name="cacheControl"', b"3600")], "image/gif", "max-age=3600", {}),
        ([('name="cacheControl"', b"")], "image/gif", "no-cache", {}),
        ([('name="cacheControl"', b"soon\nEvil: 1")], "image/gif", "no-cache", {}),
        ([('name="metadata"', b'{"a": 1}')], "image/gif", "no-cache", {"a": 1}),
        ([('name="userMetadata"', b'{"a": 1}')], "image/gif", "no-cache", {"a": 1}),
        ([('name="metadata"', b"[")], "image/gif", "no-cache", {}),
        ([('name="contentType"', b"text/css"), ('name="x"', b"y")], "text/css", "no-cache", {}),
    ],
)
def test_a_form_says_beside_its_file_what_it_is(fields, content_type, cache_control, metadata):
    service.put("things/a", **form(*fields, FILE))

    known = info("things/a")
    assert content("things/a") == GIF
    assert (known["content_type"], known["cache_control"], known["metadata"]) == (
        content_type,
        cache_control,
        metadata,
    )


@pytest.mark.parametrize(
    "sent",
    [
        form(),
        form(('name="cacheControl"', b"3600")),
        {"content": b"", "content_type": "multipart/form-data; boundary=edge"},
        {"content": b"no form", "content_type": "multipart/form-data; boundary=edge"},
        {"content": GIF, "content_type": "multipart/form-data"},
    ],
)
def test_a_form_without_a_file_is_refused(sent):
    answer = service.upload("things/a", **sent)

    assert refusal(answer) == ("400", "InvalidRequest")
    assert answer.json()["error"] == "InvalidRequest"
    assert refusal(service.ask("GET", "object/things/a")) == MISSING


@pytest.mark.parametrize(
    ("path", "options", "told"),
    [
        ("none/a", {}, NO_BUCKET),
        ("none/a~", {}, NO_BUCKET),
        ("things/", {}, ("400", "InvalidKey")),
        ("things/a~", {}, ("400", "InvalidKey")),
        ("things/a/%2e%2e/b", {}, ("400", "InvalidKey")),
        ("things/%ff", {}, ("400", "InvalidKey")),
        ("small/a", {"content_type": "image/gif"}, ("415", "InvalidMimeType")),
        ("small/a", {"content": b"12345678901", "content_type": "text/plain"}, ("413", "EntityTooLarge")),
        ("small/.emptyFolderPlaceholder", {"content": b"x"}, ("413", "EntityTooLarge")),
    ],
)
def test_what_may_not_be_sent_is_refused(path, options, told):
    assert refusal(service.upload(path, **options)) == told


def test_a_placeholder_may_be_of_any_type():
    assert service.upload("small/f/.emptyFolderPlaceholder", b"", content_type="text/html").status_code == 200


# --- Copied and moved ---------------------------------------------------------------------------------


def test_a_copy_is_another_object_of_the_same_kind():
    service.put("things/a", cache_control="max-age=9", x_metadata=in_base64({"k": 1}))

    answer = copy("things/a", "shown/b/c", x_metadata=in_base64({"not": "taken"}))

    row, known, source = answer.json(), info("shown/b/c"), info("things/a")
    assert (row["Key"], row["Id"], row["name"], row["bucket_id"]) == (
        "shown/b/c",
        known["id"],
        "b/c",
        "shown",
    )
    assert known["id"] != source["id"]
    alike = ("size", "content_type", "cache_control", "etag", "metadata")
    assert {name: known[name] for name in alike} == {name: source[name] for name in alike}
    assert content("shown/b/c") == content("things/a") == PDF


@pytest.mark.parametrize(
    ("told", "header", "kept"),
    [
        ({"metadata": {"mimetype": "text/css"}}, {"x": 1}, ("application/pdf", "no-cache", {"k": 1})),
        ({"copyMetadata": True}, {"x": 1}, ("application/pdf", "no-cache", {"k": 1})),
        ({"copyMetadata": False}, {"x": 1}, ("application/pdf", "no-cache", {"x": 1})),
        (
            {"copyMetadata": "false", "metadata": {"mimetype": "text/css", "cacheControl": "max-age=1"}},
            {"x": 1},
            ("text/css", "max-age=1", {"x": 1}),
        ),
    ],
)
def test_a_copy_has_what_it_is_told_to_have_instead(told, header, kept):
    service.put("things/a", x_metadata=in_base64({"k": 1}))

    assert copy("things/a", "things/b", told=told, x_metadata=in_base64(header)).status_code == 200

    known = info("things/b")
    assert (known["content_type"], known["cache_control"], known["metadata"]) == kept


def test_a_copy_replaces_only_when_asked():
    service.put("things/a")
    service.put("things/b", content=GIF)
    before = info("things/b")

    assert refusal(copy("things/a", "things/b")) == ("409", "KeyAlreadyExists")
    assert content("things/b") == GIF
    assert copy("things/a", "things/b", x_upsert="true").json()["Id"] == before["id"]
    assert content("things/b") == PDF


@pytest.mark.parametrize("path", ["things/a", "shown/a", "shown/deep/a", "things/odd//a/"])
def test_a_move_leaves_nothing_behind(path):
    service.put("things/from")

    assert move("things/from", path).json() == {"message": "Successfully moved"}

    assert content(path) == PDF
    assert refusal(service.ask("GET", "object/things/from")) == MISSING
    assert refusal(move("things/from", path)) == MISSING


def test_a_move_never_replaces():
    service.put("things/a")
    service.put("things/b", content=GIF)

    assert refusal(move("things/a", "things/b")) == ("409", "ResourceAlreadyExists")
    assert (content("things/a"), content("things/b")) == (PDF, GIF)
    assert move("things/a", "things/a").status_code == 200
    assert content("things/a") == PDF


@pytest.mark.parametrize("verb", ["copy", "move"])
@pytest.mark.parametrize(
    ("source", "target", "told"),
    [
        ("things/none", "things/b", MISSING),
        ("things/a~", "things/b", MISSING),
        ("things/../a", "things/b", MISSING),
        ("things/\ud800", "things/b", MISSING),
        ("none/a", "things/b", MISSING),
        ("\ud800/a", "things/b", MISSING),
        ("things/a", "none/b", ("404", "InvalidRequest")),
        ("things/a", "\ud800/b", ("404", "InvalidRequest")),
        ("things/a", "things/é", ("400", "InvalidKey")),
        ("things/a", "things/../b", ("400", "InvalidKey")),
        ("things/a", "things/", ("400", "InvalidKey")),
    ],
)
def test_what_cannot_be_copied_or_moved_is_told(verb, source, target, told):
    service.put("things/a")

    answer = service.ask("POST", f"object/{verb}", places(source, target))

    assert refusal(answer) == told
    assert content("things/a") == PDF


@pytest.mark.parametrize("verb", ["copy", "move"])
@pytest.mark.parametrize("missing", ["bucketId", "sourceKey", "destinationKey"])
def test_a_place_that_is_not_told_is_asked_for(verb, missing):
    body = places("things/a", "things/b")
    del body[missing]

    assert refusal(service.ask("POST", f"object/{verb}", body)) == ("400", "InvalidRequest")


# --- Deleted ------------------------------------------------------------------------------------------


def test_one_is_deleted_once():
    service.put("things/a", "things/a/b")

    assert service.ask("DELETE", "object/things/a").json() == {"message": "Successfully deleted"}
    assert refusal(service.ask("DELETE", "object/things/a")) == MISSING
    assert content("things/a/b") == PDF


@pytest.mark.parametrize("path", ["things/none", "things/", "things/é", "things/%2e%2e", "none/a"])
def test_what_is_not_there_is_not_deleted(path):
    assert refusal(service.ask("DELETE", f"object/{path}")) == MISSING


def test_many_are_deleted_and_told():
    service.put("things/a", "things/b", "things/b/c", "things/d")

    keys = ["a", "a", "none", "b", "../documents/x", "\0", "\ud800", ""]
    rows = service.ask("DELETE", "object/things", {"prefixes": keys}).json()

    assert [row["name"] for row in rows] == ["a", "b"]
    assert all(row["bucket_id"] == "things" and row["metadata"]["size"] == len(PDF) for row in rows)
    assert (content("things/b/c"), content("things/d")) == (PDF, PDF)
    assert service.ask("DELETE", "object/none", {"prefixes": ["a"]}).json() == []


@pytest.mark.parametrize(
    "body", [{}, {"prefixes": []}, {"prefixes": {}}, {"prefixes": [{}]}, {"prefixes": [["a", "b"]]}]
)
def test_many_that_are_none_are_refused(body):
    assert refusal(service.ask("DELETE", "object/things", body)) == ("400", "InvalidRequest")


# --- Signed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["a b.pdf", "a+b&c=d;e:f@g$h,i?.pdf", "o'brien (1)!.pdf", "odd//key/"])
def test_every_key_can_be_signed(key):
    path = "things/" + key.replace("?", "%3F").replace(" ", "%20")
    service.put(path)

    one = service.ask("POST", f"object/sign/{path}", {"expiresIn": 60}).json()["signedURL"]
    [many] = service.ask("POST", "object/sign/things", {"expiresIn": "60", "paths": key}).json()

    for url in (one, many["signedURL"]):
        shown, _, secret = url.partition("?token=") if "?token=" in url else (url, "", "")
        assert shown == f"/object/sign/things/{key}"
        assert nobody.ask("GET", f"object/sign/{path}?token={secret}").body == PDF


@pytest.mark.parametrize(
    ("route", "body", "told"),
    [
        ("sign/things/a", {"expiresIn": 0}, ("400", "InvalidRequest")),
        ("sign/things/a", {"expiresIn": "soon"}, ("400", "InvalidRequest")),
        ("sign/things/a", {"expiresIn": 1e400}, ("400", "InvalidRequest")),
        ("sign/things/a", {"expiresIn": LAST_SECOND}, ("400", "InvalidParameter")),
        ("sign/things/none", {"expiresIn": 10**15}, ("400", "InvalidParameter")),
        ("sign/things", {"expiresIn": str(LAST_SECOND), "paths": ["a"]}, ("400", "InvalidParameter")),
        ("sign/things/a", {"expiresIn": 60, "transform": {"quality": 101}}, ("400", "InvalidRequest")),
        ("sign/things/a", {"expiresIn": 60, "transform": {"format": "gif"}}, ("400", "InvalidRequest")),
        ("sign/things/a", {"expiresIn": 60, "transform": []}, ("400", "InvalidRequest")),
        ("sign/things/none", {"expiresIn": 60}, MISSING),
        ("sign/none/a", {"expiresIn": 60}, MISSING),
        ("sign/things/é", {"expiresIn": 60}, ("400", "InvalidKey")),
        ("sign/things/%2e%2e/a", {"expiresIn": 60}, MISSING),
        ("sign/things", {"expiresIn": 60}, ("400", "InvalidRequest")),
        ("sign/things", {"expiresIn": 60, "paths": []}, ("400", "InvalidRequest")),
        ("sign/things", {"paths": ["a"]}, ("400", "InvalidRequest")),
        ("sign/things", {"expiresIn": 60, "paths": ["a"] * 1001}, ("400", "InvalidRequest")),
        ("upload/sign/none/a", {}, ("404", "InvalidRequest")),
        ("upload/sign/things/a", {}, ("409", "KeyAlreadyExists")),
    ],
)
def test_what_cannot_be_signed_is_told(route, body, told):
    service.put("things/a")

    assert (
        refusal(service.ask("POST", f"object/{route}", json.dumps(body), content_type="application/json"))
        == told
    )


def test_a_signature_may_be_for_very_long():
    service.put("things/a")

    url = service.ask(
        "POST", "object/sign/things/a", {"expiresIn": LAST_SECOND - int(time.time()) - 60}
    ).json()["signedURL"]

    assert nobody.ask("GET", url.removeprefix("/")).body == PDF


def test_many_are_signed_each_for_itself():
    service.put("things/a")

    rows = service.ask(
        "POST", "object/sign/things", {"expiresIn": 60, "paths": ["", "\ud800", "../a", 5, "a"]}
    ).json()

    assert [row["path"] for row in rows] == ["", "\ud800", "../a", "5", "a"]
    assert [bool(row["signedURL"]) for row in rows] == [False] * 4 + [True]


# --- Read ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("things/none", MISSING),
        ("things/dir", MISSING),
        ("things/dir/", MISSING),
        ("things/%2e%2e/things/dir/a", MISSING),
        ("things/é", ("400", "InvalidKey")),
        ("things/", ("400", "InvalidKey")),
        ("none/a", NO_BUCKET),
    ],
)
@pytest.mark.parametrize(
    "route", ["object/", "object/authenticated/", "object/info/", "object/info/authenticated/"]
)
def test_what_is_not_there_is_told(route, path, told):
    service.put("things/dir/a")

    assert refusal(service.ask("GET", f"{route}{path}")) == told


@pytest.mark.parametrize("route", ["object/", "object/authenticated/", "object/public/"])
@pytest.mark.parametrize(
    ("header", "status", "sent"),
    [
        ("bytes=0-3", 206, PDF[:4]),
        ("bytes=-4", 206, PDF[-4:]),
        ("bytes=4-", 206, PDF[4:]),
        ("bytes=0-9999", 206, PDF),
        ("bytes=9999-", 416, None),
        ("bytes=5-2", 416, None),
        ("bytes=-0", 416, None),
        ("bytes=a-b", 416, None),
        ("bytes=0-1,3-4", 416, None),
        ("lines=0-1", 200, PDF),
    ],
)
def test_every_route_serves_ranges(route, header, status, sent):
    service.put("shown/a")

    answer = service.ask("GET", f"{route}shown/a", range=header)
    head = service.ask("HEAD", f"{route}shown/a", range=header)

    assert answer.status_code == status
    assert sent is None or answer.body == sent
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(PDF)))


# --- Who ----------------------------------------------------------------------------------------------

ROUTES: list[tuple[str, str, Any, Any, Any]] = [
    # method, path, body, what a member or anon is told, what nobody is told (None: 200)
    ("POST", "object/things/new", PDF, DENIED, ("400", "InvalidRequest")),
    ("POST", "object/none/new", PDF, NO_BUCKET, ("400", "InvalidRequest")),
    ("PUT", "object/things/a", PDF, DENIED, ("400", "InvalidRequest")),
    ("GET", "object/things/a", None, MISSING, NO_BUCKET),
    ("GET", "object/things/none", None, MISSING, NO_BUCKET),
    ("GET", "object/authenticated/things/a", None, MISSING, ("400", "InvalidRequest")),
    ("GET", "object/public/things/a", None, NO_BUCKET, NO_BUCKET),
    ("GET", "object/info/things/a", None, MISSING, NO_BUCKET),
    ("GET", "object/info/authenticated/things/a", None, MISSING, ("400", "InvalidRequest")),
    ("GET", "object/info/public/things/a", None, NO_BUCKET, NO_BUCKET),
    ("GET", "object/shown/a", None, None, None),
    ("GET", "object/authenticated/shown/a", None, None, ("400", "InvalidRequest")),
    ("GET", "object/public/shown/a", None, None, None),
    ("GET", "object/info/shown/a", None, None, None),
    ("GET", "object/info/public/shown/a", None, None, None),
    ("POST", "object/shown/new", PDF, DENIED, ("400", "InvalidRequest")),
    ("DELETE", "object/shown/a", None, DENIED, ("400", "InvalidRequest")),
    ("DELETE", "object/shown/none", None, MISSING, ("400", "InvalidRequest")),
    ("POST", "object/copy", places("shown/a", "shown/b"), MISSING, ("400", "InvalidRequest")),
    ("POST", "object/move", places("shown/a", "shown/b"), MISSING, ("400", "InvalidRequest")),
    ("POST", "object/sign/shown/a", {"expiresIn": 60}, MISSING, ("400", "InvalidRequest")),
    ("POST", "object/upload/sign/shown/b", {}, DENIED, ("400", "InvalidRequest")),
]
OPEN_TO_BAD_TOKENS = ("object/things", "object/shown", "object/info/things", "object/info/shown", "public/")


@pytest.mark.parametrize(("method", "path", "body", "others", "no_token"), ROUTES)
def test_others_may_read_what_is_public_and_nothing_else(method, path, body, others, no_token):
    service.put("things/a", "shown/a")

    for who, told in ((member, others), (anon, others), (nobody, no_token)):
        answer = who.ask(method, path, body)
        assert (None if answer.status_code == 200 else refusal(answer)) == told

    told = no_token if method == "GET" and any(part in path for part in OPEN_TO_BAD_TOKENS) else DENIED
    for who in (expired, Holder("garbage"), Holder("")):
        answer = who.ask(method, path, body)
        assert (None if answer.status_code == 200 else refusal(answer)) == told
    assert (content("things/a"), content("shown/a")) == (PDF, PDF)
    assert [row["name"] for row in service.ask("POST", "object/list/shown", {"prefix": ""}).json()] == ["a"]


def test_many_are_signed_and_deleted_for_nobody_else():
    service.put("shown/a")

    for who in (member, anon):
        [row] = who.ask("POST", "object/sign/shown", {"expiresIn": 60, "paths": ["a"]}).json()
        assert (row["signedURL"], bool(row["error"])) == (None, True)
        assert who.ask("DELETE", "object/shown", {"prefixes": ["a"]}).json() == []
    assert content("shown/a") == PDF


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {token(role='service_role')}", 200),
        (f"bearer   {token(role='service_role')}", 200),
        (token(role="service_role"), 200),
        ("Bearer sb_secret_of_this_project", 200),
        ("Bearer sb_publishable_of_this_project", 400),
        ("Bearer sb_secret_of_this_projec", 400),
        (f"Bearer {token(role='Service_Role')}", 400),
        (f"Bearer {token(role=['service_role'])}", 400),
        (f"Bearer {token()}", 400),
        ("Basic YTpi", 400),
        ("Bearer é", 400),
        ("", 400),
    ],
)
def test_the_service_key_is_a_token_or_the_secret_key(authorization, status, settings):
    settings.SUPABASE_SECRET_KEY = "sb_secret_of_this_project"
    settings.SUPABASE_PUBLISHABLE_KEY = "sb_publishable_of_this_project"
    caller = Client(headers={"authorization": authorization}, raise_request_exception=False)

    answer = caller.post("/storage/v1/object/things/a", PDF, content_type="application/pdf")

    assert answer.status_code == status
    assert status == 200 or refusal(answer) == DENIED


def test_without_keys_configured_an_empty_one_opens_nothing(settings):
    settings.SUPABASE_SECRET_KEY = settings.SUPABASE_PUBLISHABLE_KEY = ""

    assert refusal(Holder("").upload("things/a")) == DENIED


# --- Sent by nginx ------------------------------------------------------------------------------------


def test_nginx_sends_a_file_only_if_the_setting_says_so(settings):
    service.upload("shown/a b/c.pdf")
    path = "object/public/shown/a b/c.pdf"

    sent = nobody.ask("GET", path)
    settings.ACCEL_REDIRECT = "/internal-objects/"
    named = nobody.ask("GET", path)

    assert sent.body == PDF
    assert "X-Accel-Redirect" not in sent.headers
    assert named.body == b""
    assert named.headers["X-Accel-Redirect"] == "/internal-objects/shown/a%20b/c.pdf"


def test_nginx_does_not_judge_what_it_would_judge_differently(settings):
    service.upload("shown/a.pdf")
    path = "object/public/shown/a.pdf"
    etag = nobody.ask("GET", path).headers["ETag"]
    settings.ACCEL_REDIRECT = "/internal-objects/"

    assert nobody.ask("GET", path, if_match=etag).body == PDF
    assert nobody.ask("GET", path, if_unmodified_since="never").body == PDF
    assert nobody.ask("GET", path, range="bytes = 0 - 3").body == PDF[:4]
    assert nobody.ask("GET", path, range="bytes=0-3").body == b""
    assert "X-Accel-Redirect" not in nobody.ask("HEAD", path).headers
    assert "X-Accel-Redirect" not in nobody.ask("GET", path, if_none_match=etag).headers
