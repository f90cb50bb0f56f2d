"""With TRACES=true, spans of requests, queries and storage calls reach a collector, without any secret."""

import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from tests.backend.test_settings import refusal
from tests.conftest import missing
from tests.storage.project import empty_database, skip_without_postgresql
from tests.support.cast import PDF, announcement
from tests.support.server import ROOT, Server

#: A virtualenv with requirements-traces.txt. `make traces` makes it.
PYTHON = ROOT / os.environ.get("TRACES_VENV", ".venv-traces") / "bin" / "python"


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """The address of an OpenTelemetry collector, and what it receives."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()


def test_traces_need_their_packages():
    assert refusal(DEBUG="true", TRACES="true") == (
        "TRACES needs OpenTelemetry: pip install -r requirements-traces.txt."
    )


@pytest.mark.slow
def test_spans_reach_the_collector_without_secrets(
    collector: tuple[str, list[bytes]], tmp_path: Path, monkeypatch
):
    if not PYTHON.exists():
        missing("make traces installs OpenTelemetry")
    skip_without_postgresql()
    address, received = collector
    settings = {"TRACES": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    with empty_database() as name:
        url = f"postgres://root@127.0.0.1:5432/{name}"
        server = Server(tmp_path, DATABASE_URL=url, **settings)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(PYTHON))
            server.migrate()
            server.start()
        try:
            alice = server.client("alice@example.org")
            document = alice.post("/api/v1/documents/", json={"title": "Plan"}).json()
            ticket = alice.post(f"/api/v1/documents/{document['id']}/upload-url/", json=announcement()).json()
            assert httpx.put(ticket["url"], content=PDF, headers=ticket["headers"]).status_code == 200
            assert alice.post(ticket["complete_url"]).status_code == 200
        finally:
            server.__exit__()  # sends what is left

    spans = b"".join(received)
    for name in [
        b"POST /api/v1/documents/<pk>/upload-url/",
        b"PUT /storage/v1/",
        b"storage upload_token",
        b"storage move",
        b"INSERT",
        b"vivarium.request_id",
    ]:
        assert name in spans, name
    for secret in [ticket["token"], ticket["path"], document["id"], server.token("alice@example.org")[:30]]:
        assert secret.encode() not in spans
