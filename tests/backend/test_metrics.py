"""What `/metrics` shows, to whom, and that it is right over several processes."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from django.db import OperationalError
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from api import sweep_status
from api.auth import jwks_client
from api.models import Removal, Upload
from backend import database_metrics, metrics
from storage import calls
from tests.storage.project import skip_without_postgresql
from tests.support.auth_server import KeyServer
from tests.support.cast import PDF, Caller, announcement, send
from tests.support.pages import Page
from tests.support.ports import free_port
from tests.support.server import ROOT, Server
from tests.support.waiting import wait_until

TOKEN = "r7Yq2nXw9Lk4Tz8Vb3Mh6Cd1"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana" / "vivarium.json"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch) -> None:
    """What the database said in the test before is forgotten."""
    monkeypatch.setattr(metrics, "DATABASE", database_metrics.DatabaseCollector())


@pytest.fixture
def enabled(settings, monkeypatch) -> None:
    settings.METRICS_TOKEN = TOKEN
    monkeypatch.setattr(calls, "observers", [])
    monkeypatch.setattr(database_metrics, "KEPT_FOR", -1.0)


def read(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((f"vivarium_{name}", tuple(sorted(labels.items()))), 0)


def ask(token: str = TOKEN, path: str = "/metrics", method: str = "GET", **environment: str) -> Any:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return Client(headers=headers).generic(method, path, **environment)


def shown() -> Samples:
    answer = ask()
    assert answer.status_code == 200, answer.content
    return read(answer.content.decode())


# --- Who may read ------------------------------------------------------------------------------------


def test_there_are_no_metrics_unless_they_are_asked_for():
    assert ask().status_code == 404


@pytest.mark.usefixtures("enabled")
@pytest.mark.parametrize("token", ["", "wrong", f"{TOKEN}x", "ü"])
def test_another_token_is_refused(token: str):
    answer = ask(token)

    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"
    assert TOKEN not in answer.content.decode()


@pytest.mark.usefixtures("enabled", "db")
def test_the_host_does_not_matter_to_prometheus_which_uses_addresses():
    assert ask(HTTP_HOST="10.1.2.3:8000").status_code == 200


@pytest.mark.usefixtures("enabled")
def test_only_get_is_allowed():
    answer = ask(method="POST")

    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


@pytest.mark.django_db
def test_the_port_of_its_own_serves_only_metrics_and_needs_no_token(settings):
    settings.METRICS_BIND = "127.0.0.1:9100"

    def came_to(address: Any) -> dict[str, Any]:
        return {"gunicorn.socket": SimpleNamespace(getsockname=lambda: address)}

    assert ask("", **came_to(("127.0.0.1", 9100))).status_code == 200
    assert ask("", "/livez", **came_to(("::1", 9100, 0, 0))).status_code == 404
    for elsewhere in [("127.0.0.1", 8000), "/run/vivarium.sock"]:
        lie = {"HTTP_HOST": "api.zoo.example.org:9100", "SERVER_PORT": "9100"}
        assert ask("", **came_to(elsewhere), **lie).status_code == 404
    assert ask("", "/livez", **came_to(("127.0.0.1", 8000))).status_code == 200
    assert ask("").status_code == 404  # another server than gunicorn


# --- What is counted ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("enabled")
def test_requests_are_counted_by_route_method_and_status(alice: Caller):
    before = shown()
    document = alice.document()
    alice.get(f"documents/{document['id']}/")
    alice.get(f"documents/{document['owner']['id']}/")
    alice.client.generic("BREW", "/nowhere")
    after = shown()

    def counted(route: str, method: str, status: str) -> float:
        labels = {"route": route, "method": method, "status": status}
        return value(after, "http_requests_total", **labels) - value(before, "http_requests_total", **labels)

    route = "/api/v1/documents/<pk>/"
    assert counted("/api/v1/documents/", "POST", "201") == 1
    assert counted(route, "GET", "200") == 1
    assert counted(route, "GET", "404") == 1
    assert counted("none", "other", "404") == 1
    timed = {"route": route, "method": "GET"}
    seconds = "http_request_seconds_count"
    assert value(after, seconds, **timed) - value(before, seconds, **timed) == 2
    missing = {"code": "not_found"}
    assert value(after, "problems_total", **missing) - value(before, "problems_total", **missing) == 2


@pytest.mark.usefixtures("enabled")
def test_no_label_has_an_id_a_key_or_a_text_of_a_client(alice: Caller):
    document = alice.document_with_file()
    alice.get("documents/?search=penguin")
    alice.get(f"uploads/{document['id']}/")
    alice.client.get("/penguin/secret")

    text = ask().content.decode()

    assert document["id"] not in text
    assert str(alice.id) not in text
    assert "penguin" not in text


@pytest.mark.usefixtures("enabled")
def test_storage_calls_and_verifications_are_counted_by_outcome(alice: Caller):
    before = shown()
    alice.document_with_file()
    ticket = alice.ticket(alice.document())
    assert alice.complete(ticket).status_code == 409  # nothing was sent
    assert send(ticket, b"%PDX" + PDF[4:]).status_code == 200
    assert alice.complete(ticket).status_code == 422
    after = shown()

    def counted(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert counted("storage_call_seconds_count", call="move", outcome="ok") == 2
    assert counted("storage_call_seconds_count", call="move", outcome="missing") >= 1
    assert counted("storage_call_seconds_count", call="upload_token", outcome="ok") == 2
    assert counted("verification_seconds_count", outcome="verified") == 1
    assert counted("verification_seconds_count", outcome="rejected") == 1
    assert counted("problems_total", code="content_type_mismatch") == 1


@pytest.mark.usefixtures("enabled")
def test_throttled_requests_are_counted_by_scope(alice: Caller, monkeypatch):
    document = alice.document()
    before = value(shown(), "throttled_total", scope="tickets")
    monkeypatch.setattr("api.throttling.TicketRateThrottle.rate", "1/day", raising=False)
    answers = [alice.post(f"documents/{document['id']}/upload-url/", announcement()) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 429, 429]
    assert value(shown(), "throttled_total", scope="tickets") - before == 2


@pytest.mark.usefixtures("enabled")
def test_the_time_of_the_signing_keys_is_that_of_their_fetch(key_server: KeyServer, clock, db):
    jwks_client.client().refresh_if_due()
    fetched_at = clock.time
    clock.forward(100)

    assert value(shown(), "signing_keys_fetched_timestamp_seconds") == fetched_at


# --- What the database knows -------------------------------------------------------------------------


@pytest.mark.usefixtures("enabled")
def test_tickets_are_shown_by_state_with_the_age_of_the_oldest(alice: Caller):
    for _ in range(2):
        alice.ticket(alice.document())
    alice.document_with_file()
    Upload.objects.filter(state="pending").update(created_at=timezone.now() - timedelta(seconds=500))
    samples = shown()

    assert value(samples, "tickets", state="pending") == 2
    assert value(samples, "tickets", state="completed") == 1
    assert value(samples, "tickets", state="held") == 0
    assert 500 <= value(samples, "oldest_ticket_age_seconds", state="pending") < 560


@pytest.mark.usefixtures("enabled", "db")
def test_removals_are_shown_while_they_wait():
    assert value(shown(), "oldest_removal_age_seconds") == 0
    now = timezone.now()
    old, _, _ = (
        Removal.objects.create(bucket="documents", key="a", due_at=now, attempts=3),
        Removal.objects.create(bucket="documents", key="b", due_at=now + timedelta(hours=1)),
        Removal.objects.create(bucket="documents", key="c", due_at=now, is_reservation=True),
    )
    Removal.objects.filter(pk=old.pk).update(created_at=now - timedelta(seconds=700))
    samples = shown()

    assert value(samples, "removals_waiting") == 1
    assert value(samples, "removals_failing") == 1
    assert 700 <= value(samples, "oldest_removal_age_seconds") < 760


@pytest.mark.usefixtures("enabled", "db")
def test_the_last_sweep_is_shown():
    assert value(shown(), "sweep_finished_timestamp_seconds") == 0
    for failed in (1, 2):
        sweep_status.record(1.5, failed)
    samples = shown()

    assert abs(value(samples, "sweep_finished_timestamp_seconds") - time.time()) < 60
    assert value(samples, "sweep_seconds") == 1.5
    assert value(samples, "sweep_failed_tasks") == 2


@pytest.mark.usefixtures("enabled", "db")
def test_without_a_database_the_other_metrics_are_shown(monkeypatch):
    def fail() -> None:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(sweep_status, "last_sweep", fail)
    ask(path="/livez")
    samples = shown()

    assert value(samples, "database_up") == 0
    assert ("vivarium_tickets", (("state", "pending"),)) not in samples
    assert any(name == "vivarium_http_requests_total" for name, _ in samples)


@pytest.mark.usefixtures("enabled", "db")
def test_the_database_is_asked_once_in_a_while(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(database_metrics, "KEPT_FOR", 60.0)
    shown()

    with django_assert_num_queries(0):
        shown()


# --- Several processes -------------------------------------------------------------------------------


@pytest.mark.slow
def test_all_processes_are_added_up_with_the_sweep_and_after_a_reload(tmp_path: Path):
    address = f"127.0.0.1:{free_port()}"
    with Server(tmp_path, METRICS_BIND=address, TMPDIR=str(tmp_path), SWEEP_EVERY="1") as server:

        def samples() -> Samples:
            return read(httpx.get(f"http://{address}/metrics", verify=False, timeout=60).text)

        def species() -> float:
            labels = {"route": "/api/v1/species/", "method": "GET", "status": "200"}
            return value(samples(), "http_requests_total", **labels)

        for _ in range(40):  # each connection may come to another process
            httpx.get(f"{server.url}/api/v1/species/", verify=False).raise_for_status()
        send_without_callback(server)
        send_a_head_that_is_too_long(server)

        assert len(list(tmp_path.glob("vivarium-metrics-*/counter_*.db"))) >= 2
        assert [species() for _ in range(5)] == [40] * 5  # whoever answers
        found = wait_until(lambda: value(samples(), "verification_seconds_count", outcome="verified"))
        assert found == 1  # by the sweep
        assert value(samples(), "storage_call_seconds_count", call="upload_token", outcome="ok") == 1
        assert value(samples(), "problems_total", code="too_large") == 1
        # The database is asked once in ten seconds.
        assert time.time() - wait_until(lambda: value(samples(), "sweep_finished_timestamp_seconds")) < 60

        before = server.log.read_text().count("Booting worker")
        server.process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: server.log.read_text().count("Booting worker") - before) >= 1
        assert species() == 40
    assert not list(tmp_path.glob("vivarium-metrics-*")), "the folder of the counts was left behind"


def send_without_callback(server: Server) -> None:
    client = server.client("alice@example.org")
    document = client.post("/api/v1/documents/", json={"title": "Plan"}).json()
    ticket = client.post(f"/api/v1/documents/{document['id']}/upload-url/", json=announcement()).json()
    httpx.put(ticket["url"], content=PDF, headers=ticket["headers"], verify=False).raise_for_status()


def send_a_head_that_is_too_long(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 70_000)
        assert b"431" in connection.recv(100)


@pytest.mark.slow
def test_an_address_for_metrics_that_is_left_out_is_told(tmp_path: Path):
    server = Server(tmp_path, METRICS_BIND="127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0"],
        cwd=ROOT,
        env=server.environment,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode != 0
    assert "add `--bind 127.0.0.1:9`" in done.stderr


@pytest.mark.slow
def test_the_pool_and_the_connections_of_postgresql_are_shown(server_on_postgresql: Server, tmp_path: Path):
    skip_without_postgresql()
    url = server_on_postgresql.environment["DATABASE_URL"]
    with Server(tmp_path, workers=1, DATABASE_URL=url, METRICS_TOKEN=TOKEN, TMPDIR=str(tmp_path)) as server:
        httpx.get(f"{server.url}/api/v1/species/", verify=False).raise_for_status()
        headers = {"Authorization": f"Bearer {TOKEN}"}
        samples = read(httpx.get(f"{server.url}/metrics", headers=headers, verify=False).text)

    assert value(samples, "database_connections") >= 1
    assert value(samples, "database_max_connections") >= 10
    pool = [value(samples, "database_pool_connections", state=state) for state in ("used", "idle")]
    assert sum(pool) >= 1


# --- The dashboard and the alerts --------------------------------------------------------------------


ENDINGS = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}


def families() -> dict[str, str]:
    """The kind of each metric, by its name."""
    on_postgresql = dict.fromkeys(
        ["vivarium_database_connections", "vivarium_database_max_connections"], "gauge"
    )
    found = {family.name: family.type for family in metrics.registry().collect()}
    return {name: kind for name, kind in found.items() if "vivarium" in name} | on_postgresql


def exported() -> set[str]:
    """The names of all samples."""
    return {name + ending for name, kind in families().items() for ending in ENDINGS.get(kind, [""])}


def queries() -> list[str]:
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [rule["expr"] for rule in rules] + [
        target["expr"] for panel in panels for target in panel.get("targets", [])
    ]


@pytest.mark.django_db
def test_the_dashboard_and_the_alerts_use_names_that_exist():
    names = exported()
    used = {name for query in queries() for name in re.findall(r"\bvivarium_\w+", query)}

    assert len(used) > 15
    assert used <= names, used - names


@pytest.mark.django_db
def test_every_metric_is_on_the_dashboard_or_in_an_alert():
    used = {name for query in queries() for name in re.findall(r"\bvivarium_\w+", query)}
    seen = {re.sub("_(total|bucket|sum|count)$", "", name) for name in used}

    assert families().keys() <= seen


@pytest.mark.django_db
def test_every_metric_is_explained():
    explained = Page("docs/operations.md").rows("Metrics, alerts and traces")

    names = [name for row in explained for name in re.findall(r"vivarium_\w+", row[0])]
    assert sorted(names) == sorted(
        f"{name}_total" if kind == "counter" else name for name, kind in families().items()
    )


def test_every_alert_says_what_to_do():
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("page", "ticket")
            assert rule["annotations"]["summary"]
            assert rule["annotations"]["description"]
