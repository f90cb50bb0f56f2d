"""deploy/healthcheck.py, beside a server."""

import runpy
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from tests.support.ports import free_port
from tests.support.server import ROOT

CHECK = runpy.run_path(str(ROOT / "deploy" / "healthcheck.py"))


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        ("zoo.example.org", "zoo.example.org"),
        (" zoo.example.org , other.example.org", "zoo.example.org"),
        (".example.org", "example.org"),
        ("*", "localhost"),
        ("", "localhost"),
    ],
)
def test_it_asks_for_a_host_that_the_server_accepts(allowed: str, host: str):
    assert CHECK["allowed_host"](allowed) == host


@pytest.mark.parametrize(("status", "code"), [(200, 0), (400, 1), (503, 1)])
def test_only_200_is_healthy(status: int, code: int, monkeypatch, capsys):
    asked = []

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Host"]))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *about: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        monkeypatch.setenv("PORT", str(server.server_port))
        monkeypatch.setenv("ALLOWED_HOSTS", "zoo.example.org")
        answering = Thread(target=server.handle_request)
        answering.start()
        assert CHECK["main"]() == code
        answering.join()

    assert asked == [("/livez", "zoo.example.org")]
    assert capsys.readouterr().out == f"/livez answered {status}\n"


def test_a_server_that_does_not_answer(monkeypatch, capsys):
    monkeypatch.setenv("PORT", str(free_port()))

    assert CHECK["main"]() == 1
    assert capsys.readouterr().out.startswith("/livez does not answer: ")
