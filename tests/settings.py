"""The project's settings, read from an environment that is the same on every machine.

`TEST_DATABASE_URL` runs the suite on another database.
"""

import os
import re
from pathlib import Path

NAMES = re.findall(r"^([A-Z_]+)=", (Path(__file__).parent.parent / ".env.example").read_text(), re.MULTILINE)
for name in NAMES:
    os.environ.pop(name, None)
os.environ.update(ENV_FILE=os.devnull, DEBUG="true", DATABASE_POOL_SIZE="0")
if "TEST_DATABASE_URL" in os.environ:
    os.environ["DATABASE_URL"] = os.environ["TEST_DATABASE_URL"]

from backend.settings import *  # noqa: E402, F403

DEBUG = False  # as Django's test runner has it; a test that wants DEBUG says so
LOCAL_AUTH = False  # the same
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
WHITENOISE_AUTOREFRESH = True  # a test client loads the middleware anew, which would read every static file
