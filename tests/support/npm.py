"""Packages from npm, as a lock file pins them."""

import fcntl
import subprocess
from pathlib import Path


def install(folder: Path) -> None:
    """Install what the folder's lock file pins, unless it is there. Several processes may ask at once."""
    locked, installed = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    with locked.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not installed.exists() or installed.stat().st_mtime < locked.stat().st_mtime:
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=300)
