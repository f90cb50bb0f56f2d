"""The local store's server, by which each call takes longer, as that of a project across a network would."""

import logging
import os
import time
from typing import Any

from backend.wsgi import application as prompt

logging.getLogger("gunicorn.access").setLevel(logging.ERROR)  # nobody reads it
DELAY = float(os.environ["SLOW_SERVER_DELAY"])  # seconds


def application(environ: dict[str, Any], start_response: Any) -> Any:
    time.sleep(DELAY)
    return prompt(environ, start_response)
