"""Resumable uploads, asked of the routes in the same process: bad input, races and crashes."""

import json
import os
import time
from base64 import b64encode, urlsafe_b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from hashlib import md5
from io import BytesIO
from pathlib import Path
from threading import Barrier, Event
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import jwt
import pytest
from django.conf import settings as configured
from django.test import Client

from storage import tokens
from storage.buckets import Bucket
from storage.errors import ObjectMissing
from storage.local import LocalStorage, buckets, resumable_uploads
from storage.local.metadata import StoredObject, digest
from storage.local.objects import LocalObjects

BYTES = "application/offset+octet-stream"
SIGN, SERVICE = "/storage/v1/upload/resumable/sign", "/storage/v1/upload/resumable"
TEXT = "text/plain;charset=UTF-8"
LIMIT = 1000


@pytest.fixture(autouse=True)
def _buckets() -> None:
    """Those of the recording."""
    buckets.create(Bucket("c-any"))
    buckets.create(
        Bucket(
            "c-lim", file_size_limit=LIMIT, allowed_mime_types=("application/pdf", "image/*", "text/plain")
        )
    )


client = Client(raise_request_exception=False)


def ask(method: str, path: str, body: Any = b"", content_type: str = "", **headers: Any) -> Any:
    """A header whose value is None is not sent."""
    told = {"tus-resumable": "1.0.0", **{name.replace("_", "-"): value for name, value in headers.items()}}
    typed = (
        {"CONTENT_TYPE": content_type} if content_type else {}
    )  # which an empty body has only if told twice
    return client.generic(
        method,
        urlsplit(path).path,
        body,
        content_type,
        headers={name: str(value) for name, value in told.items() if value is not None},
        **typed,
    )


def metadata(key: str, bucket: str = "c-lim", **told: str) -> str:
    values = {"bucketName": bucket, "objectName": key, "contentType": "application/pdf", **told}
    return ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in values.items())


def token(key: str, bucket: str = "c-lim", **options: Any) -> str:
    return tokens.mint("upload", bucket, key, 60, **options)


def service() -> str:
    return "Bearer " + jwt.encode({"role": "service_role", "exp": 2**40}, configured.SUPABASE_JWT_SECRET)


class Upload:
    """An upload by a token for its object."""

    endpoint = SIGN

    def __init__(self, key: str = "a.pdf", length: Any = 30, bucket: str = "c-lim", **options: Any) -> None:
        self.key, self.bucket = key, bucket
        claims = {name: options.pop(name) for name in ("upsert", "max_size") if name in options}
        self.shown = self.show(**claims)
        told = {"upload_length": length, "upload_metadata": metadata(key, bucket)}
        self.created = ask("POST", self.endpoint, **{**self.shown, **told, **options})
        self.url = self.created.headers.get("Location", "")

    def show(self, **claims: Any) -> dict[str, str]:
        return {"x_signature": token(self.key, self.bucket, **claims)}

    def head(self, **headers: Any) -> Any:
        return ask("HEAD", self.url, **{**self.shown, **headers})

    def patch(self, content: Any, offset: Any = 0, content_type: str = BYTES, **headers: Any) -> Any:
        told = {**self.shown, "upload_offset": offset, **headers}
        return ask("PATCH", self.url, content, content_type, **told)

    def patch_chunked(self, content: Any, offset: int = 0) -> Any:
        """As a server hands on a chunked body: no length, and an input that ends where it ends."""
        return client.generic(
            "PATCH",
            urlsplit(self.url).path,
            b"",
            BYTES,
            headers={
                "tus-resumable": "1.0.0",
                **{name.replace("_", "-"): value for name, value in self.shown.items()},
                "upload-offset": str(offset),
                "transfer-encoding": "chunked",
            },
            **{
                "CONTENT_TYPE": BYTES,
                "CONTENT_LENGTH": "",
                "wsgi.input_terminated": True,
                "wsgi.input": content if hasattr(content, "read") else BytesIO(content),
            },
        )

    def delete(self) -> Any:
        return ask("DELETE", self.url, **self.shown)

    @property
    def offset(self) -> int:
        answer = self.head()
        assert answer.status_code == 200, answer.status_code
        return int(answer.headers["Upload-Offset"])

    @property
    def stored(self) -> bytes | None:
        try:
            file, _ = LocalObjects(self.bucket).open(self.key)
        except ObjectMissing:
            return None
        with file:
            return file.read()

    def known(self) -> StoredObject:
        return LocalObjects(self.bucket).describe(self.key)


class ByService(Upload):
    """An upload with the service key, of which an object may have several."""

    endpoint = SERVICE

    def show(self, **claims: Any) -> dict[str, str]:
        return {"authorization": service()}


def refused(answer: Any, status: int) -> bool:
    """A refusal in the words of TUS, that no browser takes for a page."""
    assert answer.status_code == status, (answer.status_code, answer.content)
    assert answer.headers["Content-Type"] == TEXT
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    return True


def uploads(settings: Any) -> list[Path]:
    """What the store has of uploads that are under way or known still."""
    return sorted((Path(settings.MEDIA_ROOT) / ".objects" / "parts").glob("*/*"))


class CutOff(BytesIO):
    """A connection that breaks off after its bytes."""

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        if not piece:
            raise ConnectionResetError
        return piece


class Stalling(BytesIO):
    """A connection that the server gives up after its bytes."""

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        if not piece:
            raise TimeoutError
        return piece


class Drips(BytesIO):
    """A connection that brings little at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(10)


# --- From the first byte to the last ----------------------------------------------------------------------


def test_what_goes_up_in_parts_comes_back_whole():
    upload = Upload(
        length=30, upload_metadata=metadata("a.pdf", cacheControl="60", metadata='{"keeper": "Ada"}')
    )
    content = os.urandom(30)

    assert upload.patch(content[:10]).headers["Upload-Offset"] == "10"
    assert upload.stored is None
    assert upload.offset == 10
    assert upload.patch_chunked(content[10:20], 10).headers["Upload-Offset"] == "20"
    last = upload.patch(content[20:], 20)

    assert (last.status_code, last.headers["Tus-Complete"]) == (204, "1")
    assert upload.stored == content
    known = upload.known()
    assert known.etag == f'"{md5(content).hexdigest()}"'
    assert (known.content_type, known.cache_control) == ("application/pdf", "max-age=60")
    assert known.metadata == {"keeper": "Ada"}
    assert known.version == named(upload)[0]
    assert upload.created.headers["Location"].startswith(f"{configured.SUPABASE_URL}{SIGN}/")


def test_the_length_may_be_told_later():
    upload = Upload(length=None, upload_defer_length=1)

    assert upload.head().headers["Upload-Defer-Length"] == "1"
    assert "Upload-Length" not in upload.head().headers
    assert upload.patch(b"otter").headers["Upload-Offset"] == "5"
    assert upload.stored is None
    assert upload.patch(b" and", 5, upload_length=9).headers["Tus-Complete"] == "1"

    assert upload.stored == b"otter and"
    assert upload.head().headers["Upload-Length"] == "9"


def test_the_length_may_be_told_by_a_part_without_bytes():
    upload = Upload(length=None, upload_defer_length=1)
    upload.patch(b"otter")

    assert upload.patch(b"", 5, upload_length=5).headers["Tus-Complete"] == "1"
    assert upload.stored == b"otter"


@pytest.mark.parametrize(
    ("length", "again", "status"),
    [(30, 30, 400), (30, 31, 400), (None, 4, 400), (None, LIMIT + 1, 413), (None, 10**17, 413)],
)
def test_a_length_told_later_must_fit(length, again, status):
    upload = Upload(length=length, upload_defer_length=None if length else 1)
    upload.patch(b"otter")

    assert refused(upload.patch(b"x", 5, upload_length=again), status)
    assert upload.offset == 5


@pytest.mark.parametrize("size", [0, 5])
def test_an_upload_may_be_made_and_finished_at_once(size):
    content = b"otter"[:size]
    told = {"x_signature": token("a.pdf"), "upload_length": size, "upload_metadata": metadata("a.pdf")}

    answer = ask("POST", SIGN, content, BYTES, **told)

    assert (answer.status_code, answer.headers["Tus-Complete"]) == (201, "1")
    assert answer.headers["Upload-Offset"] == str(size)
    assert LocalObjects("c-lim").describe("a.pdf").size == size


def test_an_upload_may_be_made_with_its_first_bytes():
    told = {"x_signature": token("a.pdf"), "upload_length": 9, "upload_metadata": metadata("a.pdf")}
    upload = Upload("other.pdf")
    upload.key, upload.shown = "a.pdf", {"x_signature": told["x_signature"]}

    answer = ask("POST", SIGN, b"otter", BYTES, **told)
    upload.url = answer.headers["Location"]

    assert (answer.status_code, answer.headers["Upload-Offset"]) == (201, "5")
    assert "Tus-Complete" not in answer.headers
    assert upload.patch(b" and", 5).headers["Tus-Complete"] == "1"
    assert upload.stored == b"otter and"


def test_an_upload_that_cannot_be_made_leaves_nothing(settings):
    told = {"x_signature": token("a.pdf"), "upload_length": 3, "upload_metadata": metadata("a.pdf")}

    assert refused(ask("POST", SIGN, b"otter", BYTES, **told), 413)
    assert uploads(settings) == []


def test_the_service_key_may_send_anything_anywhere():
    told = {"authorization": service(), "upload_length": 5, "upload_metadata": metadata("x/y.bin", "c-any")}

    created = ask("POST", SERVICE, **told)
    place = created.headers["Location"]
    done = ask("PATCH", place, b"otter", BYTES, authorization=service(), upload_offset=0)

    assert place.startswith(f"{configured.SUPABASE_URL}{SERVICE}/")
    assert done.headers["Tus-Complete"] == "1"
    assert LocalObjects("c-any").describe("x/y.bin").size == 5


@pytest.mark.parametrize(("path", "header"), [(SIGN, "x_signature"), (SERVICE, "authorization")])
def test_an_endpoint_may_end_in_a_slash(path, header):
    who = token("a.pdf") if header == "x_signature" else service()
    told = {header: who, "upload_length": 5, "upload_metadata": metadata("a.pdf")}

    created = ask("POST", f"{path}/", **told)

    assert ask("OPTIONS", f"{path}/").status_code == 204
    assert created.headers["Location"].startswith(f"{configured.SUPABASE_URL}{path}/")
    assert ask("HEAD", created.headers["Location"], **{header: who}).status_code == 200


@pytest.mark.parametrize("method", ["PATCH", "HEAD", "DELETE"])
def test_a_method_may_be_said_in_a_header(method):
    upload = Upload()

    answer = ask(
        "POST",
        upload.url,
        b"otter",
        BYTES,
        **upload.shown,
        upload_offset=0,
        x_http_method_override=method,
    )

    assert answer.status_code == {"PATCH": 204, "HEAD": 200, "DELETE": 204}[method]
    if method == "PATCH":
        assert upload.offset == 5
    if method == "DELETE":
        assert refused(upload.head(), 404)


def test_unknown_metadata_is_kept_and_told():
    told = metadata("a.pdf") + ",empty,note w6nDtg=="

    answer = Upload(upload_metadata=told).head()

    assert answer.headers["Upload-Metadata"] == told + ",cacheControl bm8tY2FjaGU="
    assert answer.headers["Cache-Control"] == "no-store"


def test_an_upload_that_is_given_up_is_gone(settings):
    upload = Upload()
    upload.patch(b"otter")

    assert upload.delete().status_code == 204

    assert uploads(settings) == []
    for answer in (upload.head(), upload.patch(b"x", 5), upload.delete()):
        assert refused(answer, 404)


def test_a_finished_upload_answers_as_before_and_does_nothing_again(settings):
    upload = Upload(length=5)
    upload.patch(b"otter")
    LocalObjects("c-lim").move("a.pdf", LocalObjects("c-any"), "moved.pdf")

    assert upload.offset == 5
    assert upload.patch(b"", 5).headers["Tus-Complete"] == "1"
    assert refused(upload.patch(b"other"), 409)
    assert refused(upload.delete(), 400)
    assert upload.stored is None


# --- Who ----------------------------------------------------------------------------------------------------


def test_an_upload_token_opens_its_object_only():
    upload = Upload()
    wrong = {
        "none": None,
        "empty": "",
        "garbage": "x.y.z",
        "other object": token("b.pdf"),
        "other bucket": token("a.pdf", "c-any"),
        "to read": tokens.mint("download", "c-lim", "a.pdf", 60),
        "expired": tokens.mint("upload", "c-lim", "a.pdf", -1),
        "of another": jwt.encode({"url": "c-lim/a.pdf", "scope": "upload", "exp": 2**40}, "x" * 40),
        "service key": service(),
    }

    for what, signature in wrong.items():
        assert refused(upload.head(x_signature=signature), 400), what
        assert refused(upload.patch(b"x", x_signature=signature), 400), what
        assert refused(ask("DELETE", upload.url, x_signature=signature), 400), what
        told = {"upload_length": 5, "upload_metadata": metadata("a.pdf")}
        assert refused(ask("POST", SIGN, x_signature=signature, **told), 400), what
    assert upload.offset == 0


@pytest.mark.parametrize("role", ["anon", "authenticated", ""])
@pytest.mark.parametrize("method", ["POST", "HEAD", "PATCH", "DELETE"])
def test_without_the_service_key_nothing_is_done(role, method):
    told = {"upload_length": 5, "upload_metadata": metadata("a.pdf")}
    place = ask("POST", SERVICE, authorization=service(), **told).headers["Location"]
    bearer = "Bearer " + jwt.encode({"role": role, "exp": 2**40}, configured.SUPABASE_JWT_SECRET)

    answer = ask(
        method,
        SERVICE if method == "POST" else place,
        b"x" if method == "PATCH" else b"",
        BYTES if method == "PATCH" else "",
        authorization=bearer,
        upload_offset=0,
        **told if method == "POST" else {},
    )

    assert refused(answer, 403)
    assert ask("HEAD", place, authorization=service()).headers["Upload-Offset"] == "0"


@pytest.mark.parametrize("authorization", [None, "", "Bearer x", "Bearer " + "x." * 40])
def test_who_shows_no_token_is_refused_in_the_words_of_the_store(authorization):
    answer = ask("POST", SERVICE, authorization=authorization)

    assert (answer.status_code, answer.json()["statusCode"]) == (400, "403")
    assert answer.json()["code"] == "AccessDenied"
    assert answer.headers["Tus-Resumable"] == "1.0.0"


def test_a_header_does_not_make_a_token_overwrite():
    assert Upload(length=5).patch(b"first").status_code == 204

    again = Upload(length=6, x_upsert="true")

    assert refused(again.created, 409)
    assert again.stored == b"first"


def test_a_token_may_overwrite_if_it_says_so():
    Upload(length=5).patch(b"first")

    assert Upload(length=6, upsert=True).patch(b"second").status_code == 204
    assert Upload().stored == b"second"


# --- One wins -----------------------------------------------------------------------------------------------


def test_of_many_that_finish_one_object_one_does(settings):
    """The others are told, and nothing of theirs is left that a client could take for success."""
    many = [ByService(length=6) for _ in range(12)]
    ready = Barrier(12)

    def send(number: int) -> int:
        many[number].patch(b"%05d" % number)
        ready.wait(timeout=30)
        return many[number].patch(b"!", 5).status_code

    with ThreadPoolExecutor(12) as threads:
        statuses = list(threads.map(send, range(12)))

    assert sorted(statuses) == [204] + [409] * 11
    winner = statuses.index(204)
    assert many[winner].stored == b"%05d!" % winner
    for number, upload in enumerate(many):
        assert upload.head().status_code == (200 if number == winner else 404)
    assert len(uploads(settings)) == 1


def test_one_writes_at_a_time(monkeypatch):
    monkeypatch.setattr(resumable_uploads, "WAIT_SECONDS", 0.1)
    upload, other = Upload(), Upload("b.pdf")
    folder = named(upload)

    with resumable_uploads.locked(*folder):
        answer = upload.patch(b"otter")
        assert refused(answer, 423)  # which tus-js-client tries again
        assert answer.headers["Retry-After"] == "1"
        assert refused(upload.delete(), 423)
        assert upload.offset == 0
        assert other.patch(b"otter").status_code == 204

    assert upload.patch(b"otter").status_code == 204


def test_who_waits_finds_what_the_one_before_has_written():
    upload = Upload()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: upload.patch(b"%05d" % n), range(8)))

    assert sorted(answer.status_code for answer in answers) == [204] + [409] * 7
    assert upload.offset == 5


def named(upload: Upload) -> tuple[str, str, str]:
    """What `parts` calls it."""
    return folder_of(upload).name, upload.bucket, upload.key


def folder_of(upload: Upload) -> Path:
    (folder,) = [
        path.parent
        for path in (Path(configured.MEDIA_ROOT) / ".objects" / "parts").glob("*/*/record.json")
        if json.loads(path.read_text())["key"] == upload.key
    ]
    return folder


# --- One open upload of a key ------------------------------------------------------------------------------


def test_who_missed_the_answer_makes_another_upload_and_the_first_is_gone(settings):
    lost, elsewhere = Upload(), Upload("b.pdf")
    lost.patch(b"otter")

    again = Upload()

    assert refused(lost.head(), 404)
    assert refused(lost.patch(b"x", 5), 404)
    assert (again.offset, elsewhere.offset) == (0, 0)
    assert len(uploads(settings)) == 2


def test_an_upload_that_is_being_written_is_not_replaced(monkeypatch):
    monkeypatch.setattr(resumable_uploads, "WAIT_SECONDS", 0.1)
    upload = Upload()

    with resumable_uploads.locked(*named(upload)):
        assert refused(Upload().created, 423)  # which tus-js-client tries again

    assert upload.offset == 0
    assert Upload().offset == 0
    assert refused(upload.head(), 404)


def test_who_makes_another_upload_waits_for_the_part_that_is_being_written():
    """A connection that broke silently is closed after a while."""
    upload = Upload()
    written = Event()

    class Slow(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            written.set()
            time.sleep(0.2)
            return super().read(size)

    with ThreadPoolExecutor(1) as threads:
        threads.submit(upload.patch_chunked, Slow(b"otter"))
        written.wait(timeout=30)
        again = Upload()

    assert again.created.status_code == 201
    assert refused(upload.head(), 404)


def test_of_many_uploads_that_are_made_at_once_one_stays_open(settings):
    ready = Barrier(8)

    def make(number: int) -> Upload:
        ready.wait(timeout=30)
        return Upload()

    with ThreadPoolExecutor(8) as threads:
        many = list(threads.map(make, range(8)))

    assert {upload.created.status_code for upload in many} <= {201, 423}
    assert [upload.head().status_code for upload in many if upload.url].count(200) == 1
    assert len(uploads(settings)) == 1


def test_a_finished_upload_is_not_replaced():
    """Its client may have missed the answer, and asks again."""
    upload = Upload(length=5)
    upload.patch(b"otter")

    Upload(upsert=True)

    assert upload.offset == 5


def test_the_service_key_may_have_several():
    first, second = ByService(), ByService()

    assert (first.offset, second.offset) == (0, 0)


def delete(upload: Upload) -> None:
    LocalStorage(upload.bucket).delete(upload.key)


def move_away(upload: Upload) -> None:
    store = LocalStorage(upload.bucket)
    store.put(upload.key, [b"otter"], content_type="a/b", cache_control="")
    store.move(upload.key, store, "elsewhere")


@pytest.mark.parametrize("act", [delete, move_away])
def test_what_leaves_the_store_takes_its_open_uploads_along(act, settings):
    upload, service, other = Upload(), ByService(), Upload("b.pdf")
    upload.patch(b"otter")

    act(upload)

    assert refused(upload.head(), 404)
    assert refused(service.head(), 404)
    assert other.offset == 0
    assert len(uploads(settings)) == 1
    assert upload.stored is None


def test_a_move_of_what_has_not_arrived_keeps_its_upload():
    """A client that calls back too early goes on sending."""
    upload, store = Upload(), LocalStorage("c-lim")

    with pytest.raises(ObjectMissing):
        store.move(upload.key, store, "elsewhere")

    assert upload.patch(b"otter").status_code == 204


def test_an_upload_that_is_deleted_while_a_part_arrives_becomes_no_object(settings):
    upload = Upload(length=10)

    class Deleting(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            delete(upload)
            return super().read(size)

    assert refused(upload.patch_chunked(Deleting(b"x" * 10)), 404)
    assert refused(upload.head(), 404)
    assert upload.stored is None
    assert uploads(settings) == []


# --- What the ticket declared -------------------------------------------------------------------------------


def test_an_upload_takes_at_most_what_its_token_says(settings):
    assert refused(Upload(length=31, max_size=30).created, 413)
    assert uploads(settings) == []

    upload = Upload(length=30, max_size=30)

    assert upload.patch(b"x" * 30).headers["Tus-Complete"] == "1"


def test_a_length_told_later_is_at_most_what_the_token_says():
    deferred = {"upload_length": None, "upload_defer_length": 1}
    upload = Upload(max_size=30, **deferred)

    assert refused(upload.patch(b"x", upload_length=31), 413)
    assert refused(upload.patch(b"x" * 31), 413)
    assert refused(upload.patch_chunked(b"x" * 31), 413)
    assert upload.offset == 0
    assert upload.patch(b"x" * 20).status_code == 204
    assert refused(upload.patch_chunked(b"x" * 11, 20), 413)
    assert upload.patch(b"x" * 10, 20, upload_length=30).headers["Tus-Complete"] == "1"


def test_the_limit_of_the_bucket_holds_beside_that_of_the_token():
    assert refused(Upload(length=LIMIT + 1, max_size=LIMIT + 1).created, 413)
    assert Upload(length=LIMIT, max_size=LIMIT + 1).created.status_code == 201


def test_an_empty_file_may_be_declared():
    assert refused(Upload(length=1, max_size=0).created, 413)
    assert Upload(length=0, max_size=0).stored == b""


# --- Cut off, killed, expired -------------------------------------------------------------------------------


def test_a_part_that_is_cut_off_keeps_what_arrived():
    upload = Upload()

    assert refused(upload.patch_chunked(CutOff(b"otter")), 400)
    assert upload.offset == 5
    assert upload.patch(b"o" * 25, 5).headers["Tus-Complete"] == "1"
    assert upload.stored == b"otter" + b"o" * 25


@pytest.mark.parametrize("goes_on", ["HEAD", "PATCH", "DELETE"])
def test_an_upload_that_was_whole_when_the_server_died_is_finished_by_the_next_request(goes_on):
    """A client that sees that all has arrived sends nothing more."""
    upload = Upload(length=5)
    upload.patch_chunked(CutOff(b"otter"))
    assert upload.stored is None

    if goes_on == "HEAD":
        assert upload.offset == 5
    elif goes_on == "PATCH":
        assert upload.patch(b"", 5).headers["Tus-Complete"] == "1"
    else:
        assert upload.delete().status_code == 204

    assert upload.stored == (None if goes_on == "DELETE" else b"otter")


def test_a_whole_upload_that_came_too_late_is_not_told_to_be_there():
    upload = ByService(length=5)
    upload.patch_chunked(CutOff(b"otter"))
    ByService(length=5).patch(b"first")

    assert refused(upload.head(), 409)
    assert refused(upload.head(), 404)
    assert upload.stored == b"first"


def test_a_store_that_fails_as_the_object_appears_is_asked_again(monkeypatch):
    upload = Upload(length=5)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", failing)
        assert refused(upload.patch(b"otter"), 503)
    assert upload.stored is None

    assert upload.offset == 5

    assert upload.stored == b"otter"


def failing(*arguments: Any) -> None:
    raise OSError(28, "No space left on device")


def test_an_upload_expires_and_is_swept(monkeypatch, settings):
    upload = Upload()
    upload.patch(b"otter")
    (folder,) = uploads(settings)
    later = time.time() + resumable_uploads.LIFETIME + 1

    with monkeypatch.context() as patched:
        patched.setattr(resumable_uploads.time, "time", lambda: later)
        for answer in (upload.head(), upload.patch(b"x", 5), upload.delete()):
            assert refused(answer, 410)
        another = Upload("b.pdf")

    assert not folder.exists()
    assert refused(upload.head(), 404)
    assert another.offset == 0


def leftovers(hours: int = 1, bucket: str = "c-lim", **options: Any) -> list[str]:
    return list(LocalStorage(bucket).delete_leftovers(timedelta(hours=hours), **options))


def written_two_hours_ago(upload: Upload) -> Path:
    folder = folder_of(upload)
    os.utime(folder / "bytes", times=(time.time() - 7200,) * 2)
    return folder


def test_an_upload_that_nobody_goes_on_with_is_a_leftover():
    old, young, elsewhere = Upload("old.pdf"), Upload("young.pdf"), Upload("x.pdf", bucket="c-any")
    for upload in (old, young, elsewhere):
        upload.patch(b"otter")
    folder = written_two_hours_ago(old)
    written_two_hours_ago(elsewhere)

    assert leftovers(dry_run=True) == ["old.pdf"]
    assert old.offset == 5
    assert leftovers(hours=3) == []
    assert leftovers() == ["old.pdf"]

    assert not folder.exists()
    assert refused(old.head(), 404)
    assert (young.offset, elsewhere.offset) == (5, 5)
    assert leftovers() == []


def test_a_finished_upload_is_no_leftover_until_it_expires(settings, monkeypatch):
    upload = Upload(length=5)
    upload.patch(b"otter")

    assert leftovers(hours=0) == []
    later = time.time() + resumable_uploads.LIFETIME + 1
    monkeypatch.setattr(resumable_uploads.time, "time", lambda: later)

    assert leftovers() == ["a.pdf"]
    assert uploads(settings) == []
    assert upload.stored == b"otter"


def test_an_upload_that_is_being_written_is_no_leftover():
    upload = Upload()
    written_two_hours_ago(upload)

    with resumable_uploads.locked(*named(upload)):
        assert leftovers() == []

    assert upload.offset == 0


def test_what_a_crash_left_half_made_is_swept(settings):
    parts = Path(settings.MEDIA_ROOT) / ".objects" / "parts"
    half, as_before = parts / digest("c-lim", "x") / str(uuid4()), parts / str(uuid4())
    for folder in (half, as_before):  # earlier versions had no folder for the key
        folder.mkdir(parents=True)
        (folder / "bytes").touch()
    Upload()
    assert half.exists()  # perhaps somebody is making it
    assert as_before.exists()

    for folder in (half, half.parent, as_before):
        os.utime(folder, (0, 0))
    Upload("b.pdf")

    assert not half.exists()
    assert not half.parent.exists()
    assert not as_before.exists()


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"null", b'{"id": 1}', b"\xff"])
def test_a_record_that_nobody_can_read_is_none(record):
    upload = Upload()
    (folder_of(upload) / "record.json").write_bytes(record)

    for answer in (upload.head(), upload.patch(b"otter"), upload.delete()):
        assert refused(answer, 404)


def test_the_format_of_a_record_on_disk_does_not_change(settings):
    upload = Upload(length=5)
    id, bucket, key = named(upload)
    path = folder_of(upload) / "record.json"
    written = json.loads(path.read_bytes())
    old = {
        "id": id,
        "bucket": "c-lim",
        "key": "a.pdf",
        "length": 5,
        "content_type": "application/pdf",
        "cache_control": "no-cache",
        "metadata": {},
        "told": metadata("a.pdf") + ",cacheControl bm8tY2FjaGU=",
        "expires_at": written["expires_at"],
    }
    assert list(written.items()) == list(old.items())

    path.write_text(json.dumps({**old, "told": "note w6nDtg=="}))

    assert resumable_uploads.get(id, bucket, key).upload_metadata == "note w6nDtg=="
    assert upload.head().headers["Upload-Metadata"] == "note w6nDtg=="
    assert upload.patch(b"otter").headers["Tus-Complete"] == "1"


def test_an_upload_that_is_being_written_is_not_swept():
    upload = Upload()
    folder = folder_of(upload)
    for old in (folder, folder.parent):
        os.utime(old, (0, 0))

    with resumable_uploads.locked(*named(upload)):
        Upload("b.pdf")

    assert upload.offset == 0


def test_when_it_expires_is_told_until_it_is_finished():
    upload = Upload(length=5)

    assert "Upload-Expires" in upload.created.headers
    assert "Upload-Expires" in upload.patch(b"ott").headers
    assert "Upload-Expires" not in upload.patch(b"er", 3).headers


# --- Limits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", ["length", "chunked", "little by little"])
@pytest.mark.parametrize("deferred", [False, True])
def test_a_part_that_runs_over_leaves_nothing(framing, deferred):
    length = LIMIT if deferred else 30
    upload = Upload(length=None, upload_defer_length=1) if deferred else Upload()
    upload.patch(b"otter")

    for content in (b"x" * (length - 4), b"x" * 100_000):
        if framing == "length":
            answer = upload.patch(content, 5)
        else:
            answer = upload.patch_chunked(content if framing == "chunked" else Drips(content), 5)
        assert refused(answer, 413)

    assert upload.offset == 5
    assert upload.stored is None


def test_a_limit_that_was_lowered_meanwhile_holds(settings):
    upload = Upload()
    upload.patch(b"otter")
    settings.STORAGE_FILE_SIZE_LIMIT = 20

    assert refused(upload.patch(b"x" * 25, 5), 413)
    assert upload.stored is None


def test_a_part_that_says_that_it_is_too_long_is_not_even_read():
    upload = Upload()
    path, headers = (
        urlsplit(upload.url).path,
        {"tus-resumable": "1.0.0", "x-signature": upload.shown["x_signature"]},
    )

    answer = client.generic(
        "PATCH",
        path,
        b"",
        BYTES,
        headers={**headers, "upload-offset": "0"},
        **{"CONTENT_TYPE": BYTES, "CONTENT_LENGTH": "31", "wsgi.input": CutOff(b"otter")},
    )

    assert refused(answer, 413)
    assert upload.offset == 0


def test_the_limit_of_the_store_holds_for_every_bucket(settings):
    settings.STORAGE_FILE_SIZE_LIMIT = 10

    assert ask("OPTIONS", SIGN).headers["Tus-Max-Size"] == "10"
    assert refused(Upload(length=11, bucket="c-any").created, 413)
    upload = Upload(length=None, upload_defer_length=1, bucket="c-any")
    assert refused(upload.patch(b"x" * 11), 413)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/pdf", 201),
        ("image/png", 201),
        ("text/html", 415),
        ("application/pdf; x=1", 415),
        ("TEXT/PLAIN", 415),
        ("image/png\r\nX-Evil: 1", 415),
        ("image/\N{OTTER}", 415),
    ],
)
def test_the_bucket_says_which_types_it_takes(content_type, status):
    assert Upload(upload_metadata=metadata("a.pdf", contentType=content_type)).created.status_code == status


@pytest.mark.parametrize(
    ("bucket", "key", "stored"),
    [
        ("c-any", "a.pdf", "application/octet-stream"),
        ("c-lim", "a.pdf", "application/pdf"),
        ("c-lim", "a.txt", "text/plain"),
        ("c-lim", "a.html", None),
        ("c-lim", "a", None),
    ],
)
def test_what_is_stored_without_a_type_is_what_the_bucket_takes(bucket, key, stored):
    upload = Upload(key, 5, bucket, upload_metadata=metadata(key, bucket, contentType=""))

    if stored is None:
        assert refused(upload.created, 415)
    else:
        upload.patch(b"otter")
        assert upload.known().content_type == stored


# --- Bad input ----------------------------------------------------------------------------------------------

NUMBERS = ["", "-1", "+5", "5.0", "1e3", "0x10", "05", " 5 x", "five", "٣", "9" * 400, "NaN"]


@pytest.mark.parametrize("number", NUMBERS, ids=ascii)
def test_a_number_that_is_none_is_refused(number):
    upload = Upload()

    assert refused(Upload(length=number).created, 400)
    assert refused(upload.patch(b"x", number), 400)
    assert refused(upload.patch(b"x", 0, upload_length=number), 400)
    assert upload.offset == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"upload_length": None}, 400),
        ({"upload_defer_length": 1}, 400),
        ({"upload_length": None, "upload_defer_length": 0}, 400),
        ({"upload_length": None, "upload_defer_length": "yes"}, 400),
        ({"upload_length": LIMIT + 1}, 413),
        ({"upload_length": 10**17}, 413),
        ({"upload_metadata": None}, 400),
        ({"upload_concat": "partial"}, 501),
        ({"upload_concat": "nothing"}, 400),
        ({"tus_resumable": None}, 412),
        ({"tus_resumable": "0.2.2"}, 412),
    ],
)
def test_an_upload_that_is_announced_wrongly_is_not_made(headers, status, settings):
    assert refused(Upload(**headers).created, status)
    assert uploads(settings) == []


def test_who_speaks_another_version_is_told_ours():
    assert Upload(tus_resumable="2.0.0").created.headers["Tus-Version"] == "1.0.0"


GOOD = metadata("a.pdf")
METADATA = {
    "empty": "",
    "blank": " ",
    "commas": ",,,",
    "trailing comma": GOOD + ",",
    "two of a name": GOOD + ",objectName Yi5wZGY=",
    "no name": GOOD + ", Yi5wZGY=",
    "two values": GOOD + ",note YQ== YQ==",
    "two spaces": GOOD + ",note  YQ==",
    "not padded": GOOD + ",note YQ",
    "padded too much": GOOD + ",note YQ===",
    "only padding": GOOD + ",note ====",
    "url alphabet": GOOD + ",note _-_-",
    "not base64": GOOD + ",note !!!!",
    "not ASCII": GOOD + ",nöte YQ==",
    "control": GOOD + ",no\tte YQ==",
    "huge": GOOD + ",note " + "YWFh" * 300_000,
    "many": GOOD + "".join(f",n{number}" for number in range(100_000)),
    "no bucket": "objectName YS5wZGY=",
    "no object": "bucketName Yy1saW0=",
    "bucket with a slash": metadata("a.pdf", "c-lim/x"),
    "dots for a bucket": metadata("a.pdf", "../c-lim"),
}


@pytest.mark.parametrize("told", METADATA.values(), ids=METADATA.keys())
def test_metadata_that_is_none_is_refused(told, settings):
    assert refused(ask("POST", SERVICE, authorization=service(), upload_length=5, upload_metadata=told), 400)
    assert uploads(settings) == []


@pytest.mark.parametrize(
    "key", ["../a", "a/../../b", "..", ".", "a\\b", "a\0b", "a\nb", "é.pdf", "%2e%2e/a", ""]
)
@pytest.mark.parametrize("upsert", [False, True])
def test_a_hostile_key_is_refused_even_with_a_token_for_it(key, upsert, settings):
    told = {
        "x_signature": token(key, upsert=upsert),
        "upload_length": 5,
        "upload_metadata": metadata(key),
    }

    assert refused(ask("POST", SIGN, **told), 400)
    assert uploads(settings) == []


def place(text: str | bytes) -> str:
    return urlsafe_b64encode(text.encode() if isinstance(text, str) else text).decode().rstrip("=")


def test_no_name_of_an_upload_leads_anywhere_else():
    upload, other = Upload(), Upload("b.pdf")
    (id, _, _), (foreign, _, _) = named(upload), named(other)
    wrong = {
        "nothing": "",
        "a word": "x",
        "no base64": "%00%ff!*",
        "no text": place(b"\xff\xfe/\x00/\x80"),
        "no parts": place("a"),
        "two parts": place("c-lim/a.pdf"),
        "no id": place("c-lim/a.pdf/"),
        "dots": place("c-lim/a.pdf/.."),
        "a path": place(f"c-lim/a.pdf/../{id}"),
        "no bucket": place(f"/a.pdf/{id}"),
        "dots for a bucket": place(f"../a.pdf/{id}"),
        "of another upload": place(f"c-lim/a.pdf/{foreign}"),
        "unknown": place(f"c-lim/a.pdf/{uuid4()}"),
        "capitals": place(f"c-lim/a.pdf/{id.upper()}"),
        "a line more": place(f"c-lim/a.pdf/{id}\n"),
        "a zero": place(f"c-lim/a.pdf/{id}\0"),
        "letters beyond ASCII": "é" * 40,
        "long": "QUFB" * 2000,
    }

    for what, name in wrong.items():
        upload.url = f"{SIGN}/{name}"
        for answer in (upload.head(), upload.patch(b"x"), upload.delete()):
            assert answer.status_code in (400, 404), what
    assert other.offset == 0


def test_a_record_that_a_client_could_plant_is_none(settings):
    """An object may be called `record.json`, and hold what looks like one."""
    upload = Upload()
    id, bucket, key = named(upload)
    folder = folder_of(upload)
    planted = Path(settings.MEDIA_ROOT) / "c-any" / "x"
    planted.mkdir(parents=True)
    (planted / "record.json").write_bytes((folder / "record.json").read_bytes())

    for wrong in ("../../c-any/x", str(planted), f"../{folder.parent.name}/{id}", f"{id}/.", f"./{id}"):
        with pytest.raises(resumable_uploads.UploadMissing):
            resumable_uploads.get(wrong, bucket, key)


def test_a_part_must_say_what_it_is():
    upload = Upload()

    assert refused(upload.patch(b"x", None), 403)
    assert refused(upload.patch(b"x", 0, "application/octet-stream"), 400)
    assert refused(upload.patch(b"x", 0, ""), 403)
    assert refused(upload.patch(b"x", 3), 409)
    assert upload.offset == 0


def test_a_store_in_trouble_says_try_again_and_nothing_of_the_disk(settings):
    upload = Upload()
    media = Path(settings.MEDIA_ROOT)
    media.rename(media.with_name("elsewhere"))
    media.write_text("no folder")

    for answer in (upload.head(), upload.patch(b"otter"), Upload("b.pdf").created):
        assert refused(answer, 503)
        assert answer.headers["Retry-After"] == "5"
        assert str(media).encode() not in answer.content


def test_what_arrived_before_the_client_stalled_is_kept():
    upload = Upload(length=30)

    assert refused(upload.patch_chunked(Stalling(b"otter")), 408)

    assert upload.offset == 5
    assert upload.patch(b"x" * 25, 5).status_code == 204


def test_a_bucket_that_went_away_takes_nothing():
    upload = Upload(length=5)
    upload.patch_chunked(CutOff(b"otter"))
    buckets.delete("c-lim")

    assert refused(upload.patch(b"", 5), 404)
    assert refused(upload.head(), 404)
    assert upload.stored is None


class Slow(BytesIO):
    """A body during which the bucket is deleted."""

    def read(self, size: int | None = -1) -> bytes:
        with suppress(buckets.BucketMissing):
            buckets.delete("c-lim")
        return super().read(size)


def test_a_bucket_that_is_deleted_while_the_bytes_travel_takes_nothing():
    upload = Upload(length=5)

    assert refused(upload.patch_chunked(Slow(b"otter")), 404)
    assert upload.stored is None
