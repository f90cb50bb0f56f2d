"""Claims of tickets: of all callers that may work on a ticket, one has the claim.

Processes are synchronised by the database alone. A state changes by compare-and-swap, and every write after a
claim checks that the claim is still valid. A claim has a lease: if its owner dies, another caller takes over.
"""

import threading
import time
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any, Self
from uuid import UUID, uuid4

from django.conf import settings
from django.utils import timezone

from api.exceptions import Refused
from api.uploads.models import Upload

State = Upload.State

LEASE = timedelta(seconds=8)  # below the time that a caller waits: after a crash it can take over in time
RENEWAL_SECONDS = 2.0  # after which the lease is renewed
POLL_INTERVALS = (0.05, 0.5)  # seconds between two reads of the row, at first and at most
LONG_WAIT_SECONDS = 2.0  # after which few callers go on waiting


class ClaimLost(Exception):
    """The lease expired and another caller took the claim; its result counts."""


def claim_and_run(
    upload: Upload, action: Callable[[Upload], None], states: Collection[State], wait_seconds: float
) -> Upload:
    """Claim the ticket and run the action if it is in one of these states. Returns the row as it is then.

    While another caller has the claim, wait for its result. Raises Refused after `wait_seconds`, and what the
    action raises.
    """
    may_claim = True
    with _Wait(wait_seconds) as wait:
        while upload.state in states or upload.state == State.VERIFYING:
            try:
                if may_claim and (claimed := claim(upload, states)):
                    _run_or_release(claimed, action, State(upload.state))
                    return claimed
            except ClaimLost:
                may_claim = False  # another caller works on the ticket: only wait for its result
            wait.pause()
            upload = Upload.objects.get(pk=upload.pk)
    return upload


class _Wait:
    """Waits for another caller, and raises Refused after `seconds`.

    A wait of over LONG_WAIT_SECONDS means that the other caller hangs, as the storage may. Only a quarter of
    the threads of a process wait so long. While they do, all others are refused at once, so that their
    threads can serve other requests.
    """

    waiting_long = 0  # of this process
    lock = threading.Lock()

    def __init__(self, seconds: float) -> None:
        self._started = time.monotonic()
        self._seconds = seconds
        self._interval = POLL_INTERVALS[0]
        self._is_long = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._is_long:
            with self.lock:
                _Wait.waiting_long -= 1

    def pause(self) -> None:
        waited = time.monotonic() - self._started
        if waited >= self._seconds or not self._may_wait(waited):
            raise Refused("verification_in_progress", retry_after=1)
        time.sleep(self._interval)
        self._interval = min(self._interval * 2, POLL_INTERVALS[1])

    def _may_wait(self, waited: float) -> bool:
        with self.lock:
            if not self._is_long:
                if _Wait.waiting_long >= max(settings.THREADS // 4, 1):
                    return False
                self._is_long = waited >= LONG_WAIT_SECONDS
                _Wait.waiting_long += self._is_long
        return True


def claim(upload: Upload, states: Collection[State]) -> Upload | None:
    """Claim the ticket for the time of LEASE. Returns the claimed row, None if another caller has it."""
    now, claim_id = timezone.now(), uuid4()
    ticket = Upload.objects.filter(pk=upload.pk)
    values = {
        "state": State.VERIFYING,
        "claim_id": claim_id,
        "lease_expires_at": now + LEASE,
        "updated_at": now,
    }
    taken_over = False
    if not ticket.filter(state__in=states).update(**values):
        taken_over = bool(ticket.with_expired_lease(now).update(**values))
        if not taken_over:
            return None
    # Read the row again: an earlier caller may have changed it before this claim.
    claimed = ticket.filter(claim_id=claim_id).first()
    if claimed and taken_over:
        # The earlier caller may still run, and move an object to its key or delete it: use another key.
        write(claimed, earlier_keys=claimed.chosen_keys(), final_key="")
    return claimed


def write(upload: Upload, **values: Any) -> None:
    """Change the claimed row in the database and in memory. A new state ends the claim. Raises ClaimLost."""
    values["updated_at"] = timezone.now()
    if "state" in values:
        values |= {"claim_id": None, "lease_expires_at": None}
    if not Upload.objects.with_claim_of(upload).update(**values):
        raise ClaimLost
    for name, value in values.items():
        setattr(upload, name, value)


def restore(upload: Upload, claim_id: UUID | None) -> None:
    """Read the row again, after a transaction that ended this claim was rolled back. Raises ClaimLost."""
    upload.refresh_from_db()
    if upload.state != State.VERIFYING or upload.claim_id != claim_id:
        raise ClaimLost


def lease_renewer(upload: Upload) -> Callable[[], None]:
    """Return a function that renews the lease. Call it before each storage call, and while waiting.

    It raises ClaimLost.
    """
    renewed_at = time.monotonic()

    def renew() -> None:
        nonlocal renewed_at
        if time.monotonic() - renewed_at > RENEWAL_SECONDS:
            write(upload, lease_expires_at=timezone.now() + LEASE)
            renewed_at = time.monotonic()

    return renew


def _run_or_release(upload: Upload, action: Callable[[Upload], None], before: State) -> None:
    """Run the action on a claimed ticket. If it raises, set the ticket to pending, or to held as `before`.

    It keeps its keys, because the object may have been moved already.
    """
    try:
        action(upload)
    except ClaimLost:
        raise
    except BaseException:
        try:
            is_held = before == State.HELD and not upload.is_released
            write(upload, state=State.HELD if is_held else State.PENDING)
        except ClaimLost:
            pass
        raise
