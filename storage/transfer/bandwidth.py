"""How fast bytes may leave: so many a second for all threads together, or as fast as it goes."""

import io
import threading
import time
from pathlib import Path
from typing import BinaryIO, cast

#: Bytes a second of one of several files on a slow line: no hurry here, unlike in a request.
SLOWEST = 32 * 1024


class Bandwidth:
    """`rate`: bytes a second, of `threads` together."""

    def __init__(self, rate: int | None = None, threads: int = 1) -> None:
        self.rate = rate
        self.slowest = min(SLOWEST, max(rate // (2 * threads), 1)) if rate else SLOWEST
        self.lock = threading.Lock()
        self.free_at = time.monotonic()

    def open(self, path: Path) -> BinaryIO:
        return path.open("rb") if self.rate is None else cast(BinaryIO, ThrottledFile(path, self))

    def wait(self, size: int) -> None:
        """Until it is this many bytes' turn, and they have had their time."""
        assert self.rate
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic()) + size / self.rate
            until = self.free_at
        time.sleep(max(0, until - time.monotonic()))


class ThrottledFile(io.FileIO):
    """What is sent is read by `read`, and waits; what is only hashed is read by `readinto`, and does not."""

    def __init__(self, path: Path, pace: Bandwidth) -> None:
        super().__init__(path)
        self.pace = pace

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(-1 if size is None else size) or b""
        self.pace.wait(len(chunk))
        return chunk
