"""The metrics that the database knows: tickets, removals, pictures to convert, the sweep and connections."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from time import monotonic

from django.db import Error as AnyDatabaseError
from django.db import connection, transaction
from django.db.models import Count, Min
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api import sweep_status
from api.pictures.models import picture_models
from api.uploads.models import Removal, Upload

DATABASE_UP = "1 if the database answered these queries in time."
MAX_SECONDS = 3  # of each query; PostgreSQL only
KEPT_FOR = 10.0  # seconds, so that several readers, or a fast one, cost no more queries


class DatabaseCollector(Collector):
    """Asks the database, at most once in KEPT_FOR. If it fails, only `vivarium_database_up` is left."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._metrics: list[Metric] = []
        self._collected_at = -KEPT_FOR

    def describe(self) -> Iterable[Metric]:
        """Return nothing: so that no query is sent when the collector is registered."""
        return []

    def collect(self) -> Iterable[Metric]:
        if self._lock.acquire(blocking=False):  # else another thread asks: one that waits would be missed
            try:
                if monotonic() - self._collected_at >= KEPT_FOR:
                    self._metrics = self._ask()
                    self._collected_at = monotonic()
            finally:
                self._lock.release()
        return self._metrics

    def _ask(self) -> list[Metric]:
        started = monotonic()
        try:
            with transaction.atomic(), time_limit():
                found = [*tickets(), *removals(), *renditions(), *sweep(), *connections()]
        except AnyDatabaseError:
            return [gauge("database_up", DATABASE_UP, 0)]
        seconds = monotonic() - started
        return [
            gauge("database_up", DATABASE_UP, 1),
            gauge("database_metrics_seconds", "How long the queries of these metrics took.", seconds),
            *found,
        ]


@contextmanager
def time_limit() -> Iterator[None]:
    """End each query of this block, which is in a transaction, after MAX_SECONDS."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{MAX_SECONDS}s"])
    yield


def tickets() -> Iterator[Metric]:
    number = GaugeMetricFamily("vivarium_tickets", "Tickets, by their state.", labels=["state"])
    oldest = GaugeMetricFamily(
        "vivarium_oldest_ticket_age_seconds",
        "Age of the oldest ticket that is not settled.",
        labels=["state"],
    )
    rows = Upload.objects.order_by().values_list("state").annotate(Count("pk"), Min("created_at"))
    found = {state: (count, created_at) for state, count, created_at in rows}
    for state in Upload.State.values:
        count, created_at = found.get(state, (0, None))
        number.add_metric([state], count)
        if state not in Upload.SETTLED:
            oldest.add_metric([state], _age(created_at))
    yield from (number, oldest)


def removals() -> Iterator[Metric]:
    due = Removal.objects.filter(is_reservation=False, due_at__lte=timezone.now())
    found = due.aggregate(count=Count("pk"), oldest=Min("created_at"))
    yield gauge("removals_waiting", "Objects that are to be deleted from the storage now.", found["count"])
    help_text = "Age of the oldest removal that is due."
    yield gauge("oldest_removal_age_seconds", help_text, _age(found["oldest"]))
    failing = Removal.objects.filter(is_reservation=False, attempts__gt=0).count()
    yield gauge("removals_failing", "Removals that have failed at least once.", failing)


def renditions() -> Iterator[Metric]:
    waiting = sum(
        model._base_manager.filter(renditions_due_at__lte=timezone.now()).count()
        for model in picture_models()
    )
    yield gauge("renditions_waiting", "Pictures whose renditions the sweep has to make.", waiting)


def sweep() -> Iterator[Metric]:
    last = sweep_status.last_sweep()
    finished_at = last.finished_at.timestamp() if last else 0
    help_text = "When the sweep last finished; 0 if it never did."
    yield gauge("sweep_finished_timestamp_seconds", help_text, finished_at)
    yield gauge("sweep_seconds", "How long the last sweep took.", last.seconds if last else 0)
    yield gauge("sweep_failed_tasks", "Tasks of the last sweep that failed.", last.failed if last else 0)


def connections() -> Iterator[Metric]:
    """PostgreSQL only: its connections to this database, and how many it allows to all."""
    if connection.vendor != "postgresql":
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
            " WHERE datname = current_database()"
        )
        used, allowed = cursor.fetchone()
    yield gauge("database_connections", "Connections to this database, of all its clients.", used)
    yield gauge("database_max_connections", "How many connections PostgreSQL allows.", allowed)


def gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"vivarium_{name}", help_text, value=value)


def _age(since: datetime | None) -> float:
    """Return the seconds since then, 0 for None."""
    return max((timezone.now() - since).total_seconds(), 0) if since else 0
