"""A limit on work, for texts that superlinear code would need hours for and linear code milliseconds."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def processor_seconds(limit: int) -> Iterator[None]:
    """Fail if this process uses more processor time. Waiting for other processes does not count."""

    def stop(*args: Any) -> None:
        raise AssertionError(f"not done after {limit} seconds of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
