"""OpenTelemetry traces, with TRACES=true: requests, queries, calls of the cache and of the file storage.

OpenTelemetry's own variables say where they are sent: OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME,
OTEL_TRACES_SAMPLER and others. No span has a token, a key or the value of a query's parameter.
"""

import os
import time

from django.http import HttpRequest, HttpResponse
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode

from backend.middleware import route_of
from storage import calls

EXPECTED = ("ok", "missing", "exists")  # outcomes of storage calls that are no fault

tracer = trace.get_tracer("vivarium")


def start() -> None:
    """Trace this process. Call it after the fork, and before the middleware is loaded."""
    os.environ.setdefault("OTEL_PYTHON_DJANGO_EXCLUDED_URLS", "livez,readyz,metrics")
    provider = TracerProvider(
        resource=Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "vivarium")})
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    DjangoInstrumentor().instrument(request_hook=hide_url, response_hook=name_route)
    PsycopgInstrumentor().instrument()
    RedisInstrumentor().instrument()
    calls.observers.append(add_storage_call)


def hide_url(span: Span, request: HttpRequest) -> None:
    """Leave out the URL: its query may have the token of a signed URL, and its path has keys."""
    for name in ("http.target", "http.url", "url.full", "url.path", "url.query"):
        span.set_attribute(name, "")


def name_route(span: Span, request: HttpRequest, response: HttpResponse) -> None:
    """Name the span as the access log names the route: `GET /api/v1/documents/<pk>/`."""
    route = route_of(request) or "none"
    span.update_name(f"{request.method} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("vivarium.request_id", response.headers.get("X-Request-ID", ""))


def add_storage_call(call: str, outcome: str, seconds: float) -> None:
    """Add a span for a call of the file storage that has just ended."""
    now = time.time_ns()
    span = tracer.start_span(f"storage {call}", kind=SpanKind.CLIENT, start_time=now - int(seconds * 1e9))
    span.set_attribute("vivarium.outcome", outcome)
    if outcome not in EXPECTED:
        span.set_status(StatusCode.ERROR, outcome)
    span.end(now)
