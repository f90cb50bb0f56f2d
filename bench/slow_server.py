"""The WSGI application with a delay added to each request, as a project across a network has.

Run by `bench/migration.py` and `bench/calls.py`; SLOW_SERVER_DELAY is the delay in seconds.
"""

import logging
import os
import time
from typing import Any

from backend.wsgi import application as undelayed

logging.getLogger("gunicorn.access").setLevel(logging.ERROR)  # the access log is not needed
DELAY = float(os.environ["SLOW_SERVER_DELAY"])  # seconds


def application(environ: dict[str, Any], start_response: Any) -> Any:
    time.sleep(DELAY)
    return undelayed(environ, start_response)
