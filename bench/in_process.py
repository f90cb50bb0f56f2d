"""Sends requests to a WSGI application in this process, and measures the processor time of each.

Run: `python -m bench.in_process MODULE`, whose `application` is called. For each line of JSON on stdin
({method, path, token, body, times}) it prints the milliseconds of processor time that a request took.
Read by `bench/requests.py`.
"""

import io
import json
import sys
import time
from importlib import import_module
from typing import Any


def send(application: Any, method: str, path: str, token: str, body: str) -> int:
    """Return the status of the response, which is read to its end."""
    statuses: list[str] = []
    content = body.encode()
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SCRIPT_NAME": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_AUTHORIZATION": f"Bearer {token}",
        "CONTENT_TYPE": "application/json" if body else "",
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.input": io.BytesIO(content),
        "wsgi.errors": sys.stderr,
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    response = application(environ, lambda status, headers, error=None: statuses.append(status))
    for _ in response:
        pass
    response.close()
    return int(statuses[0].split()[0])


def main() -> None:
    application = import_module(sys.argv[1]).application
    for line in sys.stdin:
        job = json.loads(line)
        times = job.pop("times")
        statuses = {send(application, **job)}  # once before, so that all is loaded
        started = time.process_time()
        for _ in range(times):
            statuses.add(send(application, **job))
        seconds = time.process_time() - started
        if max(statuses) >= 300:
            sys.exit(f"{job['method']} {job['path']} answered {sorted(statuses)}")
        print(json.dumps(seconds / times * 1000), flush=True)


if __name__ == "__main__":
    main()
