"""Measure time and peak memory of reconcile_storage for 1,000 and 20,000 documents in the local store.

Run: `python bench/reconciliation.py`. Timings vary between machines and runs: compare within one run only.
"""

import os
import secrets
import sys
import time
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # not this folder: it has a module `requests`
FOLDER = TemporaryDirectory()
os.environ.update(
    ENV_FILE="/dev/null",
    DEBUG="false",
    SECRET_KEY=secrets.token_hex(25),
    ALLOWED_HOSTS="localhost",
    SUPABASE_JWT_SECRET=secrets.token_hex(25),
    DJANGO_SETTINGS_MODULE="backend.settings",
    DATABASE_URL=f"sqlite:///{FOLDER.name}/db.sqlite3",
    MEDIA_ROOT=f"{FOLDER.name}/media",
)

import django

django.setup()

from uuid import uuid4

from django.core.management import call_command
from django.utils import timezone

from api.documents.models import Document
from api.profiles.models import Profile
from api.reconciliation import reconcile
from storage.base import store_of
from storage.local import disk
from storage.local.objects import LocalObjects

STEPS = (1000, 20_000)
PER_OWNER = 20
CONTENT = b"%PDF-1.4"


def fill(first: int, last: int) -> None:
    """Create documents with files as uploads do, but without `fsync`, which would take most of the time."""
    os.fsync = lambda fd: None
    objects, documents = LocalObjects("documents"), []
    for number in range(first, last):
        if number % PER_OWNER == 0:
            owner = Profile.objects.create(pk=uuid4())
        key = f"{owner.pk}/{number:06}.pdf"
        with disk.temporary_file() as file:
            file.write_bytes(CONTENT)
            objects.move_in(
                file, key, etag='"-"', content_type="application/pdf", cache_control="no-cache", metadata={}
            )
        facts = {"name": "a.pdf", "content_type": "application/pdf", "size": len(CONTENT), "sha256": None}
        documents.append(
            Document(
                title="Plan",
                owner=owner,
                file=key,
                file_facts={**facts, "uploaded_at": timezone.now().isoformat()},
                file_size=len(CONTENT),
                file_content_type="application/pdf",
            )
        )
    Document.objects.bulk_create(documents, batch_size=500)


def differences() -> int:
    return sum(1 for _ in reconcile([store_of("documents")]))


def main() -> None:
    call_command("migrate", verbosity=0)
    have = 0
    for number in STEPS:
        fill(have, number)
        have = number
        started = time.perf_counter()
        assert differences() == 0
        seconds = time.perf_counter() - started
        tracemalloc.start()
        differences()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        print(f"{number:6} documents: {seconds:6.2f} s, at most {peak / 2**20:5.1f} MiB")


if __name__ == "__main__":
    main()
    FOLDER.cleanup()
