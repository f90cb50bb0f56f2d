"""Measure how long signing one URL of the local store takes.

Run: `python bench/signing.py`. Timings vary between machines and runs: compare within one run only.
"""

import os
import sys
from pathlib import Path
from timeit import repeat

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`
os.environ.update(ENV_FILE="/dev/null", DEBUG="true", DJANGO_SETTINGS_MODULE="backend.settings")

import django

django.setup()

from django.core.files.storage import storages

from storage import tokens
from storage.base import SignedStorage

ROUNDS = 2000


def microseconds(call: str, names: dict[str, object]) -> float:
    """Return the shortest of five measurements, which other processes disturbed least."""
    return min(repeat(call, globals=names, number=ROUNDS, repeat=5)) / ROUNDS * 1e6


def main() -> None:
    store = storages["documents"]
    assert isinstance(store, SignedStorage)
    key = "3ae999cd-2c05-5ccd-bde3-c40b035252c9/coOY-cBjsHjfvs1EoinpukCk.pdf"
    names: dict[str, object] = {
        "store": store,
        "key": key,
        "mint": tokens.mint,
    }
    for name, call in {
        "a token": "mint('download', 'documents', key, 300)",
        "a download URL": "store.sign_download(key, seconds=300)",
        "an upload URL": "store.sign_upload(key, 'application/pdf', seconds=1800)",
    }.items():
        print(f"{name}: {microseconds(call, names):.0f} µs")


if __name__ == "__main__":
    main()
