"""Before anything is installed or started, `make run` says whether PORT can be used."""

import os
import runpy
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from django.core.exceptions import ImproperlyConfigured

from backend import port
from tests.support.server import ROOT

HERE = "127.0.0.1"


@pytest.fixture
def listener(request) -> Iterator[socket.socket]:
    family, address = request.param
    with socket.socket(family) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((address, 0))
        listening.listen()
        yield listening


def asked(file: Path | str = os.devnull, **environment: str) -> str:
    """What is said about the port, "" if it can be used."""
    with patch.dict(os.environ, {"ENV_FILE": str(file), **environment}):
        try:
            port.main()
        except SystemExit as refused:
            return str(refused)
    return ""


def of_settings(file: Path) -> str:
    with patch.dict(os.environ, {"ENV_FILE": str(file), "DEBUG": "true"}, clear=True):
        try:
            return str(runpy.run_path(str(ROOT / "backend" / "settings.py"))["PORT"])
        except ImproperlyConfigured as error:
            return str(error)


@pytest.mark.parametrize(
    "listener",
    [(socket.AF_INET, HERE), (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")],
    indirect=True,
    ids=str,
)
def test_a_port_that_is_taken_is_one_line_that_names_a_free_one(listener: socket.socket):
    taken = listener.getsockname()[1]

    told = asked(PORT=str(taken))

    assert told.startswith(f"Port {taken} cannot be used: Address already in use. Choose another: PORT=")
    assert "\n" not in told
    free = told.split("PORT=")[1].split()[0]
    assert int(free) != taken
    assert asked(PORT=free) == ""


@pytest.mark.parametrize("listener", [(socket.AF_INET, HERE)], indirect=True, ids=str)
def test_a_port_that_is_free_again_can_be_used(listener: socket.socket):
    """A connection that was closed a moment ago is not in the way, as it is not for gunicorn."""
    address = listener.getsockname()
    with socket.create_connection(address):
        listener.accept()[0].close()
    listener.close()

    assert asked(PORT=str(address[1])) == ""


@pytest.mark.parametrize("value", ["eighty", "0", "-1", "65536", "8000.5", "80 00"])
def test_what_is_no_port_is_said_in_one_line(value: str):
    assert asked(PORT=value) == "PORT must be a number from 1 to 65535."


@pytest.mark.parametrize(
    "text",
    [
        "PORT={}",
        'PORT="{}"',
        "PORT='{}'",
        "PORT={}  ",
        "PORT= {}",
        'PORT="{}"  ',
        "PORT={} # the port",
        "PORT='{}' # the port",
        "export PORT={}",
        "PORT ={}",
        " PORT={}",
        "# PORT=1\nPORT={}\n",
        "PORT=1\r\nPORT={}\r\n",
        "PORT={}\nPORT=",
        "XPORT=1\nPORT={}\nPORT_X=1",
        "PORT=\"'{}'\"",
        "PORT='\"{}\"'",
        "DEBUG=true",
        "PORT=$PORT",
    ],
)
@pytest.mark.parametrize("listener", [(socket.AF_INET, HERE)], indirect=True, ids=str)
def test_the_file_is_read_as_the_settings_read_it(text: str, listener: socket.socket, tmp_path: Path):
    taken = listener.getsockname()[1]
    (tmp_path / "env").write_text(text.format(taken), newline="")

    told, meant = asked(tmp_path / "env", PORT=" "), of_settings(tmp_path / "env")

    if meant == str(taken):
        assert told.startswith(f"Port {taken} ")
    elif meant == "8000":
        assert f"Port {taken} " not in told
        assert "must be a number" not in told
    else:
        assert told == "PORT must be a number from 1 to 65535."


def test_the_environment_has_precedence_over_the_file(tmp_path: Path):
    (tmp_path / "env").write_text("PORT=none")

    assert "must be a number" in asked(tmp_path / "env")
    assert "must be a number" not in asked(tmp_path / "env", PORT="8000")


def test_nothing_needs_to_be_installed():
    done = subprocess.run(
        [sys.executable, "-S", "-m", "backend.port"],
        cwd=ROOT,
        env={"PORT": "none"},
        capture_output=True,
        text=True,
    )

    assert done.stderr == "PORT must be a number from 1 to 65535.\n"
