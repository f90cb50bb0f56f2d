"""Limit the upload rate, in bytes per second, for all threads together."""

import io
import threading
import time
from pathlib import Path
from typing import BinaryIO, cast

#: Bytes per second of one file on a slow connection. Below MINIMUM_RATE, as no user waits for a response.
MIN_RATE = 32 * 1024


class Bandwidth:
    """`rate`: the limit in bytes per second of `threads` together; None for no limit.

    `min_rate`: bytes per second of one file, below which a call to the storage is given up.
    """

    def __init__(self, rate: int | None = None, threads: int = 1) -> None:
        self.rate = rate
        self.min_rate = min(MIN_RATE, max(rate // (2 * threads), 1)) if rate else MIN_RATE
        self.lock = threading.Lock()
        self.next_free_at = time.monotonic()

    def open(self, path: Path) -> BinaryIO:
        return path.open("rb") if self.rate is None else cast(BinaryIO, ThrottledFile(path, self))

    def wait(self, size: int) -> None:
        """Reserve the time that `size` bytes take at the limit, and sleep until it has passed."""
        assert self.rate
        with self.lock:
            self.next_free_at = max(self.next_free_at, time.monotonic()) + size / self.rate
            until = self.next_free_at
        time.sleep(max(0, until - time.monotonic()))


class ThrottledFile(io.FileIO):
    """Throttle `read`, which uploads use. `readinto`, which hashing uses, is not throttled."""

    def __init__(self, path: Path, bandwidth: Bandwidth) -> None:
        super().__init__(path)
        self.bandwidth = bandwidth

    def read(self, size: int | None = -1, /) -> bytes:
        chunk = super().read(-1 if size is None else size) or b""
        self.bandwidth.wait(len(chunk))
        return chunk
