"""Stands before a service that is not HTTP, such as PostgreSQL: forwards connections, cuts them, or hangs."""

import socket
import threading
from contextlib import suppress
from typing import Any

from tests.support.ports import free_port


class TCPProxy:
    """Listens on `port` from `start` on. `hang`: accept connections, and forward nothing."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.hang = False
        self.connections: list[socket.socket] = []
        self.port = free_port()

    def start(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close all connections, as a service does that starts again."""
        while self.connections:
            self._close(self.connections.pop())

    def __enter__(self) -> "TCPProxy":
        return self

    def __exit__(self, *error: Any) -> None:
        if hasattr(self, "listener"):
            self._close(self.listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(near)
            if self.hang:
                continue
            far = socket.create_connection(self.target)
            self.connections.append(far)
            for source, to in ((near, far), (far, near)):
                threading.Thread(target=self._forward, args=(source, to), daemon=True).start()

    def _forward(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                to.sendall(data)
        self._close(source)
        self._close(to)

    def _close(self, connection: socket.socket) -> None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()
