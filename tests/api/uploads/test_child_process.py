"""Child processes: what a function may use up, how it may end, and what it can see."""

import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.uploads import child_process, fork_server
from api.uploads.child_process import (
    ChildFailed,
    ChildProcesses,
    ChildrenBusy,
    ChildUnavailable,
    Crashed,
    FunctionRaised,
    Limits,
    TooMuchMemory,
    TooMuchTime,
)
from tests.support import child_functions
from tests.support.child_functions import called
from tests.support.server import ROOT
from tests.support.waiting import wait_until

MODULES = [child_functions.__name__]
LIMITS = Limits(memory=256 * 1024 * 1024, processor_seconds=60, seconds=60)

PROGRAM = f"""
import os, sys
from api.uploads.child_process import ChildProcesses, Limits
from tests.support import child_functions
from tests.support.child_functions import called

print("started", flush=True)
children = ChildProcesses(at_once=1, modules={MODULES})

def run(function, *files):
    with children.reserve(lambda: None) as child:
        return child.run(called(function), files, limits=Limits(2**28, 60, 60), on_wait=lambda: None)
"""


@pytest.fixture
def children() -> Iterator[ChildProcesses]:
    children = ChildProcesses(at_once=2, modules=MODULES)
    yield children
    children.close()


def run(
    children: ChildProcesses,
    function: Callable[..., Any],
    *files: Any,
    on_wait: Callable[[], None] = lambda: None,
    **limits: Any,
) -> Any:
    with children.reserve(on_wait) as child:
        return child.run(called(function), files, limits=replace(LIMITS, **limits), on_wait=on_wait)


def is_running(process: int) -> bool:
    """An ended process whose parent has not noticed yet is not running."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True, text=True).stdout
    return bool(state.strip()) and not state.startswith("Z")


def test_a_function_gets_open_files_and_arguments(children: ChildProcesses):
    with tempfile.TemporaryFile() as file:
        file.write(b"content")
        file.flush()
        with children.reserve(lambda: None) as child:
            result = child.run(
                called(child_functions.echo), [file], ["word"], limits=LIMITS, on_wait=lambda: None
            )

    assert result == ["content", "word"]


@pytest.mark.parametrize(
    ("function", "limits", "raised"),
    [
        (child_functions.take_memory, {}, TooMuchMemory),
        (child_functions.take_processor_time, {"processor_seconds": 1}, TooMuchTime),
        (child_functions.take_processor_time, {"seconds": 0.1}, TooMuchTime),
        (child_functions.crash, {}, Crashed),
        (child_functions.forge, {}, Crashed),
        (child_functions.fail, {}, FunctionRaised),
        (child_functions.be_killed, {}, ChildUnavailable),
    ],
)
def test_each_bad_end_has_its_error_and_disturbs_nobody_else(
    function, limits, raised, children: ChildProcesses
):
    with pytest.raises(raised) as error:
        run(children, function, **limits)

    assert error.type is raised
    assert len(run(children, child_functions.who)) == 2


def test_the_error_of_a_function_is_told(children: ChildProcesses):
    with pytest.raises(FunctionRaised, match="LookupError: the text of the error"):
        run(children, child_functions.fail)


def test_a_child_that_takes_too_long_is_ended(children: ChildProcesses):
    with tempfile.TemporaryFile() as file:
        with pytest.raises(ChildFailed):
            run(children, child_functions.sleep, file, seconds=1, file_size=100)
        file.seek(0)
        child, fork_server = map(int, file.read().split())

    assert not is_running(fork_server)
    wait_until(lambda: not is_running(child))


def test_what_the_caller_raises_while_it_waits_ends_the_child(children: ChildProcesses, monkeypatch):
    monkeypatch.setattr(child_process, "POLL_SECONDS", 0.01)
    with tempfile.TemporaryFile() as file:

        def lose_the_claim() -> None:
            file.seek(0)
            if file.read():
                raise InterruptedError("the claim is lost")

        with pytest.raises(InterruptedError):
            run(children, child_functions.sleep, file, on_wait=lose_the_claim, file_size=100)
        file.seek(0)
        child = int(file.read().split()[0])

    wait_until(lambda: not is_running(child))


def test_all_limits_are_set(children: ChildProcesses):
    limits = run(children, child_functions.limits)

    if sys.platform != "darwin":
        assert limits.pop("AS") == LIMITS.memory
    assert limits.pop("NOFILE") <= 20
    assert limits.pop("CPU") == LIMITS.processor_seconds
    assert {kind: limits[kind] for kind in ("FSIZE", "CORE", "NPROC")} == {"FSIZE": 0, "CORE": 0, "NPROC": 0}


def test_a_function_starts_threads_only_where_its_limits_say_so(children: ChildProcesses):
    own = resource.getrlimit(resource.RLIMIT_NPROC)[0]

    assert run(children, child_functions.limits)["NPROC"] == 0
    assert run(children, child_functions.limits, may_start_threads=True)["NPROC"] == own


def test_a_function_gets_eight_files(children: ChildProcesses):
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(fork_server.MAX_FILES)]

        run(children, child_functions.write_to_each, *files, file_size=1)

        assert [os.fstat(file.fileno()).st_size for file in files] == [1] * 8


def test_a_function_writes_only_as_much_as_its_limit_says(children: ChildProcesses):
    with tempfile.TemporaryFile() as file:
        with pytest.raises(FunctionRaised, match="File too large"):
            run(children, child_functions.write, file)
        assert os.fstat(file.fileno()).st_size == 0

        run(children, child_functions.write, file, file_size=4)
        assert os.fstat(file.fileno()).st_size == 4


def test_a_child_sees_no_secret(children: ChildProcesses, monkeypatch):
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_of_the_server")

    seen = run(children, child_functions.surroundings)

    assert "sb_secret_of_the_server" not in str(seen)
    known = {"LC_CTYPE", *child_process.ENVIRONMENT, *child_process.INHERITED}  # Python sets LC_CTYPE
    assert not seen["environment"].keys() - known
    assert seen["modules"] == []
    assert not [mode for mode in seen["files"] if stat.S_ISSOCK(mode) or stat.S_ISREG(mode)]


# --- How many, and which -----------------------------------------------------------------------------------


def test_one_fork_server_is_enough_for_one_child_at_a_time(children: ChildProcesses):
    first, second = run(children, child_functions.who), run(children, child_functions.who)

    assert first[0] != second[0]
    assert first[1] == second[1]


def test_a_fork_server_that_was_killed_is_replaced(children: ChildProcesses):
    _, fork_server = run(children, child_functions.who)
    os.kill(fork_server, signal.SIGKILL)
    wait_until(lambda: not is_running(fork_server))

    assert run(children, child_functions.who)[1] != fork_server


def test_a_third_caller_waits_for_one_of_two(children: ChildProcesses, monkeypatch):
    monkeypatch.setattr(child_process, "POLL_SECONDS", 0.01)
    with children.reserve(lambda: None), ExitStack() as second:
        second.enter_context(children.reserve(lambda: None))
        waited = []

        def end_the_second() -> None:
            waited.append(True)
            second.close()

        assert run(children, child_functions.who, on_wait=end_the_second)
        assert waited


def test_a_third_caller_does_not_wait_for_ever(children: ChildProcesses, monkeypatch):
    monkeypatch.setattr(child_process, "WAIT_SECONDS", 0.01)
    with children.reserve(lambda: None), children.reserve(lambda: None), pytest.raises(ChildrenBusy):
        run(children, child_functions.who)

    assert run(children, child_functions.who)


def test_a_fork_server_that_cannot_start_is_told_and_tried_again(children: ChildProcesses, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(ChildUnavailable):
            run(children, child_functions.who)

    assert run(children, child_functions.who)


def test_a_module_that_cannot_be_imported_is_told():
    children = ChildProcesses(at_once=1, modules=["nowhere"])
    with pytest.raises(ChildUnavailable):
        run(children, child_functions.who)
    children.close()


# --- When the server process ends, or forks -----------------------------------------------------------------


def start(program: str, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + program, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("state", ["busy", "idle"])
def test_nothing_runs_on_when_the_server_was_killed(state: str, tmp_path: Path):
    path = tmp_path / "ids"
    path.touch()
    busy = """
with open(sys.argv[1], "r+b") as file, children.reserve(lambda: None) as child:
    limits = Limits(2**28, 60, 600, file_size=100)  # longer than the test waits
    child.run(called(child_functions.sleep), [file], limits=limits, on_wait=lambda: None)
"""
    idle = """
with open(sys.argv[1], "w") as file:
    print(*run(child_functions.who), file=file)
input()
"""
    with start({"busy": busy, "idle": idle}[state], str(path)) as server:
        wait_until(lambda: path.read_text().endswith("\n"))
        _, fork_server = map(int, path.read_text().split())
        group = group_of(fork_server)
        assert len(group) == 2, "the fork server, and a child that works or waits for work"

        server.kill()

    wait_until(lambda: not any(map(is_running, group)))


def group_of(leader: int) -> list[int]:
    """The processes of a group."""
    rows = subprocess.run(["ps", "-A", "-o", "pgid=,pid="], capture_output=True, text=True).stdout
    return [int(row.split()[1]) for row in rows.splitlines() if row.split()[0] == str(leader)]


def test_a_forked_process_has_fork_servers_of_its_own():
    program = """
mine = run(child_functions.who)[1]
if os.fork() == 0:
    print(run(child_functions.who)[1] != mine, flush=True)
    children.close()
    os._exit(0)
os.wait()
print(run(child_functions.who)[1] == mine)
"""
    with start(program) as server:
        printed, _ = server.communicate(timeout=60)

    assert printed.split() == ["started", "True", "True"], "and the main program is not imported again"
    assert server.returncode == 0
