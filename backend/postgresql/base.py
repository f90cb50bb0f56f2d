"""The database wrapper of `backend.postgresql`: the ENGINE of DATABASES."""

import select
from typing import Any

import psycopg
from django.db.backends.postgresql import base
from django.db.utils import OperationalError

MAX_READS = 4  # of what a server sends before it closes a connection: a message, and the end


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """Return a connection of the pool that the server has not closed, else as Django does.

        A server closes connections when it starts again, and poolers those that were idle for long. The pool
        would notice with the next query, which would fail. This looks at the socket, and asks nothing.
        """
        pool = self.pool
        if pool is None:
            return super().get_new_connection(conn_params)
        for _ in range(pool.max_size + 1):
            connection = super().get_new_connection(conn_params)
            if not is_closed_by_server(connection):
                return connection
            connection.close()
            pool.putconn(connection)  # the pool opens another one in its place
        raise OperationalError("The server has closed all connections of the pool.")


def is_closed_by_server(connection: Any) -> bool:
    """Return True if the server has closed this connection, which waits for nothing."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    for _ in range(MAX_READS):
        if not poller.poll(0):
            return False
        try:
            connection.pgconn.consume_input()  # also what TLS sends by itself
        except psycopg.OperationalError:
            return True
    return True
