"""The metrics of the API: what `/metrics` shows beside requests and storage calls (`backend/metrics.py`)."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from prometheus_client import Counter, Gauge, Histogram

VERIFICATION_SECONDS = Histogram(
    "vivarium_verification_seconds",
    "Time to read and verify an uploaded file. Outcomes: verified, rejected, failed.",
    ["outcome"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
THROTTLED = Counter("vivarium_throttled_total", "Requests refused by a throttle, by its scope.", ["scope"])
SIGNING_KEYS_FETCHED = Gauge(
    "vivarium_signing_keys_fetched_timestamp_seconds",
    "When the public keys that verify access tokens were last fetched; 0 if they never were.",
    multiprocess_mode="mostrecent",
)


@contextmanager
def observe_verification(rejection: type[Exception]) -> Iterator[None]:
    """Observe the time of this block, which raises `rejection` if the file is not the declared one."""
    started, outcome = perf_counter(), "failed"
    try:
        yield
        outcome = "verified"
    except rejection:
        outcome = "rejected"
        raise
    finally:
        VERIFICATION_SECONDS.labels(outcome).observe(perf_counter() - started)
