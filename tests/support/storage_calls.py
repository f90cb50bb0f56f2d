"""Lets something happen at a call to the storage: it fails, the process dies, or another comes first."""

import io
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from django.db import connection, connections

from storage.base import SignedStorage
from storage.errors import StorageError, StorageUnavailable
from tests.support.proxy import Handling, Passing, Proxy, lost, reset

VERBS = ("describe", "put", "move", "copy", "read", "open_object", "delete_object", "walk", "listdir")
WRITES = ("put", "move", "copy", "delete_object")


@dataclass(frozen=True)
class Fault:
    """What happens at the call with this number, before or after the storage carries it out.

    `late`: the call fails, and the storage carries it out when nobody waits for it any more. `lasting`: all
    later calls fail too. `other`: what overtakes the call.
    """

    kind: Literal["fails", "late", "dies", "overtaken"]
    at: int
    after: bool = False
    lasting: bool = False
    other: Callable[[], Any] = lambda: None


class StorageCalls:
    """All calls of this process to the stores of this class, from then on."""

    def __init__(self, store: type[SignedStorage], monkeypatch: pytest.MonkeyPatch) -> None:
        self.fault: Fault | None = None
        self.number = 0
        self.struck = ""  # the call at which the fault happened
        self.late: list[Callable[[], Any]] = []  # what the storage still carries out
        for verb in VERBS:
            monkeypatch.setattr(store, verb, self._watched(verb, getattr(store, verb)))

    @contextmanager
    def disturbed_by(self, fault: Fault) -> Iterator[None]:
        self.fault, self.number, self.struck = fault, 0, ""
        try:
            yield
        finally:
            self.fault = None

    def is_in(self, process: int) -> None:
        """The calls come from this process."""

    def arrive_late(self) -> None:
        """Carry out what was asked for long ago."""
        while self.late:
            with suppress(StorageError):
                self.late.pop(0)()

    def _next_fault(self, name: str) -> Fault | None:
        """Return what happens at this call."""
        fault = self.fault
        self.number += 1
        if fault is None or self.number < fault.at:
            return None
        self.struck = self.struck or name
        if not fault.lasting:
            self.fault = None
        return fault

    def _watched(self, verb: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            # `carry_out` uses `arguments` as they are when it is called.
            def carry_out() -> Any:
                return original(*arguments, **options)

            fault = self._next_fault(verb)
            if fault is None:
                return carry_out()
            if fault.kind == "late" and verb in WRITES:
                if verb == "put":  # its file is closed by then
                    arguments = (*arguments[:2], list(arguments[2]))
                self.late.append(carry_out)
            return _after(carry_out, fault) if fault.after else _before(carry_out, fault)

        return call


def _before(carry_out: Callable[[], Any], fault: Fault) -> Any:
    _happen(fault)
    return carry_out()


def _after(carry_out: Callable[[], Any], fault: Fault) -> Any:
    with ExitStack() as stack:
        result = carry_out()
        if isinstance(result, io.IOBase):
            stack.callback(result.close)
        _happen(fault)
        stack.pop_all()
    return result


def _happen(fault: Fault) -> None:
    match fault.kind:
        case "fails" | "late":
            raise StorageUnavailable("Nobody knows whether it was done.")
        case "dies":
            die()
        case "overtaken":
            fault.other()


class ProxiedCalls(StorageCalls):
    """The same with requests that pass this proxy. Only what overtakes happens in this process."""

    def __init__(self, store: type[SignedStorage], monkeypatch: pytest.MonkeyPatch, proxy: Proxy) -> None:
        super().__init__(store, monkeypatch)
        self.requests = _Requests(proxy)
        self.late = self.requests.late

    @contextmanager
    def disturbed_by(self, fault: Fault) -> Iterator[None]:
        calls: Any = super() if fault.kind == "overtaken" else self.requests
        with calls.disturbed_by(fault):
            yield
        self.struck = calls.struck if calls is self.requests else self.struck

    def is_in(self, process: int) -> None:
        self.requests.process = process


class _Requests(StorageCalls):
    def __init__(self, proxy: Proxy) -> None:
        self.fault, self.number, self.struck, self.late = None, 0, "", []
        self.process = 0
        proxy.plan = lambda number, method, path: self._handling(method, path)

    @contextmanager
    def disturbed_by(self, fault: Fault) -> Iterator[None]:
        self.process = 0
        with super().disturbed_by(fault):
            yield

    def _handling(self, method: str, path: str) -> Handling | None:
        fault = self._next_fault(f"{method} {path.split('/')[4]}")
        match fault:
            case Fault("fails", after=False):
                return reset
            case Fault("fails"):
                return lost
            case Fault("late"):
                return self._postpone
            case Fault("dies"):
                return self._kill_after if fault.after else self._kill
        return None

    def _postpone(self, passing: Passing, body: bytes) -> None:
        if passing.command in ("POST", "PUT", "DELETE"):
            self.late.append(lambda: passing.upstream(body))
        passing.slam()

    def _kill_after(self, passing: Passing, body: bytes) -> None:
        passing.upstream(body)
        self._kill(passing, body)

    def _kill(self, passing: Passing, body: bytes) -> None:
        while not self.process:  # the fork has not returned here yet
            time.sleep(0.001)
        os.kill(self.process, signal.SIGKILL)
        passing.slam()


# --- Processes that die -----------------------------------------------------------------------------------


def die() -> None:
    """As a power cut would end it: nothing after it is done."""
    os.kill(os.getpid(), signal.SIGKILL)


def in_another_process(act: Callable[[], Any], calls: StorageCalls) -> bool:
    """Return whether it was killed. It must not fail otherwise."""
    connections.close_all()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            act()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    calls.is_in(process)
    _, status = os.waitpid(process, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "see the traceback above"
    return os.WIFSIGNALED(status)


@contextmanager
def death_at_query(number: int) -> Iterator[None]:
    """The process dies before it sends the query with this number to the database."""
    count = 0

    def watch(execute: Callable[..., Any], *query: Any) -> Any:
        nonlocal count
        count += 1
        if count == number:
            die()
        return execute(*query)

    with connection.execute_wrapper(watch):
        yield
