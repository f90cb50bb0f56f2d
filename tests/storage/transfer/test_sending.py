"""With which calls one file is sent: by a real proxy on loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.catalog.models import Species
from storage.buckets import Bucket
from storage.errors import StorageUnavailable
from storage.keys import STAGING_FOLDER
from storage.supabase import SupabaseStorage
from storage.transfer.references import Column, Reference
from storage.transfer.sending import SendOptions, Sent, TransferFailed, send_file
from tests.support import proxy as faults
from tests.support.proxy import Fault, Proxy

pytestmark = pytest.mark.slow  # needs a server of its own

CONTENT = b"a lion"
OWN = "lion/AbcDefGhi1JklMnoPqr2StuV.png"  # as an UploadField makes it
SHARED = "lion/portrait.png"  # as anybody may name a file
Send = Callable[..., Sent]


@pytest.fixture
def store(bucket_of) -> SupabaseStorage:
    return bucket_of()


@pytest.fixture
def proxy(store: SupabaseStorage, supabase: str, settings) -> Iterator[Proxy]:
    with Proxy(supabase) as running:
        settings.SUPABASE_URL = running.url
        yield running


@pytest.fixture
def send(store: SupabaseStorage, settings) -> Send:
    """Send the file of a row that has this name."""
    bucket = Bucket(store.bucket)
    column = Column(Species._meta.get_field("qr_code"), store.bucket)

    def send(name: str, **options: str) -> Sent:
        path = Path(settings.MEDIA_ROOT, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
        return send_file(bucket, Reference(column, 1, name), SendOptions(**options))

    return send


def calls(proxy: Proxy, store: SupabaseStorage) -> list[str]:
    """The calls, with `b` for the bucket and `staged` for the staging key."""
    lines = (line.replace(store.bucket, "b").replace("/authenticated", "") for line in proxy.seen)
    return [line.partition(f"/{STAGING_FOLDER}/")[0] + "/staged" * (STAGING_FOLDER in line) for line in lines]


@pytest.mark.parametrize(
    ("name", "verify", "expected"),
    [
        (OWN, "size", [f"POST /object/b/{OWN}", f"GET /object/info/b/{OWN}"]),
        (OWN, "sha256", [f"POST /object/b/{OWN}", f"GET /object/b/{OWN}"]),
        (SHARED, "sha256", ["POST /object/b/staged", "GET /object/b/staged", "POST /object/move"]),
    ],
)
def test_only_a_key_that_nobody_else_can_have_is_sent_at_once(
    send: Send, store, proxy, name, verify, expected
):
    sent = send(name, verify=verify)

    assert not sent.already_existed
    assert calls(proxy, store) == expected
    assert store.read(name).read() == CONTENT


@pytest.mark.parametrize("name", [OWN, SHARED])
def test_what_was_changed_on_its_way_does_not_stay(send: Send, store, proxy, name):
    proxy.fail(faults.flips, on="POST /object/test-", times=1)

    with pytest.raises(StorageUnavailable, match="differs from the file"):
        send(name)

    assert list(store.walk()) == list(store.walk(f"{STAGING_FOLDER}/")) == []


@pytest.mark.parametrize("name", [OWN, SHARED])
def test_another_object_of_the_name_stays_as_it_is(send: Send, store, name):
    store.put(name, [b"another"], content_type="image/png", cache_control="no-cache")

    with pytest.raises(TransferFailed, match="has a different file"):
        send(name)

    assert store.read(name).read() == b"another"


def test_a_name_that_is_taken_meanwhile_is_noticed(send: Send, store, proxy, supabase, settings):
    """Where two uploads could overwrite each other: when the file has arrived, and before it is moved."""

    def take() -> None:
        settings.SUPABASE_URL = supabase
        store.put(SHARED, [b"another"], content_type="image/png", cache_control="no-cache")
        settings.SUPABASE_URL = proxy.url

    proxy.fail(Fault(after=take), on="POST /object/test-", times=1)

    with pytest.raises(TransferFailed, match="has a different file"):
        send(SHARED)

    assert store.read(SHARED).read() == b"another"


def test_an_object_whose_upload_got_no_answer_is_found(send: Send, store, proxy):
    proxy.fail(Fault(lost=True), on="POST /object/test-", times=1)

    assert send(OWN).already_existed
    assert store.read(OWN).read() == CONTENT
