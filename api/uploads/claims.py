"""Claims of tickets: of all callers that may work on a ticket, one has the claim.

Processes are synchronised by the database alone. A state changes by compare-and-swap, and every write after a
claim checks that the claim is still valid. A claim has a lease: if its owner dies, another caller takes over.
"""

import time
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.utils import timezone

from api.exceptions import Refused
from api.uploads.models import Upload

State = Upload.State

LEASE = timedelta(seconds=8)  # below the time that a caller waits: after a crash it can take over in time
RENEWAL_SECONDS = 2.0  # after which the lease is renewed
POLL_INTERVALS = (0.05, 0.5)  # seconds between two reads of the row, at first and at most


class ClaimLost(Exception):
    """The lease expired and another caller took the claim; its result counts."""


def claim_and_run(
    upload: Upload, action: Callable[[Upload], None], states: Collection[State], wait_seconds: float
) -> Upload:
    """Claim the ticket and run the action if it is in one of these states. Returns the row as it is then.

    While another caller has the claim, wait for its result. Raises Refused after `wait_seconds`, and what the
    action raises.
    """
    deadline, pause, may_claim = time.monotonic() + wait_seconds, POLL_INTERVALS[0], True
    while upload.state in states or upload.state == State.VERIFYING:
        try:
            if may_claim and (claimed := claim(upload, states)):
                _run_or_release(claimed, action)
                return claimed
        except ClaimLost:
            may_claim = False  # another caller works on the ticket: only wait for its result
        if time.monotonic() >= deadline:
            raise Refused("verification_in_progress", retry_after=1)
        time.sleep(pause)
        pause = min(pause * 2, POLL_INTERVALS[1])
        upload = Upload.objects.get(pk=upload.pk)
    return upload


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


def _run_or_release(upload: Upload, action: Callable[[Upload], None]) -> None:
    """Run the action on a claimed ticket. If it raises, set the ticket to pending.

    It keeps its keys, because the object may have been moved already.
    """
    try:
        action(upload)
    except ClaimLost:
        raise
    except BaseException:
        try:
            write(upload, state=State.PENDING)
        except ClaimLost:
            pass
        raise
