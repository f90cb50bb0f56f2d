"""Size, type and bytes of an object with one request, and uploads without a staging key."""

import pytest

from storage.errors import StorageUnavailable
from storage.supabase import SupabaseStorage
from storage.supabase.range_reader import BUFFER_SIZE
from tests.support.proxy import Passing, Proxy, flips, lost


def open_by_steps(store: SupabaseStorage, key: str) -> tuple[int, str, bytes]:
    opened = store.open_object(key)
    with opened.file as file:
        return opened.size, opened.content_type, file.read()


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_size_type_and_bytes_of_an_object_are_one_request(front: Proxy, size: int):
    store, content = SupabaseStorage("media"), size * b"o"
    key = f"whole/{size}.pdf"
    store.put(key, [content], content_type="application/pdf", cache_control="max-age=1")
    front.asked.clear()

    assert open_by_steps(store, key) == (size, "application/pdf", content)

    assert front.seen == [f"GET /object/authenticated/media/{key}"]
    store.delete_object(key)


def test_an_object_that_fits_into_the_buffer_is_one_request(front: Proxy):
    store, content = SupabaseStorage("media"), BUFFER_SIZE * b"o"
    store.put("buffered.pdf", [content], content_type="application/pdf", cache_control="max-age=1")
    front.asked.clear()

    with store.read("buffered.pdf") as file:
        assert file.read() == content

    assert front.seen == ["GET /object/authenticated/media/buffered.pdf"]
    store.delete_object("buffered.pdf")


def test_a_gateway_may_hide_the_length(front: Proxy):
    """Then a range has it."""
    store = SupabaseStorage("media")
    store.put("chunked.pdf", [b"otter"], content_type="application/pdf", cache_control="max-age=1")
    front.fail(in_chunks, on="GET /object/authenticated", times=1)

    assert open_by_steps(store, "chunked.pdf") == (5, "application/pdf", b"otter")

    store.delete_object("chunked.pdf")


def in_chunks(passing: Passing, body: bytes) -> None:
    passing.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\notter\r\n0\r\n\r\n")


def test_an_upload_to_a_new_key_is_compared_and_not_repeated(front: Proxy):
    store = SupabaseStorage("media")
    options = {"content_type": "application/pdf", "cache_control": "max-age=1"}
    front.fail(flips, on="POST /object/media", times=1)
    with pytest.raises(StorageUnavailable, match="differs"):
        store.put_at_new_key("flipped.pdf", [b"otter"], **options)
    front.asked.clear()
    front.fail(lost, on="POST /object/media", times=1)
    with pytest.raises(StorageUnavailable):
        store.put_at_new_key("lost.pdf", [b"otter"], **options)

    assert front.seen == ["POST /object/media/lost.pdf"]
    for key in ("flipped.pdf", "lost.pdf"):
        store.delete_object(key)


@pytest.mark.parametrize("size", [5, 7_000_000])
def test_an_upload_to_a_new_key_has_all_bytes(front: Proxy, size: int):
    store = SupabaseStorage("media")
    store.put_at_new_key("new.pdf", [size * b"o"], content_type="application/pdf", cache_control="max-age=1")

    assert open_by_steps(store, "new.pdf") == (size, "application/pdf", size * b"o")
    store.delete_object("new.pdf")
