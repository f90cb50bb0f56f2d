"""Measure how long the local store takes to list a bucket of 10,000 objects, compared with one of 1,000.

Run: `python bench/listing.py`. Timings vary between machines and runs: compare within one run only.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from timeit import repeat

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`
os.environ.update(ENV_FILE="/dev/null", DEBUG="true", DJANGO_SETTINGS_MODULE="backend.settings")

import django

django.setup()

import jwt
from django.conf import settings
from django.test import Client

from storage.local import disk
from storage.local.objects import LocalObjects

FEW, MANY = 1000, 10_000


def fill(bucket: str, number: int) -> None:
    """Create objects as uploads do, but without `fsync`, which would take most of the time."""
    os.fsync = lambda fd: None
    objects = LocalObjects(bucket)
    for key in (f"folder/{each:05}.pdf" for each in range(number)):
        with disk.temporary_file() as file:
            file.write_bytes(b"%PDF-1.4")
            objects.move_in(
                file, key, etag='"-"', content_type="application/pdf", cache_control="no-cache", metadata={}
            )


def requests(bucket: str) -> Iterator[tuple[str, str, dict[str, object]]]:
    by_time = {"column": "created_at", "order": "desc"}
    yield "v1, a page by name", f"list/{bucket}", {"prefix": "folder", "limit": 100}
    yield "v1, a page by time", f"list/{bucket}", {"prefix": "folder", "limit": 100, "sortBy": by_time}
    yield "v2, a page by name", f"list-v2/{bucket}", {"prefix": "folder/", "limit": 100}
    yield "v2, a page by time", f"list-v2/{bucket}", {"prefix": "folder/", "limit": 100, "sortBy": by_time}
    yield "v2, 1000 rows", f"list-v2/{bucket}", {"prefix": "folder/"}


def seconds(path: str, body: dict[str, object]) -> float:
    """Return the shortest of three measurements, which other processes disturbed least."""
    token = jwt.encode({"role": "service_role"}, settings.SUPABASE_JWT_SECRET, "HS256")
    client = Client(headers={"authorization": f"Bearer {token}", "host": "localhost"})

    def send() -> None:
        response = client.post(f"/storage/v1/object/{path}", body, content_type="application/json")
        assert response.status_code == 200, response.content

    return min(repeat(send, number=1, repeat=3))


def main() -> None:
    with TemporaryDirectory() as folder:
        settings.MEDIA_ROOT = folder
        fill("documents", FEW)
        fill("media", MANY)
        for (name, path, body), (_, small, _) in zip(requests("media"), requests("documents"), strict=True):
            many, few = seconds(path, body), seconds(small, body)
            print(f"{name} of {MANY:,}: {many * 1000:.0f} ms, {many / few:.1f} times that of {FEW:,}")


if __name__ == "__main__":
    main()
