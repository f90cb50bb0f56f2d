"""A fork server: a small process that forks a child for each request, and answers how the child ended.

`child_process` starts it with this file as its program. It imports nothing of Django, has no threads, and
ends when its parent does. Its stdin is a socket to the parent. Each child is forked before the request comes,
because forking takes half of the time. The child receives the request, a JSON object, with the open files
for the function:

    {"function": "module:name", "arguments": […], "limits": {"memory": …, "seconds": …, …}}

The answer is `{"started": true}` at once, and `{"signal": …, "output": …}` at the end. Each is sent after its
length. The output was written by the child, so it cannot be trusted.
"""

import gc
import importlib
import json
import math
import os
import resource
import select
import signal
import socket
import struct
import sys
import traceback
from typing import Any, NoReturn

LENGTH = struct.Struct(">I")
MAX_REQUEST = 4096  # bytes: sent and received at once
MAX_FILES = 8
MAX_OUTPUT = 64 * 1024  # bytes: what a child writes beyond is dropped
OPEN_FILES = 20  # that a child may have: its files, a pipe, and /dev/null three times
STARTED = b"+"  # the first byte that a child writes


def main(search_path: list[str], modules: list[str]) -> None:
    sys.path[:] = search_path
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # the collector of a child would copy the memory that all share
    with socket.socket(fileno=0) as parent:
        while serve(parent):
            pass


def serve(parent: socket.socket) -> bool:
    """Fork a child, and answer its request. Returns False if there was none: the parent has ended."""
    output, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(output)
        run_child(parent, writing)
    os.close(writing)
    started = os.read(output, len(STARTED)) == STARTED
    if started:
        send(parent, started=True)
        written = read_output(parent, child, output)
        signal_number = wait_for(child)
        send(parent, signal=signal_number, output=written.decode(errors="replace"))
    os.close(output)
    return started


def send(parent: socket.socket, **message: Any) -> None:
    body = json.dumps(message).encode()
    parent.sendall(LENGTH.pack(len(body)) + body)


def read_output(parent: socket.socket, child: int, output: int) -> bytes:
    """Return what the child writes until it ends. Kill it if the parent ends first."""
    written = b""
    while True:
        ready, _, _ = select.select([parent.fileno(), output], [], [])
        if parent.fileno() in ready:  # the parent sends nothing before the answer: it has ended
            os.kill(child, signal.SIGKILL)
            sys.exit()
        chunk = os.read(output, MAX_OUTPUT)
        if not chunk:
            return written
        written = (written + chunk)[:MAX_OUTPUT]


def wait_for(child: int) -> int:
    """Return the number of the signal that ended the child, 0 if there was none."""
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


# --- In the child -----------------------------------------------------------------------------------


def run_child(parent: socket.socket, output: int) -> NoReturn:
    """Wait for a request, write the result of the function as JSON, and end."""
    try:
        message, files, _, _ = socket.recv_fds(parent, MAX_REQUEST, MAX_FILES)
        if message:
            close_standard_files()
            os.write(output, STARTED)
            answer = call(files, **json.loads(message))
            with open(output, "wb") as pipe:
                pipe.write(json.dumps(answer).encode())
    finally:
        os._exit(0)


def close_standard_files() -> None:
    """Replace the socket to the parent, and the log of the server, with /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def call(files: list[int], function: str, arguments: list[Any], limits: dict[str, Any]) -> dict[str, Any]:
    try:
        set_limits(**limits)
        module, _, name = function.partition(":")
        callback = getattr(importlib.import_module(module), name)
        opened = [open(file, "r+b") for file in files]  # noqa: SIM115  (they are closed with the process)
        for file in opened:
            file.seek(0)
        return {"result": callback(*opened, *arguments)}
    except MemoryError:
        return {"out_of_memory": True}
    except BaseException:
        return {"error": traceback.format_exc()}


def set_limits(
    memory: int, processor_seconds: int, seconds: float, file_size: int, may_start_threads: bool
) -> None:
    signal.alarm(math.ceil(seconds) + 2)  # in case that nobody is left to end this process
    set_limit(resource.RLIMIT_CPU, processor_seconds, grace=1)  # SIGXCPU, and SIGKILL a second later
    set_limit(resource.RLIMIT_FSIZE, file_size)
    set_limit(resource.RLIMIT_CORE, 0)
    set_limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    if not may_start_threads:  # the system counts threads as processes
        set_limit(resource.RLIMIT_NPROC, 0)
    if sys.platform != "darwin":  # macOS cannot limit the address space
        set_limit(resource.RLIMIT_AS, memory)


def set_limit(kind: int, soft: int, grace: int = 0) -> None:
    """Set a limit, unless the administrator has set a lower one."""
    _, highest = resource.getrlimit(kind)
    if highest != resource.RLIM_INFINITY:
        soft, grace = min(soft, highest), max(0, min(grace, highest - soft))
    resource.setrlimit(kind, (soft, soft + grace))


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
