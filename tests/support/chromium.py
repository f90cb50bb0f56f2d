"""Scripts of tests/clients that drive a Chromium."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.server import CLIENTS


def seen_by(script: str, chromium: str, url: str, folder: Path, *arguments: Any) -> dict[str, Any]:
    """What the script prints. It leaves a picture of every page in the folder."""
    done = subprocess.run(
        ["node", script, chromium, url, folder / "pages", *map(str, arguments)],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen
