"""All threads of a process share the memory of the C library."""

import platform
import subprocess
import sys

import pytest

from backend.malloc import LARGE
from backend.request_reader import MAX_BUFFER
from storage.files import CHUNK_SIZE

#: Prints how many arenas there are, after several threads have allocated at the same time.
PROGRAM = """
import ctypes, sys, threading
from backend.malloc import share_memory
if "shared" in sys.argv:
    share_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
barrier = threading.Barrier(8)
def allocate():
    barrier.wait()
    libc.malloc(1000)
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def arenas(*arguments: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True, env={}
    )
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no arenas")
def test_threads_share_one_arena():
    assert arenas() > 1
    assert arenas("shared") == 1


def test_the_buffers_of_files_are_kept():
    """Else the system maps their memory anew for each chunk: BytesIO takes an eighth more than it has."""
    assert CHUNK_SIZE * 9 / 8 < LARGE
    assert MAX_BUFFER * 9 / 8 < LARGE
