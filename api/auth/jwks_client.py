"""The key set of one JWKS endpoint, kept by one thread per process, so that no request waits for it.

A set is refreshed when it is five minutes old, and counts for ten. While the endpoint does not answer, it
counts for fifteen more. Unknown key ids, empty sets and failures make nobody ask more than once in ten
seconds, in all processes that share a cache.
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

REFRESH = 300  # seconds after which a new set is fetched, in the background
LIFE = 600  # seconds that a set counts for: Supabase asks not to keep one for longer
STALE = 900  # seconds that it counts for beyond that, while the endpoint does not answer
COOLDOWN = 10  # seconds between two fetches, whatever is asked
GLANCE = 1.0  # seconds between two looks at the shared cache: so long a purge takes to arrive
SKEW = 60  # seconds that the clocks of two machines may differ
MANY = 4  # requests that wait for an unknown key at the same time: the other threads have work to do

logger = structlog.get_logger("api.auth.jwks_client")
now = time.time  # the clock that processes share


class KeysUnavailable(Exception):
    """The key set could not be had: this says nothing of the token."""


class UnknownKey(jwt.InvalidKeyError):
    """The key set is there, and the key is not in it."""


@dataclass(frozen=True, slots=True)
class KeySet:
    keys: dict[str, jwt.PyJWK]
    fetched_at: float  # when the fetch began

    def is_younger_than(self, seconds: float) -> bool:
        return -SKEW <= now() - self.fetched_at < seconds


class JWKSClient:
    """The key set of one endpoint. Its thread replaces what is held as a whole; requests only read."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.held: KeySet | None = None
        self.generation = ""
        self.wanted = False  # somebody asked for what is not held
        self.failing = False  # the endpoint did not answer when it was asked last
        self.tried = -inf  # when that was
        self.waiting = 0
        self.closed = False
        self.admin_owner_id: threading.Thread | None = None
        self.starting, self.rounds = threading.Lock(), threading.Lock()
        self.nudged, self.news = threading.Event(), threading.Condition()

    # --- What requests do -------------------------------------------------------------------------

    def key(self, key_id: str) -> jwt.PyJWK:
        """Raises KeysUnavailable, UnknownKey."""
        if (key := self._known(key_id)) is not None:
            return key
        self._want(key_id)
        if (key := self._known(key_id)) is not None:
            return key
        if not self._counts(self.held):
            raise KeysUnavailable
        raise UnknownKey

    def _known(self, key_id: str) -> jwt.PyJWK | None:
        held = self.held
        return held.keys.get(key_id) if held is not None and self._counts(held) else None

    def _counts(self, held: KeySet | None) -> bool:
        """Past its life, a set counts only while the endpoint is known not to answer."""
        return held is not None and held.is_younger_than(LIFE + STALE if self.failing else LIFE)

    def _want(self, key_id: str) -> None:
        """Have the keeper look, and wait for it: unless it has just looked, or looks in vain."""
        self.wanted = True
        if self._cools_down():
            return
        self._wake_keeper()
        with self.news:
            if self.failing or (self._counts(self.held) and self.waiting >= MANY):
                return
            self.waiting += 1
            self.news.wait_for(
                lambda: self._known(key_id) is not None or self._cools_down(), supabase_auth.TIMEOUT + 1
            )
            self.waiting -= 1

    def _cools_down(self) -> bool:
        fetched = self.held.fetched_at if self.held is not None else -inf
        return 0 <= now() - max(self.tried, fetched) < COOLDOWN

    # --- What the keeper does ---------------------------------------------------------------------

    def _wake_keeper(self) -> None:
        with self.starting:
            if self.admin_owner_id is None or not self.admin_owner_id.is_alive():
                self.admin_owner_id = threading.Thread(target=self._keep, name="signing-keys", daemon=True)
                self.admin_owner_id.start()
        self.nudged.set()

    def _keep(self) -> None:
        while not self.closed:
            try:
                self.refresh_if_due()
            except Exception as error:  # without a keeper, keys would grow old in silence
                logger.error("keeper_stumbled", exc_info=error)
            self.nudged.wait(GLANCE)
            self.nudged.clear()

    def refresh_if_due(self) -> None:
        """Look at what others fetched or purged, fetch what is due, and tell who waits."""
        with self.rounds:
            self._hear()
            if self._is_due():
                self._refresh()
        with self.news:
            self.news.notify_all()

    def _hear(self) -> None:
        generation, shared = jwks_cache.read(self.url)
        if generation and generation != self.generation:
            self.generation, self.held, self.failing, self.tried = generation, None, False, -inf
            self.wanted = True
        if shared is not None and shared.generation == self.generation:
            self._hold(shared)

    def _hold(self, shared: jwks_cache.Shared) -> None:
        if self.held is not None and shared.fetched_at <= self.held.fetched_at:
            return
        try:
            self.held = KeySet(jwks.parse(shared.text), shared.fetched_at)
        except ValueError:
            return  # another version wrote it
        self.failing = self.failing and shared.fetched_at < self.tried

    def _is_due(self) -> bool:
        if self._cools_down():
            return False
        return self.wanted or self.failing or self.held is None or not self.held.is_younger_than(REFRESH)

    def _refresh(self) -> None:
        """Fetch, or hear what another process fetches at this moment."""
        self.wanted = False
        turn = f"{self.generation}:{now() // COOLDOWN:.0f}"
        if jwks_cache.take_turn(self.url, turn, 2 * COOLDOWN):
            answered = self._fetch()
            jwks_cache.tell(self.url, turn, answered, 2 * COOLDOWN)
        else:
            answered = jwks_cache.follow(self.url, turn, supabase_auth.TIMEOUT + 1)
            self._hear()
        self.failing, self.tried = not answered, now()

    def _fetch(self) -> bool:
        """Whether the endpoint answered with a key set. What it answered else changes nothing."""
        began = now()
        try:
            answer = supabase_auth.get(self.url)
            if answer.status != 200:
                raise ValueError(f"status {answer.status}")
            text = answer.body.decode("utf-8-sig")
            keys = jwks.parse(text)
        except (supabase_auth.SupabaseAuthUnavailable, ValueError) as error:
            logger.warning("keys_not_fetched", reason=str(error))
            return False
        self.held = KeySet(keys, began)
        jwks_cache.write(self.url, jwks_cache.Shared(text, began, self.generation), LIFE + STALE)
        return True

    def close(self) -> None:
        self.closed = True
        self.nudged.set()
        if self.admin_owner_id is not None:
            self.admin_owner_id.join()


# --- The clients of this process --------------------------------------------------------------

_sources: dict[str, JWKSClient] = {}
os.register_at_fork(after_in_child=_sources.clear)  # a child has neither the thread nor the locks' owners


def source() -> JWKSClient:
    """Of the endpoint that the settings name."""
    url = settings.SUPABASE_JWKS_URL
    return _sources.get(url) or _sources.setdefault(url, JWKSClient(url))


def public_key(key_id: str) -> jwt.PyJWK:
    """The key of this id. Raises KeysUnavailable, or UnknownKey, which is a PyJWTError."""
    return source().key(key_id)


def forget() -> None:
    """End every keeper, and hold nothing: as a process that has just begun."""
    for each in list(_sources.values()):
        each.close()
    _sources.clear()
