"""The app of examples/spa, built, and served on an origin of its own."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.npm import install
from tests.support.ports import free_port
from tests.support.server import ROOT, Server

SPA = ROOT / "examples" / "spa"


@contextmanager
def example_app(folder: Path) -> Iterator[tuple[Server, str]]:
    """Yield an API with the demo data, and the address of the app that uses it."""
    port = str(free_port())
    address, built = f"http://127.0.0.1:{port}", folder / "built"
    with Server(folder / "api", CORS_ALLOWED_ORIGINS=address, PUBLIC_SITE_URL=address) as server:
        server.manage("load_demo")
        build(built, server.url)
        preview = subprocess.Popen(
            [*VITE, "preview", "--outDir", built, "--host", "127.0.0.1", "--port", port, "--strictPort"],
            cwd=SPA,
            stdout=subprocess.DEVNULL,
        )
        try:
            wait_for(address)
            yield server, address
        finally:
            preview.terminate()
            preview.wait(timeout=10)


VITE = ["node", SPA / "node_modules" / "vite" / "bin" / "vite.js"]


def build(folder: Path, api: str) -> None:
    """Write the app for this API to the folder, as `npm run build` does. Types are checked elsewhere."""
    install(SPA)
    done = subprocess.run(
        [*VITE, "build", "--outDir", folder],
        cwd=SPA,
        env={**os.environ, "VITE_API_URL": api, "VITE_SUPABASE_URL": "", "VITE_SUPABASE_KEY": ""},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr


def wait_for(address: str) -> None:
    for _ in range(300):
        try:
            httpx.get(address, verify=False).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise AssertionError(f"Nothing answers at {address}.")
