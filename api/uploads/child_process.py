"""Runs a function on untrusted files in a child process, with limits on memory and time.

Starting Python and importing a library for each file takes 100 ms, and a server with threads cannot fork
safely. So a fork server (`fork_server`) is started on first use, and forks a child for each call. Neither
process has the server's environment, settings, connections or files. The fork server of `multiprocessing` has
the environment, imports the main module again, and sets no limits.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import IO, Any, Generic, TypeVar

from api.uploads import fork_server

Result = TypeVar("Result")
OnWait = Callable[[], None]

POLL_SECONDS = 0.5  # between two calls of `on_wait`
WAIT_SECONDS = 5.0  # for which a caller waits while others use all children
START_SECONDS = 30.0  # for starting the fork server, its imports and forking
#: Without it, the first thread that a decoder starts reserves 128 MiB of address space.
ENVIRONMENT = {"MALLOC_ARENA_MAX": "1"}
INHERITED = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # where some installations of Python find their library


@dataclass(frozen=True, slots=True)
class ChildFunction(Generic[Result]):
    """A function at the top level of a module that does not need Django.

    The module is imported in child processes only, so it may load Pillow.
    """

    module: str
    name: str


@dataclass(frozen=True, slots=True)
class Limits:
    """`memory`: address space in bytes. `file_size`: bytes up to which the function may write a file.

    `may_start_threads`: also processes, because the system does not tell them apart.
    """

    memory: int
    processor_seconds: int
    seconds: float
    file_size: int = 0
    may_start_threads: bool = False


class ChildFailed(Exception):
    """The function did not return. The reason is in its files."""


class TooMuchTime(ChildFailed):
    """The child reached the limit of processor time, or of time."""


class TooMuchMemory(ChildFailed):
    """The child reached the limit of memory."""


class Crashed(ChildFailed):
    """The child ended without a result."""


class FunctionRaised(Exception):
    """The function raised an exception: a mistake in the function. The message is its traceback."""


class ChildUnavailable(Exception):
    """There is no child process, for a reason that has nothing to do with the files. Try again."""


class ChildrenBusy(ChildUnavailable):
    """Other callers used all child processes for WAIT_SECONDS."""


class ForkServer:
    """A running fork server, for one caller at a time."""

    def __init__(self, modules: Sequence[str]) -> None:
        """Start it; it imports these modules. Raises ChildUnavailable."""
        self._is_stopped = False
        self._socket, theirs = socket.socketpair()
        search_path = [os.path.abspath(folder) for folder in sys.path]
        options = json.dumps({"search_path": search_path, "modules": list(modules)})
        try:
            self._process = subprocess.Popen(  # noqa: S603  (a fixed command)
                [sys.executable, "-I", "-S", fork_server.__file__, options],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd="/",
                env={**ENVIRONMENT, **{name: os.environ[name] for name in INHERITED if name in os.environ}},
                start_new_session=True,  # `stop` ends its children too, and Ctrl-C in a terminal does not
            )
        except OSError as error:
            self._socket.close()
            raise ChildUnavailable(f"The fork server cannot be started: {error}") from error
        finally:
            theirs.close()

    def run(
        self,
        function: ChildFunction[Result],
        files: Sequence[IO[bytes]],
        arguments: Sequence[Any] = (),
        *,
        limits: Limits,
        on_wait: OnWait,
    ) -> Result:
        """Return what the function returns for these files and arguments.

        Its files are open for reading and writing, from their beginning. Arguments and result are sent as
        JSON. `on_wait` is called every half second; what it raises ends the child. Raises ChildFailed,
        FunctionRaised, ChildUnavailable.
        """
        request = {
            "function": f"{function.module}:{function.name}",
            "arguments": list(arguments),
            "limits": asdict(limits),
        }
        try:
            end = self._exchange(request, files, limits.seconds, on_wait)
        except BaseException:
            self.stop()
            raise
        return _result(end)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """End it and its child."""
        if self._is_stopped:  # its process id may be that of another process by now
            return
        self._is_stopped = True
        self._socket.close()
        with suppress(ProcessLookupError, PermissionError):  # macOS raises the latter if it has ended
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def forget(self) -> None:
        """Close the connection, in a process that was forked from the one that started it."""
        self._socket.close()
        self._process.returncode = 0  # this process has nothing to wait for

    def _exchange(
        self, request: dict[str, Any], files: Sequence[IO[bytes]], seconds: float, on_wait: OnWait
    ) -> dict[str, Any]:
        self._send(request, files)
        try:
            self._receive(START_SECONDS, on_wait)
        except TimeoutError as error:
            raise ChildUnavailable("The fork server does not answer") from error
        try:
            return self._receive(seconds, on_wait)
        except TimeoutError as error:
            raise TooMuchTime from error

    def _send(self, request: dict[str, Any], files: Sequence[IO[bytes]]) -> None:
        message = json.dumps(request).encode()
        assert len(message) <= fork_server.MAX_REQUEST
        try:
            self._socket.settimeout(START_SECONDS)
            socket.send_fds(self._socket, [message], [file.fileno() for file in files])
        except OSError as error:
            raise ChildUnavailable(f"The fork server ended: {error}") from error

    def _receive(self, seconds: float, on_wait: OnWait) -> dict[str, Any]:
        """Return the next message. Raises TimeoutError, ChildUnavailable."""
        deadline = time.monotonic() + seconds
        (length,) = fork_server.LENGTH.unpack(self._read(fork_server.LENGTH.size, deadline, on_wait))
        message: dict[str, Any] = json.loads(self._read(length, deadline, on_wait))
        return message

    def _read(self, length: int, deadline: float, on_wait: OnWait) -> bytes:
        read = b""
        while len(read) < length:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(min(left, POLL_SECONDS))
            try:
                read += self._read_some(length - len(read))
            except TimeoutError:
                on_wait()
        return read

    def _read_some(self, length: int) -> bytes:
        try:
            chunk = self._socket.recv(length)
        except ConnectionError:
            chunk = b""
        if not chunk:
            raise ChildUnavailable("The fork server ended")
        return chunk


class ChildProcesses:
    """The child processes of this server process: at most `at_once` at the same time.

    Fork servers are started when they are needed, and again if they have ended. They are used again, the
    latest first, so that there is one for each child that is needed at the same time.
    """

    def __init__(self, at_once: int, modules: Sequence[str]) -> None:
        """`modules`: those of the functions. They are imported once by each fork server."""
        self._at_once, self._modules = at_once, modules
        self._reset()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget)

    @contextmanager
    def reserve(self, on_wait: OnWait) -> Iterator[ForkServer]:
        """Wait until a child may run, and yield the fork server for it. Raises ChildUnavailable."""
        self._wait_for_slot(on_wait)
        try:
            server = self._idle_server() or self._new_server()
            try:
                yield server
            finally:
                self._idle.append(server)
        finally:
            self._slots.release()

    def close(self) -> None:
        """End all fork servers and their children."""
        while self._servers:
            self._servers.pop().stop()

    def _wait_for_slot(self, on_wait: OnWait) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._slots.acquire(timeout=min(POLL_SECONDS, WAIT_SECONDS)):
            on_wait()
            if time.monotonic() >= deadline:
                raise ChildrenBusy

    def _idle_server(self) -> ForkServer | None:
        while self._idle:
            server = self._idle.pop()
            if server.is_running():
                return server
            self._servers.discard(server)
            server.stop()
        return None

    def _new_server(self) -> ForkServer:
        server = ForkServer(self._modules)
        self._servers.add(server)
        return server

    def _reset(self) -> None:
        self._slots = threading.Semaphore(self._at_once)
        self._idle: list[ForkServer] = []
        self._servers: set[ForkServer] = set()

    def _forget(self) -> None:
        """Leave the fork servers to the process that started them: this one was forked from it."""
        for server in self._servers:
            server.forget()
        self._reset()


def _result(end: dict[str, Any]) -> Any:
    """Return the result of a child that has ended. Raises ChildFailed, FunctionRaised, ChildUnavailable."""
    match end["signal"], _parse(end["output"]):
        case ((signal.SIGXCPU | signal.SIGALRM), _):
            raise TooMuchTime
        case signal.SIGKILL, _:  # the system is short of memory, or an administrator did it
            raise ChildUnavailable("The child process was killed")
        case 0, {"out_of_memory": True}:
            raise TooMuchMemory
        case 0, {"error": str(text)}:
            raise FunctionRaised(text)
        case 0, {"result": result}:
            return result
    raise Crashed(f"signal {end['signal']}")


def _parse(output: str) -> Any:
    """Return the JSON value, None if it is not one: the child may have written anything."""
    try:
        return json.loads(output)
    except (ValueError, RecursionError):
        return None
