"""The connection of a client, which sends files without reading them into memory."""

import errno
import os
import socket
from select import POLLOUT, poll
from typing import BinaryIO, Self

from backend.request_reader import STALL_TIMEOUT, now

BLOCK = 256 * 1024  # bytes that the client must receive within STALL_TIMEOUT


class ClientSocket(socket.socket):
    """Slow clients are cut off, as they are where the body of a response is sent block by block."""

    @classmethod
    def of(cls, connection: socket.socket) -> Self:
        """Return a ClientSocket in place of the socket, which is then closed."""
        return cls(connection.family, connection.type, connection.proto, fileno=connection.detach())

    def sendfile(self, file: BinaryIO, offset: int = 0, count: int | None = None) -> int:  # type: ignore[override]
        """Send `count` bytes of the file, and return how many that are. The socket must not be blocking.

        Raises TimeoutError, and OSError if the file is shorter: the response cannot be continued then.
        """
        source = file.fileno()
        total = os.fstat(source).st_size - offset if count is None else count
        writable = poll()
        writable.register(self, POLLOUT)
        sent, timed, deadline = 0, 0, now() + STALL_TIMEOUT
        while sent < total:
            try:
                size = os.sendfile(self.fileno(), source, offset + sent, total - sent)
            except BlockingIOError:
                left = deadline - now()
                if left <= 0 or not writable.poll(left * 1000):
                    raise TimeoutError("The client does not receive the response in time") from None
                continue
            if not size:
                raise OSError(errno.EIO, "The file is shorter than its response")
            sent += size
            if sent - timed >= BLOCK:
                timed, deadline = sent, now() + STALL_TIMEOUT
        return sent
