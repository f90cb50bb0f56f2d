"""Within a request, calls of Storage share one budget, take few threads, and stop while Storage fails."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import stamina
from stamina.instrumentation import RetryDetails

from storage import budget
from storage.budget import request_budget
from storage.errors import StorageError, StorageUnavailable
from storage.keys import InvalidKey
from storage.supabase import SupabaseStorage, backend, circuit_breaker, deadlines
from storage.supabase import client as supabase_client
from tests.storage.supabase.test_client import run
from tests.support.proxy import Passing, Proxy, hangs, says

WORKS = says(200, b'{"id": "documents"}')
FAILS = says(503, b"{}")
LONG = 60  # seconds: no test waits for that
PIECE = b"x" * 10_000


@pytest.fixture
def proxy(settings) -> Iterator[Proxy]:
    """Stands for Storage, and works unless a test says otherwise."""
    supabase_client.close()
    with Proxy() as running:
        running.plan = lambda number, method, path: WORKS
        settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY = running.url, "sb_secret_x"
        yield running
    supabase_client.close()


@pytest.fixture
def store(proxy: Proxy) -> SupabaseStorage:
    return SupabaseStorage("documents")


@pytest.fixture
def without_pauses() -> Iterator[None]:
    with stamina.set_testing(True, attempts=supabase_client.ATTEMPTS):
        yield


@pytest.fixture
def retries() -> Iterator[list[RetryDetails]]:
    found: list[RetryDetails] = []
    stamina.instrumentation.set_on_retry_hooks([found.append])
    yield found
    stamina.instrumentation.set_on_retry_hooks(None)


@pytest.fixture
def requests(proxy: Proxy) -> Iterator[Callable[[Callable[[], Any]], Future[Any]]]:
    """Handles each act in a thread, as a request with much time."""

    def handle(act: Callable[[], Any]) -> Any:
        with request_budget(LONG):
            return act()

    with ThreadPoolExecutor(32) as pool:
        yield lambda act: pool.submit(handle, act)
        proxy.over.set()


def test_the_time_to_load_libraries_is_not_that_of_the_check(store: SupabaseStorage, monkeypatch):
    moments = [0.5]  # seconds that the first call needs to prepare
    for module in (backend, supabase_client):
        monkeypatch.setattr(module, "prepare", lambda: time.sleep(moments.pop() if moments else 0))
    monkeypatch.setattr(backend, "READY_SECONDS", 0.4)

    store.check_ready()


def asked(proxy: Proxy, times: int) -> bool:
    """True once so many requests have arrived."""
    for _ in range(500):
        if len(proxy.asked) == times:
            return True
        time.sleep(0.01)
    return False


# --- The budget -----------------------------------------------------------------------------------------


def test_when_the_budget_is_used_up_nothing_is_asked_any_more(store, proxy):
    proxy.fail(hangs, times=1)

    with request_budget(0.3):
        for act in [store.delete_object, store.read] * circuit_breaker.MAX_FAILURES:
            with pytest.raises(StorageUnavailable):
                act("a")

    assert len(proxy.asked) == 1
    with request_budget(LONG):
        store.check_ready()  # only one of them was a failure of Storage


def test_each_request_has_a_budget_of_its_own(store, proxy):
    proxy.fail(hangs, times=1)
    with request_budget(0.3), suppress(StorageUnavailable):
        store.check_ready()

    with request_budget(0.3):
        store.check_ready()


def test_time_between_the_calls_does_not_count(store):
    with request_budget(1):
        store.check_ready()
        time.sleep(1.1)
        store.check_ready()


def test_an_earlier_deadline_leaves_the_rest_of_the_budget(store, proxy):
    proxy.fail(hangs, times=1)

    with request_budget(LONG):
        with deadlines.deadline(0.3), pytest.raises(StorageUnavailable):
            store.check_ready()
        store.check_ready()
        assert budget.current().left > LONG / 2


@pytest.mark.parametrize(("seconds", "retry_after"), [(0.3, None), (2, "5")], ids=["used up", "too short"])
def test_nobody_waits_for_an_attempt_that_has_no_time_left(store, proxy, retries, seconds, retry_after):
    proxy.fail(says(503, b"{}", Retry_After=retry_after) if retry_after else hangs)

    with request_budget(seconds), pytest.raises(StorageUnavailable):
        store.delete_object("a")

    assert retries == []


def test_a_command_tries_as_often_as_before(store, proxy, settings, without_pauses):
    """Neither a budget, nor a limit, nor a circuit."""
    settings.STORAGE_TIMEOUT, settings.THREADS = 0.001, 2
    proxy.fail(FAILS)

    for _ in range(2 * circuit_breaker.MAX_FAILURES):
        with pytest.raises(StorageUnavailable, match="503"):
            store.delete_object("a")

    assert len(proxy.asked) == 2 * circuit_breaker.MAX_FAILURES * supabase_client.ATTEMPTS


# --- The budget of a transfer -----------------------------------------------------------------------------


def sends(pieces: int, pauses: dict[int, float] | None = None, pause: float = 0) -> Callable[..., None]:
    """The first pieces of an object, with this pause before each, or before some of them."""

    def send(passing: Passing, body: bytes, of: int = pieces) -> None:
        size = of * len(PIECE)
        head = (
            f"HTTP/1.1 206 OK\r\nContent-Length: {size}\r\nContent-Range: bytes 0-{size - 1}/{size}\r\n\r\n"
        )
        passing.wfile.write(head.encode())
        for number in range(pieces):
            time.sleep((pauses or {}).get(number, pause))
            with suppress(OSError):
                passing.wfile.write(PIECE)
        passing.close_connection = True

    return send


@pytest.mark.parametrize("rate", [20_000, 10**8], ids=["fast enough", "too slow"])
def test_an_object_that_arrives_in_time_is_read_whatever_its_size(store, proxy, rate):
    proxy.fail(sends(20, pause=0.1))

    with request_budget(1), deadlines.minimum_rate(rate):
        if rate == 20_000:
            assert store.read("a").read() == 20 * PIECE
        else:
            with pytest.raises(StorageUnavailable), store.read("a") as file:
                file.read()


def test_time_that_was_earned_is_not_for_waiting(store, proxy):
    """Given a server that has sent much, when it becomes silent, then it has no more time than at first."""
    proxy.fail(sends(20, pauses={19: 3}), times=1)

    with request_budget(1), deadlines.minimum_rate(1000):
        file = store.read("a")
        with pytest.raises(StorageUnavailable):
            file.read()
        file.close()


def test_sending_a_body_has_time_of_its_own(proxy):
    proxy.on("POST", "/object/", delay=1)

    with request_budget(0.5), deadlines.minimum_rate(100):
        supabase_client.request("POST", "object", "documents", "a", content=PIECE[:1000])
        assert 0 < budget.current().left <= 0.5


# --- The threads ------------------------------------------------------------------------------------------


def test_at_most_half_of_the_threads_wait(store, proxy, settings, requests):
    settings.THREADS = 4
    proxy.fail(hangs, times=2)
    waiting = [requests(store.check_ready) for _ in range(2)]
    assert asked(proxy, 2)

    for _ in range(20):
        with pytest.raises(StorageUnavailable, match="Half of the threads"):
            requests(store.check_ready).result()

    assert not any(each.done() for each in waiting), "all were refused at once"
    assert len(proxy.asked) == 2
    store.check_ready()  # a command
    proxy.over.set()
    for each in waiting:
        assert isinstance(each.exception(), StorageUnavailable)
    for _ in range(3):
        requests(store.check_ready).result()


def test_a_thread_that_fails_leaves_its_place_to_others(store, proxy, settings, requests):
    settings.THREADS = 2
    for fault in (FAILS, says(404, b'{"code": "NoSuchKey"}'), says(200, b"<html>")):
        proxy.fail(fault, times=1)
        with pytest.raises(StorageError):
            requests(store.check_ready).result()

    for _ in range(3):
        requests(store.check_ready).result()


def test_a_burst_waits_its_turn(store, proxy, settings, requests):
    settings.THREADS = 4
    together = Together()
    proxy.fail(together)

    for each in [requests(lambda: store.delete_object("a")) for _ in range(24)]:
        each.result()

    assert together.most == 2


class Together:
    """Works after a moment, and counts how many requests are there at once."""

    def __init__(self) -> None:
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def __call__(self, passing: Passing, body: bytes) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self.lock:
            self.now -= 1
        WORKS(passing, body)


def test_a_reader_takes_a_place_only_while_it_waits(store, proxy, settings, requests):
    settings.THREADS = 2
    reads, arrives = threading.Event(), threading.Event()

    def first_half_then_pause(passing: Passing, body: bytes) -> None:
        sends(1)(passing, body, of=2)
        arrives.wait(10)
        passing.wfile.write(PIECE)

    proxy.fail(first_half_then_pause, on="GET /object/", times=1)

    def read() -> bytes:
        with store.read("a") as file:
            reads.wait(10)
            return file.read()

    reading = requests(read)
    assert asked(proxy, 1)
    for _ in range(3):
        requests(store.check_ready).result()
    reads.set()

    refusals = (requests(store.check_ready).exception() for _ in range(100))
    assert any(refusals), "no place was taken"
    arrives.set()
    assert reading.result() == 2 * PIECE


FORK = """
import os, sys
from django.conf import settings
from storage.budget import request_budget
from storage.supabase import SupabaseStorage, client, request_limits
settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY, settings.THREADS = sys.argv[1], "sb_secret_x", 2
with request_budget(9), request_limits.waiting():
    child = os.fork()
    if not child:
        with request_budget(9):
            SupabaseStorage("documents").check_ready()
        os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
client.close()
"""


@pytest.mark.slow
def test_a_forked_process_has_all_its_places(proxy):
    assert run(FORK, proxy.url) == "0"


# --- The circuit ------------------------------------------------------------------------------------------


def fail(store: SupabaseStorage, times: int = circuit_breaker.MAX_FAILURES) -> None:
    for _ in range(times):
        with request_budget(LONG), pytest.raises(StorageUnavailable):
            store.check_ready()


def test_after_several_failures_in_a_row_nothing_is_asked(store, proxy):
    proxy.fail(FAILS)
    fail(store)

    with request_budget(LONG), pytest.raises(StorageUnavailable, match="several times in a row"):
        store.delete_object("a")

    assert len(proxy.asked) == circuit_breaker.MAX_FAILURES


def test_a_call_with_several_attempts_fails_once(store, proxy, without_pauses):
    proxy.fail(FAILS)
    for _ in range(circuit_breaker.MAX_FAILURES):
        with request_budget(LONG), pytest.raises(StorageUnavailable, match="503"):
            store.delete_object("a")

    assert len(proxy.asked) == circuit_breaker.MAX_FAILURES * supabase_client.ATTEMPTS


ANSWERS = {
    "success": WORKS,
    "no such object": says(400, b'{"statusCode": "404", "code": "NoSuchKey"}'),
    "refused": says(401, b"{}"),
    "a wrong request": says(400, b'{"statusCode": "400", "code": "SomethingNew"}'),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_is_no_failure(store, proxy, answer):
    for _ in range(2):
        proxy.orders.clear()
        proxy.fail(FAILS, times=circuit_breaker.MAX_FAILURES - 1)
        proxy.fail(answer)
        fail(store, circuit_breaker.MAX_FAILURES - 1)
        for _ in range(circuit_breaker.MAX_FAILURES):
            with request_budget(LONG), suppress(StorageError):
                store.check_ready()

    assert len(proxy.asked) == 2 * (2 * circuit_breaker.MAX_FAILURES - 1)


def test_one_call_goes_ahead_while_the_others_fail(store, proxy, monkeypatch, requests):
    proxy.fail(FAILS, times=circuit_breaker.MAX_FAILURES)
    fail(store)
    monkeypatch.setattr(circuit_breaker, "OPEN_SECONDS", 0)
    answered = threading.Event()
    proxy.fail(lambda passing, body: (answered.wait(10), WORKS(passing, body)), times=1)

    first = requests(store.check_ready)
    assert asked(proxy, circuit_breaker.MAX_FAILURES + 1)
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="several times in a row"):
            requests(store.check_ready).result()
    answered.set()
    first.result()

    for _ in range(3):
        requests(store.check_ready).result()


def test_if_that_call_fails_the_others_fail_again(store, proxy, monkeypatch):
    proxy.fail(FAILS)
    fail(store)
    monkeypatch.setattr(circuit_breaker, "OPEN_SECONDS", 0)
    fail(store, times=1)
    monkeypatch.setattr(circuit_breaker, "OPEN_SECONDS", LONG)
    fail(store)

    assert len(proxy.asked) == circuit_breaker.MAX_FAILURES + 1


def test_if_that_call_says_nothing_the_next_one_goes_ahead(store, proxy, monkeypatch):
    proxy.fail(FAILS, times=circuit_breaker.MAX_FAILURES)
    fail(store)
    monkeypatch.setattr(circuit_breaker, "OPEN_SECONDS", 0)

    with request_budget(LONG):
        with pytest.raises(InvalidKey):
            store.describe("a\0")
        store.check_ready()
