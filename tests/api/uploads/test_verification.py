"""Verification: what is sent must be what was declared, by its bytes."""

import struct
import sys
import tempfile
import zlib
from dataclasses import replace
from io import BytesIO
from typing import Any

import pillow_heif
import pytest
from django.core.files.storage import storages
from PIL import Image

from api.documents.models import Document
from api.uploads import child_process, verification
from api.uploads.verification import HEAD_SIZE, LIMITS, content_types_of
from storage import buckets
from storage.local import LocalStorage
from storage.local.disk import ObjectFile
from tests.api.documents.test_documents import keys_of
from tests.support import child_functions
from tests.support.cast import PDF, Caller, body, code, down, fetch, send
from tests.support.child_functions import called


def picture(kind: str, size: tuple[int, int] = (40, 30), **options) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, "teal").save(file, kind, **options)
    return file.getvalue()


pillow_heif.register_heif_opener()
PNG, JPEG, WEBP, GIF = (picture(kind) for kind in ("PNG", "JPEG", "WEBP", "GIF"))


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int, height: int) -> bytes:
    """A PNG that says how large it is, and then has next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def attempt(who: Caller, content: bytes, sent_as: str = "", **announced):
    """The answer to completing a document's ticket for this content."""
    ticket = who.ticket(who.document(), content, **announced)
    put = send(ticket, content, **({"content-type": sent_as} if sent_as else {}))
    assert put.status_code == 200, put.getvalue()
    return who.complete(ticket)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (PDF, "application/pdf"),
        (PDF + b"PK\x05\x06" + bytes(18), "application/pdf"),
        (PDF + b"</svg>", "application/pdf"),
        (PDF + b"\x00" * 600 + b"<html><script>", "application/pdf"),
        (b"%PDF-1.4 tiny", "application/pdf"),
        (b"\n" * 1023 + PDF, "application/pdf"),
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (picture("JPEG", progressive=True), "image/jpeg"),
        (picture("JPEG", exif=Image.Exif()), "image/jpeg"),
    ],
)
def test_true_files_are_recorded_and_served_unchanged(content: bytes, content_type: str, alice: Caller):
    document = alice.document()
    ticket = alice.ticket(document, content, content_type=content_type)
    send(ticket, content)

    assert alice.complete(ticket).status_code == 200

    served = fetch(alice.download_url(document))
    assert body(served) == content
    assert served.headers["Content-Type"] == content_type


@pytest.mark.parametrize(
    ("content", "announced", "sent_as", "reason"),
    [
        (PDF, {"size": len(PDF) - 1}, "", "size_mismatch"),
        (PDF, {"size": len(PDF) + 1}, "", "size_mismatch"),
        (PDF, {"sha256": "0" * 64}, "", "checksum_mismatch"),
        (PNG, {}, "", "content_type_mismatch"),
        (b"<html><script>alert(1)</script>%PDF-1.4 %%EOF", {}, "", "content_type_mismatch"),
        (b"MZ" + bytes(100), {}, "", "content_type_mismatch"),
        (b"plain text", {}, "", "content_type_mismatch"),
        (bytes(1), {}, "", "content_type_mismatch"),
        (b"\n" * 1024 + PDF, {}, "", "content_type_mismatch"),
        (JPEG[:20] + PDF, {}, "", "content_type_mismatch"),
        (PNG, {"content_type": "image/jpg"}, "", "content_type_mismatch"),
        (PDF, {"content_type": "image/png"}, "", "content_type_mismatch"),
        (PNG, {"content_type": "image/jpeg"}, "", "content_type_mismatch"),
        (PDF, {}, "image/png", "content_type_mismatch"),
        (PNG[:40], {"content_type": "image/png"}, "", "image_invalid"),
        (PNG.replace(b"IDAT", b"IDAX"), {"content_type": "image/png"}, "", "image_invalid"),
        (b"\x89PNG\r\n\x1a\n", {"content_type": "image/png"}, "", "image_invalid"),
        (b"\xff\xd8\xff" + bytes(50), {"content_type": "image/jpeg"}, "", "image_invalid"),
        (png_header(50_000, 50_000), {"content_type": "image/png"}, "", "image_too_large"),
        (png_header(2**31 - 1, 2**31 - 1), {"content_type": "image/png"}, "", "image_too_large"),
        (png_header(0, 0), {"content_type": "image/png"}, "", "image_invalid"),
    ],
)
def test_what_is_not_as_declared_is_refused_and_gone(
    content: bytes, announced: dict, sent_as: str, reason: str, alice: Caller
):
    answer = attempt(alice, content, sent_as, **announced)

    assert (answer.status_code, code(answer)) == (422, reason)
    assert answer.json()["detail"]
    assert keys_of("documents") == keys_of("uploads") == set()
    assert alice.get("documents/").json()["results"][0]["file"] is None


@pytest.mark.parametrize(
    ("content", "content_type", "sent_as", "served_as"),
    [
        (JPEG, "image/jpeg", "image/jpg", "image/jpeg"),
        (PDF, "application/x-pdf", "application/x-pdf", "application/pdf"),
        (PDF, "", "application/octet-stream", "application/pdf"),  # as SDKs send a file without a type
    ],
)
def test_a_file_that_was_sent_under_another_name_of_its_type_is_served_under_the_right_one(
    content: bytes, content_type: str, sent_as: str, served_as: str, alice: Caller
):
    document = alice.document()
    ticket = alice.ticket(document, content, content_type=content_type)
    send(ticket, content, **{"content-type": sent_as})

    found = alice.complete(ticket).json()["found"]
    served = fetch(alice.download_url(document))

    assert found["content_type"] == served.headers["Content-Type"] == served_as
    assert body(served) == content
    assert len(keys_of("documents")) == 1
    assert keys_of("uploads") == set()


def test_a_store_without_limits_may_have_any_spelling_of_the_type(alice: Caller, monkeypatch):
    declared = {**buckets.declared(), "uploads": buckets.Bucket("uploads")}
    monkeypatch.setattr(buckets, "declared_bucket", declared.get)
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket, **{"content-type": "Application/PDF; charset=binary"})

    assert alice.complete(ticket).status_code == 200

    assert fetch(alice.download_url(document)).headers["Content-Type"] == "application/pdf"


def test_a_file_that_cannot_be_written_with_the_right_type_is_written_by_the_next_call(
    alice: Caller, monkeypatch
):
    document = alice.document()
    ticket = alice.ticket(document)
    send(ticket, **{"content-type": "application/x-pdf"})
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "put", down)
        assert code(alice.complete(ticket)) == "storage_unavailable"

    assert alice.complete(ticket).status_code == 200

    assert fetch(alice.download_url(document)).headers["Content-Type"] == "application/pdf"
    assert len(keys_of("documents")) == 1


def test_a_type_that_other_fields_take_is_refused_here(alice: Caller, monkeypatch):
    """The arrivals take what any field takes; the field decides."""
    declared = {**buckets.declared(), "uploads": buckets.Bucket("uploads")}
    monkeypatch.setattr(buckets, "declared", lambda: declared)
    monkeypatch.setattr(buckets, "declared_bucket", declared.get)

    for content, kind in ((WEBP, "image/webp"), (GIF, "image/gif"), (b"<html>", "text/html")):
        answer = attempt(alice, content, kind)
        assert code(answer) == "content_type_not_allowed"


def test_a_heic_is_verified_like_other_pictures(alice: Caller, monkeypatch):
    """Both of its content types are those of the same files."""
    field = Document._meta.get_field("file")
    monkeypatch.setattr(field, "accepts", (*field.accepts, "image/heic", "image/heif"))
    heic = picture("HEIF", (640, 480))

    for kind in ("image/heic", "image/heif"):
        assert attempt(alice, heic, kind, content_type=kind).status_code == 200
        cut_off = attempt(alice, heic[:-20], kind, content_type=kind)
        assert cut_off.json()["detail"] == "The picture is incomplete: its end is missing."
        other = attempt(alice, JPEG, kind, content_type=kind)
        assert other.json()["detail"] == "This file is not a HEIC image."


def test_a_picture_may_be_as_large_as_the_setting_says(alice: Caller, settings):
    settings.IMAGE_MAX_PIXELS = 40 * 30
    assert attempt(alice, PNG, content_type="image/png").status_code == 200

    settings.IMAGE_MAX_PIXELS = 40 * 30 - 1
    assert code(attempt(alice, PNG, content_type="image/png")) == "image_too_large"


def test_above_the_limit_no_checksum_is_computed(alice: Caller, settings):
    settings.CHECKSUM_MAX_BYTES = len(PDF)
    assert attempt(alice, PDF).json()["found"]["sha256"]

    settings.CHECKSUM_MAX_BYTES = len(PDF) - 1
    answer = attempt(alice, PDF, sha256="0" * 64)
    assert answer.status_code == 200
    assert answer.json()["found"]["sha256"] is None


def test_the_checksum_is_optional(alice: Caller):
    for announced in ({"sha256": None},):
        assert attempt(alice, PDF, **announced).json()["found"]["sha256"]


def test_a_bomb_in_the_text_of_a_png_does_no_harm(alice: Caller):
    bomb = zlib.compress(bytes(70 * 1024 * 1024))
    content = PNG[:33] + chunk(b"zTXt", b"Comment\0\0" + bomb) + PNG[33:]

    assert attempt(alice, content, content_type="image/png").status_code == 200


@pytest.mark.parametrize(
    ("content", "content_type", "detail"),
    [
        (PNG[:-30], "image/png", "The picture is incomplete: its end is missing."),
        (JPEG[:-30], "image/jpeg", "The picture is incomplete: its end is missing."),
        (PNG[:45] + b"?" + PNG[46:], "image/png", "The picture is damaged: a checksum in it is wrong."),
        (JPEG[:3] + bytes(60), "image/jpeg", "The picture cannot be opened."),
    ],
)
def test_the_detail_says_what_is_wrong_with_a_picture(
    content: bytes, content_type: str, detail: str, alice: Caller
):
    assert attempt(alice, content, content_type=content_type).json()["detail"] == detail


def test_signatures_are_looked_for_at_the_beginning_only():
    assert "application/pdf" in content_types_of(b"%PDF-1.7")
    assert "image/png" in content_types_of(PNG)
    assert "image/svg+xml" not in content_types_of(PDF + b"</svg>")
    assert content_types_of(b"") == frozenset()


@pytest.mark.parametrize(
    ("brands", "is_heic"),
    [
        (b"heic\0\0\0\0mif1heicmiaf", True),
        (b"heix\0\0\0\0mif1heix", True),
        (b"mif1\0\0\0\0mif1heic", True),
        (b"msf1\0\0\0\0msf1hevc", True),
        (b"mif1\0\0\0\0mif1miaf", False),
        (b"mif1\0\0\0\0mif1avif", False),
        (b"isom\0\0\0\0mp42", False),
        (b"mif1\0\0\0heic\0\0\0", False),
    ],
)
def test_a_heic_has_a_brand_of_hevc(brands: bytes, is_heic: bool):
    head = struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands

    found = content_types_of(head + b"\0\0\0\x08heic")

    assert ({"image/heic", "image/heif"} <= found) == is_heic
    assert ("image/heif" in found) == is_heic
    assert "image/heif" not in content_types_of(head.replace(b"ftyp", b"free"))


def test_the_file_of_a_heic_tells_its_type():
    assert {"image/heic", "image/heif"} <= content_types_of(picture("HEIF"))


@pytest.mark.parametrize(
    ("before", "is_pdf"),
    [
        (b"\xef\xbb\xbf", True),
        (b"\r\n", True),
        (b"\x1b%-12345X@PJL JOB\r\n@PJL ENTER LANGUAGE=PDF\r\n", True),
        (b'--boundary\r\nContent-Disposition: form-data; name="f"\r\n\r\n', True),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", True),
        (b"BMW, invoice: ", True),
        (b"From alice@example.org Thu Dec 24 12:00:00 2026\r\n\r\n", True),
        (b"\0\x08plan.pdf".ljust(102, b"\0") + b"mBIN".ljust(26, b"\0"), True),
        (b"\xaa" * 1023, True),
        (b"\xaa" * 1024, False),
        (b"<script>alert(1)</script>", False),
        (b"\xef\xbb\xbf\r\n <svg onload='alert(1)'>", False),
        (b"PK\x03\x04" + bytes(40), False),
        (b"MZ" + bytes(60), False),
        (b"\x7fELF" + bytes(60), False),
        (JPEG[:20], False),
        (PNG[:33], False),
        (GIF[:20], False),
    ],
)
def test_a_pdf_may_have_something_before_its_header_but_no_other_file(before: bytes, is_pdf: bool):
    assert ("application/pdf" in content_types_of((before + PDF)[:HEAD_SIZE])) == is_pdf


# --- Pictures are opened in a child process -----------------------------------------------------------------


def many_small_segments() -> bytes:
    """A JPEG of 2 MB. Pillow keeps each segment of 4 bytes, which takes 70 MB in all."""
    return b"\xff\xd8" + b"\xff\xe5\x00\x02" * 500_000


@pytest.mark.parametrize(
    ("limits", "detail"),
    [
        ({"memory": 60 * 1024 * 1024, "seconds": 60}, "The picture takes more than 60 MB of memory to open."),
        ({"seconds": 0.05}, "The picture takes more than 10 seconds to open."),
    ],
)
def test_a_picture_that_takes_too_much_is_refused_and_the_next_one_is_not(
    limits: dict[str, Any], detail: str, alice: Caller, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(verification, "LIMITS", replace(LIMITS, **limits))
        answer = attempt(alice, many_small_segments(), content_type="image/jpeg")

    assert (answer.status_code, code(answer), answer.json()["detail"]) == (422, "image_invalid", detail)
    assert keys_of("documents") == set()
    assert attempt(alice, PNG, content_type="image/png").status_code == 200


def test_a_type_that_storage_sends_as_another_is_looked_up(alice: Caller, monkeypatch):
    """As Supabase Storage sends HTML as plain text: what it has recorded decides."""
    open_object = LocalStorage.open_object
    monkeypatch.setattr(
        LocalStorage,
        "open_object",
        lambda self, *given: replace(open_object(self, *given), content_type="text/plain"),
    )

    assert attempt(alice, PDF).status_code == 200
    refused = attempt(alice, PDF, sent_as="image/png")
    assert (refused.status_code, code(refused)) == (422, "content_type_mismatch")


def test_a_picture_that_crashes_the_decoder_is_refused(alice: Caller, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(verification, "CHECK", called(child_functions.crash))
        answer = attempt(alice, PNG, content_type="image/png")

    assert (answer.status_code, code(answer)) == (422, "image_invalid")


@pytest.mark.parametrize(
    ("target", "name", "value", "answered"),
    [
        (sys, "executable", "/nowhere/python", (503, "not_ready")),
        (tempfile, "tempdir", "/nowhere", (503, "storage_unavailable")),
        (verification, "CHECK", called(child_functions.fail), (500, "internal")),
    ],
)
def test_trouble_of_the_server_does_not_condemn_a_picture(
    target: Any, name: str, value: Any, answered: tuple[int, str], alice: Caller, monkeypatch
):
    verification.CHILDREN.close()
    ticket = alice.ticket(alice.document(), PNG, content_type="image/png")
    send(ticket, PNG)
    with monkeypatch.context() as patch:
        patch.setattr(target, name, value)
        answer = alice.complete(ticket)

    assert (answer.status_code, code(answer)) == answered
    assert bool(answer.headers.get("Retry-After")) == (answer.status_code == 503)
    assert alice.complete(ticket).status_code == 200


def test_a_caller_who_waited_too_long_for_a_process_may_try_again(alice: Caller, monkeypatch):
    monkeypatch.setattr(child_process, "WAIT_SECONDS", 0.01)
    ticket = alice.ticket(alice.document(), PNG, content_type="image/png")
    send(ticket, PNG)
    others = verification.CHILDREN
    with others.reserve(lambda: None), others.reserve(lambda: None):
        answer = alice.complete(ticket)

    assert (answer.status_code, code(answer)) == (409, "verification_in_progress")
    assert answer.headers["Retry-After"]
    assert alice.complete(ticket).status_code == 200


@pytest.mark.parametrize(("content", "content_type"), [(PNG, "image/png"), (PDF, "application/pdf")])
def test_a_file_is_read_once_and_its_lease_renewed_before_each_call(
    content: bytes, content_type: str, db, monkeypatch
):
    storages["documents"].put("a/b", [content], content_type=content_type, cache_control="no-store")
    calls: list[str] = []
    sizes: list[int] = []
    readinto = ObjectFile.readinto

    def counted(self, buffer):
        sizes.append(readinto(self, buffer))
        return sizes[-1]

    monkeypatch.setattr(ObjectFile, "readinto", counted)
    for verb in ("describe", "read", "open_object"):
        noted = _noted(calls, verb, getattr(LocalStorage, verb))
        monkeypatch.setattr(LocalStorage, verb, noted)

    declared = {"filename": "it", "content_type": content_type, "size": len(content), "sha256": None}
    field: Any = Document._meta.get_field("file")
    with verification.temporary_file() as copy:
        verification.verify("a/b", declared, field, lambda: calls.append("renewed"), copy)

    assert calls[:2] == ["renewed", "open_object"]
    assert set(calls[2:]) == {"renewed"}
    assert sum(sizes) == len(content)


def _noted(calls: list[str], verb: str, call):
    def noted(*args):
        calls.append(verb)
        return call(*args)

    return noted
