"""The metrics of requests and storage calls, and `/metrics`, from which Prometheus reads all metrics.

Each process counts in files of PROMETHEUS_MULTIPROC_DIR, which `gunicorn.conf.py` makes. Whichever process
answers adds them up. No label has an id, a key or anything else that a client chooses.
"""

from time import monotonic, perf_counter

from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, multiprocess, values
from prometheus_client.exposition import choose_encoder

from api.errors import ProblemResponse, problem
from backend.database_metrics import DatabaseCollector
from backend.middleware import Handler, route_of
from storage import calls

PATH = "/metrics"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
POOL_INTERVAL = 5.0  # seconds between two looks at the connection pool of a process

REQUESTS = Counter(
    "vivarium_http_requests_total", "Requests, by route, method and status.", ["route", "method", "status"]
)
REQUEST_SECONDS = Histogram(
    "vivarium_http_request_seconds",
    "Time from a request's arrival until its response begins.",
    ["route", "method"],
    buckets=SECONDS,
)
PROBLEMS = Counter("vivarium_problems_total", "Error responses, by their code: see docs/errors.md.", ["code"])
STORAGE_CALL_SECONDS = Histogram(
    "vivarium_storage_call_seconds",
    "Calls of the file storage with their retries, by method and outcome.",
    ["call", "outcome"],
    buckets=SECONDS,
)
POOL_CONNECTIONS = Gauge(
    "vivarium_database_pool_connections",
    "Connections in the pools of all processes, by state: used or idle.",
    ["state"],
    multiprocess_mode="livesum",
)
POOL_WAITING = Gauge(
    "vivarium_database_pool_waiting",
    "Requests that wait for a connection of the pool, in all processes.",
    multiprocess_mode="livesum",
)


def is_enabled() -> bool:
    return bool(settings.METRICS_TOKEN or settings.METRICS_BIND)


class MetricsMiddleware:
    """Counts requests, and answers `/metrics`. The first middleware: it sees every response."""

    def __init__(self, get_response: Handler) -> None:
        if not is_enabled():
            raise MiddlewareNotUsed
        if observe_storage_call not in calls.observers:
            calls.observers.append(observe_storage_call)
        self.get_response = get_response
        self.next_look = 0.0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info == PATH or came_by_metrics_port(request):
            return exposition(request)
        started = perf_counter()
        response = self.get_response(request)
        seconds = perf_counter() - started
        route = route_of(request) or "none"
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(route, method, response.status_code).inc()
        REQUEST_SECONDS.labels(route, method).observe(seconds)
        if isinstance(response, ProblemResponse):
            count_problem(response.code)
        if monotonic() >= self.next_look:
            self.next_look = monotonic() + POOL_INTERVAL
            observe_pool()
        return response


def count_problem(code: str) -> None:
    PROBLEMS.labels(code).inc()


def observe_storage_call(call: str, outcome: str, seconds: float) -> None:
    STORAGE_CALL_SECONDS.labels(call, outcome).observe(seconds)


def observe_pool() -> None:
    """Observe the connection pool of this process, if it has one."""
    pool = getattr(connection, "pool", None)
    if pool is None:
        return
    found = pool.get_stats()
    idle = found.get("pool_available", 0)
    POOL_CONNECTIONS.labels("idle").set(idle)
    POOL_CONNECTIONS.labels("used").set(found.get("pool_size", 0) - idle)
    POOL_WAITING.set(found.get("requests_waiting", 0))


def came_by_metrics_port(request: HttpRequest) -> bool:
    """Return True if the request was sent to METRICS_BIND, as gunicorn's socket says: headers may lie."""
    port = settings.METRICS_BIND.rpartition(":")[2]
    if not port or "gunicorn.socket" not in request.META:
        return False
    address = request.META["gunicorn.socket"].getsockname()  # of a Unix socket it is a path
    return isinstance(address, tuple) and address[1] == int(port)


def exposition(request: HttpRequest) -> HttpResponse:
    """Return the response to a request of `/metrics`, or of any path at the port of METRICS_BIND."""
    if request.path_info != PATH:
        return problem("not_found")
    if not came_by_metrics_port(request):
        if not settings.METRICS_TOKEN:
            return problem("not_found")
        if not constant_time_compare(
            request.headers.get("Authorization", ""), f"Bearer {settings.METRICS_TOKEN}"
        ):
            detail = "Send METRICS_TOKEN: `Authorization: Bearer …`."
            return problem(
                "not_authenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="metrics"'}
            )
    if request.method not in ("GET", "HEAD"):
        return problem("method_not_allowed", headers={"Allow": "GET, HEAD"})
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry()), content_type=content_type, headers={"Cache-Control": "no-store"})


def registry() -> CollectorRegistry:
    """Return what is shown: the values of all processes, and what the database knows."""
    shown = CollectorRegistry()
    if values.ValueClass is values.MutexValue:  # one process, such as runserver
        shown.register(REGISTRY)
    else:
        multiprocess.MultiProcessCollector(shown)
    shown.register(DATABASE)
    return shown


DATABASE = DatabaseCollector()
