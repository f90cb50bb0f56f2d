"""Functions to run in a child process. This module needs neither Django nor pytest."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO

from api.uploads.child_process import ChildFunction


def called(function: Callable[..., Any]) -> ChildFunction[Any]:
    """This function, as a ForkServer takes it."""
    return ChildFunction(function.__module__, function.__name__)


def echo(file: BinaryIO, word: str) -> list[str]:
    return [file.read().decode(), word]


def refuse(file: BinaryIO, image_format: str, max_pixels: int) -> str:
    """The verdict of a decoder that cannot read a picture."""
    return "invalid"


def who() -> list[int]:
    """The ids of the child and of its fork server."""
    return [os.getpid(), os.getppid()]


def surroundings() -> dict[str, Any]:
    """Everything here that could give something away."""
    return {
        "environment": dict(os.environ),
        "first environment": open("/proc/self/environ").read() if os.path.exists("/proc") else "",
        "arguments": sys.argv,
        "modules": [name for name in sys.modules if name.split(".")[0] in ("django", "backend")],
        "files": [os.fstat(number).st_mode for number in range(64) if _is_open(number)],
    }


def limits() -> dict[str, int]:
    kinds = ("AS", "CPU", "FSIZE", "CORE", "NOFILE", "NPROC")
    return {kind: resource.getrlimit(getattr(resource, f"RLIMIT_{kind}"))[0] for kind in kinds}


def write_to_each(*files: BinaryIO) -> None:
    for file in files:
        file.write(b"x")
        file.flush()


def write(file: BinaryIO) -> None:
    file.write(b"here")
    file.flush()


def take_memory(*files: BinaryIO) -> int:
    return len(bytearray(1024**3))


def take_processor_time(*files: BinaryIO) -> None:
    while True:
        pass


def sleep(file: BinaryIO) -> None:
    """Write who() to the file, then wait longer than any test."""
    file.write("{} {}\n".format(*who()).encode())
    file.flush()
    time.sleep(600)


def crash(*anything: Any) -> None:
    os.abort()


def be_killed(*anything: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def forge() -> None:
    """Write something else than a result wherever it is possible, as an exploited decoder might."""
    for number in range(64):
        with suppress(OSError):
            os.write(number, b"[" * 100_000)
    os._exit(0)


def fail() -> None:
    raise LookupError("the text of the error")


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
