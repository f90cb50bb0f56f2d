"""Keeps the JSON Web Key Set (JWKS) that verifies access tokens current, with one thread per process.

A key set is refreshed in the background after five minutes and used for ten. If the endpoint fails, it is
used for fifteen minutes more. The endpoint is called at most once in ten seconds, also for unknown key ids,
empty key sets and failures, by all processes that share a cache together.
"""

import os
import threading
import time
from dataclasses import dataclass
from math import inf

import jwt
import structlog
from django.conf import settings

from api.auth import jwks, jwks_cache, supabase_auth
from api.auth.local import signing_key
from api.metrics import SIGNING_KEYS_FETCHED

REFRESH_AGE = 300  # seconds after which a key set is fetched again, in the background
MAX_AGE = 600  # seconds for which a key set is used: Supabase asks clients not to cache it for longer
STALE_IF_ERROR = 900  # seconds for which it is used after that, while the endpoint fails
COOLDOWN = 10  # seconds between two fetches
POLL_INTERVAL = 1.0  # seconds between two reads of the shared cache, by which a purge may be delayed
CLOCK_SKEW = 60  # seconds by which the clocks of two machines may differ
MAX_WAITING = 4  # requests that wait for an unknown key at the same time; other threads stay free

logger = structlog.get_logger("api.auth.jwks_client")
now = time.time  # not monotonic: processes compare these times


class KeysUnavailable(Exception):
    """There is no key set to verify with. This says nothing about the token."""


class UnknownKey(jwt.InvalidKeyError):
    """The key set is current and has no key of this id. Its text is the ids that there are."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """`keys` by key id; `fetched_at` is when the fetch began, in seconds since 1970."""

    keys: dict[str, jwt.PyJWK]
    fetched_at: float

    def is_younger_than(self, seconds: float) -> bool:
        return -CLOCK_SKEW <= now() - self.fetched_at < seconds


class JWKSClient:
    """The key set of one endpoint. Its thread replaces `key_set` as a whole; requests only read it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.key_set: KeySet | None = None
        self.generation = ""  # see `jwks_cache.purge`
        self.refresh_requested = False  # a request asked for a key that is not in the key set
        self.failing = False  # the last fetch failed
        self.last_fetch = -inf  # when the last fetch ended
        self.waiting = 0  # requests that wait for a refresh
        self.closed = False
        self.thread: threading.Thread | None = None
        self.thread_lock, self.refresh_lock = threading.Lock(), threading.Lock()
        self.wake_up, self.refreshed = threading.Event(), threading.Condition()

    # --- Called by requests -----------------------------------------------------------------------

    def key(self, key_id: str) -> jwt.PyJWK:
        """Return the key of this id. Raises KeysUnavailable, UnknownKey."""
        if (key := self._find(key_id)) is not None:
            return key
        self._request_refresh(key_id)
        if (key := self._find(key_id)) is not None:
            return key
        if not self._is_usable(self.key_set):
            raise KeysUnavailable
        raise UnknownKey(", ".join(map(repr, self.key_set.keys)) if self.key_set else "")

    def has(self, key: jwt.PyJWK) -> bool:
        """Return True if this key, and not another one with its id, is in the key set."""
        return key.key_id is not None and self._find(key.key_id) is key

    def _find(self, key_id: str) -> jwt.PyJWK | None:
        key_set = self.key_set
        return key_set.keys.get(key_id) if key_set is not None and self._is_usable(key_set) else None

    def _is_usable(self, key_set: KeySet | None) -> bool:
        """Return True if the key set is young enough. Beyond MAX_AGE it is only used while fetches fail."""
        max_age = MAX_AGE + STALE_IF_ERROR if self.failing else MAX_AGE
        return key_set is not None and key_set.is_younger_than(max_age)

    def _request_refresh(self, key_id: str) -> None:
        """Trigger a refresh and wait for it, unless one just ran or the endpoint is failing."""
        self.refresh_requested = True
        if self._is_cooling_down():
            return
        self._wake_thread()
        with self.refreshed:
            if self.failing or (self._is_usable(self.key_set) and self.waiting >= MAX_WAITING):
                return
            self.waiting += 1
            self.refreshed.wait_for(
                lambda: self._find(key_id) is not None or self._is_cooling_down(), supabase_auth.TIMEOUT + 1
            )
            self.waiting -= 1

    def _is_cooling_down(self) -> bool:
        fetched_at = self.key_set.fetched_at if self.key_set is not None else -inf
        return 0 <= now() - max(self.last_fetch, fetched_at) < COOLDOWN

    # --- Called by the thread ---------------------------------------------------------------------

    def _wake_thread(self) -> None:
        with self.thread_lock:
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self._run, name="jwks-refresh", daemon=True)
                self.thread.start()
        self.wake_up.set()

    def _run(self) -> None:
        while not self.closed:
            try:
                self.refresh_if_due()
            except Exception as error:  # if the thread died, the key set would grow old unnoticed
                logger.error("jwks_refresh_failed", exc_info=error)
            self.wake_up.wait(POLL_INTERVAL)
            self.wake_up.clear()

    def refresh_if_due(self) -> None:
        """Read the shared cache, fetch the key set if that is due, and wake the requests that wait."""
        with self.refresh_lock:
            self._read_cache()
            if self._is_due():
                self._refresh()
        with self.refreshed:
            self.refreshed.notify_all()

    def _read_cache(self) -> None:
        """Use the key set that another process fetched, and drop the old one after a purge."""
        generation, cached = jwks_cache.read(self.url)
        if generation and generation != self.generation:
            self.generation, self.key_set, self.failing, self.last_fetch = generation, None, False, -inf
            self.refresh_requested = True
        if cached is not None and cached.generation == self.generation:
            self._use_if_newer(cached)

    def _use_if_newer(self, cached: jwks_cache.CachedKeySet) -> None:
        if self.key_set is not None and cached.fetched_at <= self.key_set.fetched_at:
            return
        try:
            self._use(KeySet(jwks.parse(cached.text), cached.fetched_at))
        except ValueError:
            return  # written by another version of this program
        self.failing = self.failing and cached.fetched_at < self.last_fetch

    def _is_due(self) -> bool:
        if self._is_cooling_down():
            return False
        if self.refresh_requested or self.failing or self.key_set is None:
            return True
        return not self.key_set.is_younger_than(REFRESH_AGE)

    def _refresh(self) -> None:
        """Fetch the key set, or wait for the process that is fetching it."""
        self.refresh_requested = False
        window = f"{self.generation}:{now() // COOLDOWN:.0f}"
        if jwks_cache.claim_fetch(self.url, window, 2 * COOLDOWN):
            succeeded = self._fetch()
            jwks_cache.report_fetch(self.url, window, succeeded, 2 * COOLDOWN)
        else:
            succeeded = jwks_cache.wait_for_fetch(self.url, window, supabase_auth.TIMEOUT + 1)
            self._read_cache()
        self.failing, self.last_fetch = not succeeded, now()

    def _fetch(self) -> bool:
        """Fetch the key set and share it. Returns False, and changes nothing, if the answer is not one."""
        began = now()
        try:
            response = supabase_auth.get(self.url)
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            text = response.body.decode("utf-8-sig")
            keys = jwks.parse(text)
        except (supabase_auth.SupabaseAuthUnavailable, ValueError) as error:
            logger.warning("jwks_fetch_failed", outage="keys", exc_info=error)
            return False
        self._use(KeySet(keys, began))
        cached = jwks_cache.CachedKeySet(text, began, self.generation)
        jwks_cache.write(self.url, cached, MAX_AGE + STALE_IF_ERROR)
        return True

    def _use(self, key_set: KeySet) -> None:
        self.key_set = key_set
        SIGNING_KEYS_FETCHED.set(key_set.fetched_at)

    def close(self) -> None:
        """End the thread and wait for it."""
        self.closed = True
        self.wake_up.set()
        if self.thread is not None:
            self.thread.join()


# --- The clients of this process --------------------------------------------------------------

_clients: dict[str, JWKSClient] = {}
os.register_at_fork(after_in_child=_clients.clear)  # threads and held locks do not survive a fork


def client() -> JWKSClient:
    """Return the client of SUPABASE_JWKS_URL."""
    url = settings.SUPABASE_JWKS_URL
    return _clients.get(url) or _clients.setdefault(url, JWKSClient(url))


def has_public_keys() -> bool:
    """Return True if tokens may be signed with a private key, by Supabase Auth or the local Auth server."""
    return bool(settings.LOCAL_AUTH or settings.SUPABASE_JWKS_URL)


def public_key(key_id: str) -> jwt.PyJWK:
    """Return the key of this id. Raises KeysUnavailable, and UnknownKey, which is a PyJWTError.

    The key of the local Auth server is read from the database. A request to this server itself would wait
    for a thread of a process that may have no other.
    """
    if not settings.LOCAL_AUTH:
        return client().key(key_id)
    if (key := signing_key.public_key(key_id)) is None:
        raise UnknownKey("of the local Auth server")
    return key


def is_in_use(key: jwt.PyJWK) -> bool:
    """Return True if this key is still in the key set: not purged, replaced, or too old to be used."""
    return client().has(key)


def close_all() -> None:
    """End the threads of all clients and drop their key sets."""
    for each in list(_clients.values()):
        each.close()
    _clients.clear()
