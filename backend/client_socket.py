"""The connection of a client, who may receive a response slowly, but not too slowly."""

import errno
import os
import socket
import time
from collections.abc import Callable
from select import POLLOUT, poll
from typing import Any, BinaryIO, Self

STALL_TIMEOUT = 30  # seconds that a client may take to receive a block of a response
BLOCK = 256 * 1024  # bytes of a block

now = time.monotonic


class ClientSocket(socket.socket):
    """A socket that never blocks. Its methods that send wait for the client, and raise TimeoutError.

    gunicorn would make it blocking, and not blocking again, with each request: here that does nothing, so
    that a thread gives the interpreter's lock away less often.
    """

    @classmethod
    def of(cls, connection: socket.socket) -> Self:
        """Return a ClientSocket in place of the socket, which is then closed."""
        client = cls(connection.family, connection.type, connection.proto, fileno=connection.detach())
        socket.socket.setblocking(client, False)
        return client

    def setblocking(self, flag: bool) -> None:
        pass

    def settimeout(self, value: float | None) -> None:
        pass

    def wait(self, event: int, seconds: float) -> None:
        """Wait until the socket can be read (POLLIN) or written (POLLOUT). Raises TimeoutError."""
        ready = poll()
        ready.register(self, event)
        if seconds <= 0 or not ready.poll(seconds * 1000):
            raise TimeoutError("The client is too slow") from None

    def send_now(self, data: bytes) -> None:
        """Send as much of the data as can be sent without waiting. Raises OSError."""
        super().send(data)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all data, and return how many bytes that are."""
        view = memoryview(data)
        return self._send_all(lambda sent: socket.socket.send(self, view[sent:], flags), len(view))

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.send(data, flags)

    def sendfile(self, file: BinaryIO, offset: int = 0, count: int | None = None) -> int:  # type: ignore[override]
        """Send `count` bytes of the file, and return how many that are. None of it is read into memory.

        Raises OSError if the file is shorter: the response cannot be continued then.
        """
        source = file.fileno()
        total = os.fstat(source).st_size - offset if count is None else count

        def send(sent: int) -> int:
            if size := os.sendfile(self.fileno(), source, offset + sent, total - sent):
                return size
            raise OSError(errno.EIO, "The file is shorter than its response")

        return self._send_all(send, total)

    def _send_all(self, send: Callable[[int], int], total: int) -> int:
        """Call `send` with the number of bytes sent, until that is `total`. The client may be slow."""
        sent, timed, deadline = 0, 0, now() + STALL_TIMEOUT
        while sent < total:
            try:
                sent += send(sent)
            except BlockingIOError:
                self.wait(POLLOUT, deadline - now())
            if sent - timed >= BLOCK:
                timed, deadline = sent, now() + STALL_TIMEOUT
        return sent
