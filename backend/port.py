"""Says whether PORT can be used, before `make run` installs and starts anything: `python3 -m backend.port`.

It needs the standard library only, because Django may not be installed yet.
"""

import os
import re
import socket
import sys
from pathlib import Path


def main() -> None:
    value = os.environ.get("PORT", "").strip() or _in_file().strip() or "8000"
    try:
        port = int(value)
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        sys.exit("PORT must be a number from 1 to 65535.")
    if reason := _refusal(port):
        free = next((each for each in range(8000, 65536) if not _refusal(each)), 8000)
        sys.exit(f"Port {port} cannot be used: {reason}. Choose another: PORT={free} make run")


def _in_file() -> str:
    """Return PORT from `.env` as the parser of `backend.settings` reads it, "" if it is not there."""
    try:
        text = Path(os.environ.get("ENV_FILE") or ".env").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = [re.match(r"(?:export )?PORT=(.*)\Z", line) for line in text.splitlines()]
    value = next((match[1] for match in reversed(found) if match), "")
    for quoted in (r"'(.*)'", r'"(.*)"'):
        if match := re.fullmatch(quoted, value):
            value = match[1]
    return value


def _refusal(port: int) -> str:
    """Return why gunicorn could not listen on this port, "" if it could."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as gunicorn does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


if __name__ == "__main__":
    main()
