"""The worker of gunicorn: slow clients do not occupy its threads."""

import json
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from selectors import EVENT_READ
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from backend.client_socket import ClientSocket
from backend.request_reader import (
    END_OF_HEAD,
    LONG_TOKEN,
    MAX_SHORT_BODY,
    STOP_LINGER,
    Progress,
    RequestReader,
    now,
)

#: Called with the error code of each request that is refused here.
refusal_observers: list[Callable[[str], None]] = []

LONG_REQUESTS_PER_THREAD = 2  # they mostly wait: 30 phones that upload at once do not wait for each other
REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large"}
#: The error codes of what gunicorn refuses itself. All others are `malformed`.
ERROR_CODES = {413: "too_large", 414: "too_large", 431: "too_large", 500: "internal"}
DETAILS = {
    "request_timeout": "The request did not arrive in time: send it again.",
    "token_too_long": "The access token is too long: keep less in the user's metadata.",
}


class Worker(ThreadWorker):
    """A gthread worker that gives a thread only to requests that have arrived.

    The main thread collects the head of a request, and its body up to MAX_SHORT_BODY. Requests with a longer
    body have a thread while it arrives, but not one of those for all others: they take turns with
    LONG_REQUESTS_PER_THREAD more.
    All methods but `handle_request` run in the main thread, and do not wait.
    """

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        if cfg.is_ssl:
            raise RuntimeError(
                "TLS is not supported: remove certfile and keyfile, and set up a proxy for it."
            )
        super().check_config(cfg, log)

    def init_process(self) -> None:
        self.turns = self.cfg.threads * LONG_REQUESTS_PER_THREAD
        self.pool_of_long_requests = ThreadPoolExecutor(max_workers=self.turns)
        self.next_look = 0.0
        self.long_requests: deque[TConn] = deque()
        super().init_process()

    def load_wsgi(self) -> None:
        """Begin to open database connections: while they are made, the application is loaded."""
        from backend.postgresql.pool import open_pool  # noqa: PLC0415  (Django is loaded in this process only)

        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")
        open_pool()
        super().load_wsgi()

    def handle_quit(self, sig: int, frame: Any) -> None:
        """End at once. Ctrl-C sends a signal to the worker, and so does the master: only one is handled.

        The second one could interrupt the first while it holds the lock of the thread pool, and wait for it.
        """
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        super().handle_quit(sig, frame)

    def enqueue_req(self, conn: TConn) -> None:
        """Give the connection a thread if its next request has arrived, else wait for more of it."""
        reader = _reader(conn)
        if reader.is_closing:
            self._wait_for_data(conn) if reader.drop() else self._drop(conn)
            return
        match reader.collect():
            case Progress.WHOLE:
                super().enqueue_req(conn)
            case Progress.PART:
                self._wait_for_data(conn)
            case Progress.LONG:
                self.long_requests.append(conn)
                self._start_long_requests()
            case Progress.TOO_LONG:
                code = "token_too_long" if LONG_TOKEN.search(reader.received) else "too_large"
                self._refuse(conn, 431, code)
            case Progress.NOT_HTTP:
                self._refuse(conn, 400, "malformed")

    def finish_request(self, conn: TConn, future: "Future[Any]") -> None:
        reader = _reader(conn)
        if reader.may_wait:
            self.turns += 1
        if not future.cancelled() and not future.exception() and future.result():
            reader.start_request()
            super().finish_request(conn, future)
        else:
            self._close(conn)
        self._start_long_requests()

    def murder_pending(self) -> None:
        """End the requests that have not arrived in time, and one more if no other connection is accepted.

        gunicorn calls this after each round of events.
        """
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        if self.alive and now() < self.next_look:
            return
        self.next_look = now() + 1
        for conn in list(self.pending_conns):
            reader = _reader(conn)
            if reader.is_idle and not self.alive:
                reader.finish_within(STOP_LINGER)  # the client may be sending a request already
            if reader.is_late:
                self._stop_waiting(conn)
                self._end(conn)

    def _make_room(self) -> None:
        """Close the waiting connection that is the first to be late: it has sent nothing, or the least."""
        waiting = [*self.pending_conns, *self.long_requests]
        if not waiting:
            return
        conn = min(waiting, key=lambda conn: _reader(conn).last_moment)
        if conn in self.long_requests:
            self.long_requests.remove(conn)
        else:
            self._stop_waiting(conn)
        if not _reader(conn).is_idle and not _reader(conn).is_closing:
            self._write_refusal(conn, 408, "request_timeout")
        self._drop(conn)

    def _end(self, conn: TConn) -> None:
        reader = _reader(conn)
        if reader.is_closing or reader.is_idle:
            self._drop(conn)
        elif END_OF_HEAD.search(reader.received):
            super().enqueue_req(conn)  # the application answers, when it fails to read the body
        else:
            self._refuse(conn, 408, "request_timeout")

    def handle_request(self, req: Any, conn: TConn) -> Any:
        reader = _reader(conn)
        reader.on_timeout = req.force_close
        if reader.may_wait:
            reader.start_body()
        req.should_close = partial(_should_close, req, conn)
        try:
            return super().handle_request(req, conn)
        finally:
            del req.should_close  # the parser asks again before the next request

    def _start_long_requests(self) -> None:
        while self.long_requests and self.turns:
            self.turns -= 1
            conn = self.long_requests.popleft()
            _reader(conn).may_wait = True
            future = self.pool_of_long_requests.submit(self.handle, conn)
            future.add_done_callback(partial(self.method_queue.defer, self.finish_request, conn))

    def _wait_for_data(self, conn: TConn) -> None:
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _stop_waiting(self, conn: TConn) -> None:
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)

    def _refuse(self, conn: TConn, status: int, code: str) -> None:
        self._write_refusal(conn, status, code)
        self._close(conn)

    def _write_refusal(self, conn: TConn, status: int, code: str) -> None:
        self.log.warning("Refused a request from %s: %s", conn.client, code)
        with suppress(OSError):
            write_problem(conn.sock, status, REASONS[status], code)

    def _close(self, conn: TConn) -> None:
        """Close the connection when the client has closed it too, or does not in time.

        If it was closed while the client sends, the client could lose the response (RFC 9112, 9.6).
        """
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._drop(conn)
            return
        _reader(conn).start_closing()
        self.enqueue_req(conn)

    def _drop(self, conn: TConn) -> None:
        self.nr_conns -= 1
        conn.close()


def _reader(conn: TConn) -> RequestReader:
    """Return the reader of the connection, which takes the place of gunicorn's own."""
    if not conn.initialized:
        conn.sock = ClientSocket.of(conn.sock)
        conn.init()
        conn.parser.unreader = RequestReader(conn.sock)
    reader: RequestReader = conn.parser.unreader
    return reader


def _should_close(request: Any, conn: TConn) -> bool:
    """Return True if the connection cannot be used again. gunicorn asks before it sends the headers.

    It drops what has arrived of a body that the application did not read, and does not wait for the rest.
    """
    _reader(conn).finish_within(0)
    with suppress(Exception):  # a malformed or incomplete body
        return type(request).should_close(request) or not conn.parser.finish_body(max_bytes=MAX_SHORT_BODY)
    return True


def write_problem(sock: ClientSocket, status: int, reason: str, code: str) -> None:
    """Answer with problem+json what never reaches Django. Every origin may read it: it has no secret."""
    for observe in refusal_observers:
        observe(code)
    body = json.dumps(
        {
            "type": "about:blank",
            "title": reason,
            "status": status,
            "detail": DETAILS.get(code, "The server could not read the request."),
            "code": code,
            "errors": [],
        }
    )
    head = [
        f"HTTP/1.1 {status} {reason}",
        "Connection: close",
        "Access-Control-Allow-Origin: *",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
    ]
    sock.send_now("\r\n".join([*head, "", body]).encode("latin-1"))


def write_error(sock: ClientSocket, status: int, reason: str, message: str) -> None:
    """Answer a request that gunicorn refuses. It takes the place of `gunicorn.util.write_error`."""
    write_problem(sock, status, reason, ERROR_CODES.get(status, "malformed"))


def leave_open(sock: ClientSocket, **limits: Any) -> None:
    """Do nothing, because the worker closes the connection, and waits for the client without a thread.

    It takes the place of `gunicorn.util.close_graceful`.
    """
