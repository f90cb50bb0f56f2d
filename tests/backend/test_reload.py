"""SIGHUP starts new processes with the new settings and code, without an interruption."""

import signal
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def largest(server: Server) -> int:
    rules = httpx.get(f"{server.url}/api/v1/upload-rules/", verify=False, timeout=30).json()
    return int(rules["documents"]["file"]["max_bytes"])


def test_a_reload_reads_the_settings_again(tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text("DOCUMENT_MAX_BYTES=1000000\nWEB_CONCURRENCY=1\n")
    with Server(tmp_path, workers=1, ENV_FILE=str(file)) as server:
        assert largest(server) == 1_000_000
        file.write_text("DOCUMENT_MAX_BYTES=2000000\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: largest(server) == 2_000_000)


def test_a_reload_with_settings_that_are_wrong_keeps_the_old_ones(tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text("DOCUMENT_MAX_BYTES=1000000\n")
    with Server(tmp_path, workers=1, ENV_FILE=str(file)) as server:
        file.write_text("DOCUMENT_MAX_BYTES=2000000\nTHREADS=none\n")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "The new settings cannot be used" in server.log.read_text())
        wait_until(lambda: server.log.read_text().count("Booting worker") == 2)

        assert largest(server) == 1_000_000
        assert server.process.poll() is None


def test_the_number_of_processes_may_be_in_the_file(tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text("WEB_CONCURRENCY=3\n")
    with Server(tmp_path, workers=None, ENV_FILE=str(file)) as server:
        wait_until(lambda: server.log.read_text().count("Booting worker") == 3)
