"""SupabaseStorage in its process: one client, many threads, forks, and a key that nobody sees."""

import logging
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import httpx
import pytest
import stamina
from django.core.files.base import ContentFile

from storage.errors import StorageMisconfigured, StorageUnavailable
from storage.supabase import SupabaseStorage, http_client
from storage.supabase import client as supabase_client
from tests.support.auth_server import Loopback
from tests.support.cases import crossed
from tests.support.proxy import Proxy, reset, says
from tests.support.server import ROOT

SECRET = "sb_secret_that-nobody-may-ever-see"


def run(script: str, *arguments: str) -> str:
    """What a fresh process prints; a warning fails it."""
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import django; django.setup()\n{script}", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- Clients ------------------------------------------------------------------------------------------


THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from django.conf import settings
from django.core.files.base import ContentFile
from storage.supabase import SupabaseStorage, client
settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, bucket = sys.argv[1:]
store = SupabaseStorage(bucket)
ready, clients = Barrier(16), set()
def work(me):
    ready.wait()
    for number in range(8):
        content = f"{me}-{number}".encode() * 1000
        name = store.save(f"{me}/{number}.txt", ContentFile(content))
        with store.open(name) as file:
            assert file.read() == content
        assert store.describe(name).size == len(content)
        assert store.sign_downloads([name], seconds=60).keys() == {name}
        clients.add(client.load_sdk().session)
with ThreadPoolExecutor(16) as threads:
    list(threads.map(work, range(16)))
print(len(clients), len(store.listdir("")[0]))
clients.pop().close()
"""


@pytest.mark.slow
def test_sixteen_threads_share_one_client_and_get_their_own_answers(bucket_of, supabase, service_key):
    store = bucket_of()

    assert run(THREADS, supabase, service_key, store.bucket) == "1 16"


FORK = """
import os, sys
from django.conf import settings
from storage.supabase import SupabaseStorage, client, http_client
settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, bucket = sys.argv[1:]
store = SupabaseStorage(bucket)
def works():
    return all([store.describe("a").size == 5 for _ in range(20)])
def connections():
    return {pool for pool in http_client.transport.pools() if pool.connections}
assert works()
parent = connections()
children = []
for _ in range(3):
    pid = os.fork()
    if not pid:
        os._exit(0 if works() and len(connections() - parent) == 1 else 1)
    children.append(pid)
assert works()
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
print(codes, connections() == parent)
client.close()
"""


@pytest.mark.slow
def test_a_forked_process_has_a_client_of_its_own(bucket_of, supabase, service_key):
    store = bucket_of()
    store.put("a", [b"otter"], content_type="a/b", cache_control="")

    assert run(FORK, supabase, service_key, store.bucket) == "[0, 0, 0] True"


@pytest.mark.slow
def test_the_sdk_is_loaded_when_it_is_first_used():
    script = """
import sys
import backend.urls
from django.conf import settings
from storage.supabase import SupabaseStorage
settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY = "http://127.0.0.1:9", "key"
store = SupabaseStorage("documents")
before = "storage3" in sys.modules or "supabase" in sys.modules
import stamina
stamina.set_testing(True)
try:
    store.listdir("")
except Exception as error:
    print(before, "storage3" in sys.modules, type(error).__name__)
from storage.supabase import client
client.close()
"""

    assert run(script) == "False True StorageUnavailable"


def test_a_refused_upload_does_not_spoil_the_next_call(bucket_of):
    store = bucket_of(file_size_limit=1000)

    for _ in range(3):
        with pytest.raises(Exception, match="does not accept"):
            store.save("large", ContentFile(b"x" * 500_000))
        assert store.listdir("") == ([], [])


# --- The key ------------------------------------------------------------------------------------------


@pytest.fixture
def secret(settings, monkeypatch, caplog) -> Iterator[str]:
    """A key to look for, with every log on."""
    settings.SUPABASE_SECRET_KEY = SECRET
    supabase_client.close()
    monkeypatch.setattr(http_client, "TIMEOUT", httpx.Timeout(0.5))
    with stamina.set_testing(True), caplog.at_level(logging.DEBUG):
        for name in ("httpx", "httpcore", "storage", "stamina"):
            caplog.set_level(logging.DEBUG, name)
        yield SECRET
    supabase_client.close()


def everything_told(error: BaseException | None) -> str:
    """Whatever a careless reporter would show: each error behind it, and each local of each frame."""
    told: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        told += [repr(error), str(error), repr(error.args), *traceback.format_exception(error)]
        told += locals_of(error.__traceback__)
        error = error.__cause__ or error.__context__
    return "\n".join(told)


def locals_of(frames: TracebackType | None) -> Iterator[str]:
    while frames is not None:
        if "/tests/" not in frames.tb_frame.f_code.co_filename:
            yield from map(repr, frames.tb_frame.f_locals.values())
        frames = frames.tb_next


FAULTS = {
    "gone": None,
    "refused": says(400, b'{"statusCode":"403","error":"Unauthorized","message":"Invalid Compact JWS"}'),
    "500": says(500, b"{}"),
    "no JSON": says(200, b"<html>"),
    "reset": reset,
    "elsewhere": says(301, Location="http://127.0.0.1:9/"),
}
ACTS = {
    "describe": lambda store: store.describe("a"),
    "open": lambda store: store.open("a"),
    "put": lambda store: store.put("a", [b"x"], content_type="a/b", cache_control=""),
    "put in parts": lambda store: store.put("a", [b"x" * 7_000_000], content_type="a/b", cache_control=""),
    "sign": lambda store: store.sign_upload("a", "a/b", seconds=5),
    "move": lambda store: store.move("a", store, "b"),
    "delete": lambda store: store.delete("a"),
    "listdir": lambda store: store.listdir(""),
    "check_ready": lambda store: store.check_ready(),
}


@pytest.mark.parametrize(("act", "fault"), crossed(ACTS, FAULTS))
def test_no_error_and_no_log_shows_the_key(secret, settings, act, fault, caplog):
    with Proxy("http://127.0.0.1:9") as proxy:
        settings.SUPABASE_URL = proxy.url if fault else "http://127.0.0.1:9"
        if fault:
            proxy.fail(fault)
        with pytest.raises(StorageUnavailable) as trouble:
            act(SupabaseStorage("documents"))

    told = everything_told(trouble.value)
    assert secret not in told
    assert secret not in caplog.text
    assert fault is None or proxy.seen


NO_HEADERS = {
    "a line break": f"{SECRET}\n",
    "a letter": f"{SECRET}é",
    "a NUL": f"{SECRET}\0",
    "empty": "",
    "a quote": f"\u2019{SECRET}",
}


@pytest.mark.parametrize(("act", "key"), crossed(ACTS, NO_HEADERS))
def test_a_key_that_is_none_is_told_without_it(secret, settings, act, key, caplog):
    with Proxy("http://127.0.0.1:9") as proxy:
        proxy.fail(says(401))
        settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY = proxy.url, key
        with pytest.raises(StorageMisconfigured, match="SUPABASE_SECRET_KEY") as trouble:
            act(SupabaseStorage("documents"))

    assert SECRET not in everything_told(trouble.value)
    assert SECRET not in caplog.text


def test_nothing_that_stays_shows_the_key(secret, settings):
    settings.SUPABASE_URL = "http://127.0.0.1:9"
    store = SupabaseStorage("documents")
    with pytest.raises(StorageUnavailable):
        store.exists("a")

    sdk, transport = supabase_client.load_sdk(), http_client.transport
    shown: list[Any] = [store, transport, sdk, sdk.from_("documents"), sdk.session, sdk.session.headers]
    assert secret not in "\n".join(map(repr, [*shown, *map(vars, (transport, sdk, sdk.session, store))]))
    assert store.deconstruct() == ("storage.supabase.SupabaseStorage", ("documents",), {})


def test_no_cookie_is_kept(settings):
    """Given a gateway that sets one, then no other call of the SDK sends it."""
    with Loopback() as gateway:
        gateway.headers["Set-Cookie"], gateway.body = "__cf_bm=abc; Path=/", b"[]"
        settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY = gateway.url.rpartition("/")[0], "sb_secret_x"
        for _ in range(2):
            assert supabase_client.call(lambda sdk: sdk.list_buckets(), "buckets") == []
        supabase_client.close()

    assert len(gateway.asked) == 2
    assert not any("cookie" in asked for asked in gateway.asked)
