"""Completes tickets in this process, and measures each part of the call.

Run: `python -m bench.completion_in_process FOLDER [milliseconds]`. For each line on stdin, which names one of
KINDS, it sends a file of this kind, and prints what `Measured` has as JSON. The milliseconds are added to
each HTTP request of the store. Read by `bench/completion.py`, which sets the environment, and writes the
files.
"""

import json
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backend.settings")
django.setup()

import httpx
from django.conf import settings
from django.db import connection

from api.auth.development_tokens import development_token
from api.catalog.models import Species
from api.uploads import claims, lifecycle, renditions, verification
from backend.wsgi import application
from storage import calls
from storage.supabase import http_client

SERVER = "http://127.0.0.1"
TICKS = os.sysconf("SC_CLK_TCK")  # a second, in /proc
SPECIES: dict[str, Any] = {"slug": "otter", "common_name": "Otter", "scientific_name": "Lutra lutra"}
#: The functions whose time is measured, by the names of the parts.
PARTS: dict[str, tuple[ModuleType, str]] = {
    "claim": (claims, "claim"),
    "move": (lifecycle, "move_to_final_key"),
    "read": (verification, "read_object"),
    "check picture": (verification, "check_image"),
    "record": (lifecycle, "record"),
    "renditions": (renditions, "make_at_once"),
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A file to send: its name in the folder, and what the API asks of the resource that it is for."""

    file: str
    content_type: str
    create: Callable[[], str]  # returns the path of the resource
    download: str = "download-url/"
    delete: str = ""


@dataclass(slots=True)
class Measured:
    """Milliseconds, and numbers, of one call that completes a ticket.

    `requests` has the HTTP requests to the store for each operation, also of those before and after it.
    """

    total: float = 0
    parts: dict[str, float] = field(default_factory=dict)
    processor: float = 0  # of this process
    children: float = 0  # processor time of its child processes
    queries: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    requests: dict[str, list[str]] = field(default_factory=dict)


spent: dict[str, float] = {}  # seconds, by the name of the part
heard: Counter[str] = Counter()  # calls of stores, by the name of the method
sent: list[str] = []  # HTTP requests to the store


def measure(kind: Kind, content: bytes) -> Measured:
    found = Measured()
    path = kind.create()
    announced = {"filename": kind.file, "content_type": kind.content_type, "size": len(content)}
    with requests_of(found, "ticket"):
        ticket = api.post(f"{path}upload-url/", json=announced).raise_for_status().json()
    client_of_storage.put(ticket["url"], content=content, headers=ticket["headers"]).raise_for_status()
    with requests_of(found, "complete"), measured(found):
        api.post(ticket["complete_url"]).raise_for_status()
    place = path if "pictures" not in path else f"{path}{ticket['id']}/"
    with requests_of(found, "download"):
        api.get(f"{place}{kind.download}").raise_for_status()
    with requests_of(found, "delete"):
        api.delete(f"{place}{kind.delete}").raise_for_status()
    return found


@contextmanager
def measured(found: Measured) -> Iterator[None]:
    queries: list[float] = []

    def count(execute: Callable[..., Any], *query: Any) -> Any:
        queries.append(0)
        return execute(*query)

    spent.clear()
    heard.clear()
    children, processor, started = processor_time_of_children(), time.process_time(), time.perf_counter()
    with connection.execute_wrapper(count):
        yield
    found.total = (time.perf_counter() - started) * 1000
    found.processor = (time.process_time() - processor) * 1000
    found.children = (processor_time_of_children() - children) * 1000
    found.parts = {name: spent[name] * 1000 for name in PARTS if name in spent}
    found.calls, found.queries = dict(heard), len(queries)


@contextmanager
def requests_of(found: Measured, operation: str) -> Iterator[None]:
    sent.clear()
    yield
    found.requests[operation] = list(sent)


def processor_time_of_children() -> float:
    """Return the seconds of all processes below this one, and of those for which they have waited."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    stats = (Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split() for child in children)
    return sum(sum(map(int, stat[11:15])) for stat in stats) / TICKS


# --- Observing ----------------------------------------------------------------------------------------


def observe(delay: float) -> None:
    """Measure each part, count the calls of stores, and delay HTTP requests by so many seconds."""
    for part, (module, name) in PARTS.items():
        setattr(module, name, timed(part, getattr(module, name)))
    calls.observers.append(lambda call, outcome, seconds: heard.update([call]))
    handle = http_client.transport.handle_request

    def handle_request(request: httpx.Request) -> httpx.Response:
        sent.append(kind_of(request))
        time.sleep(delay)
        return handle(request)

    http_client.transport.handle_request = handle_request  # type: ignore[method-assign]


def timed(part: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            spent[part] = spent.get(part, 0) + time.perf_counter() - started

    return call


def kind_of(request: httpx.Request) -> str:
    """Return the method and the route: `GET object/authenticated`, without bucket and key."""
    path = request.url.path.partition("/storage/v1/")[2]
    route = re.match(r"object/(?:authenticated|info|move|copy|sign|upload/sign|list-v2)\b|[a-z]+", path)
    assert route, path
    return f"{request.method} {route[0]}"


# --- Resources ----------------------------------------------------------------------------------------


def member(role: str = "") -> dict[str, str]:
    return {"Authorization": f"Bearer {development_token('alice@example.org', role=role, seconds=86400)}"}


def document() -> str:
    created = api.post("/api/v1/documents/", json={"title": "Feeding plan"}).raise_for_status().json()
    return f"/api/v1/documents/{created['id']}/"


def profile() -> str:
    api.get("/api/v1/profiles/me/").raise_for_status()
    return "/api/v1/profiles/me/"


def gallery() -> str:
    return f"/api/v1/species/{SPECIES['slug']}/pictures/"


KINDS = {
    "PDF document": Kind("five.pdf", "application/pdf", document),
    "JPEG document": Kind("five.jpg", "image/jpeg", document),
    "avatar": Kind("five.jpg", "image/jpeg", profile, delete="avatar/"),
    "gallery picture": Kind("five.jpg", "image/jpeg", gallery, download="original-url/"),
}

in_process = httpx.WSGITransport(application)
api = httpx.Client(transport=in_process, base_url=SERVER)
client_of_storage = httpx.Client(transport=in_process if settings.STORAGE == "local" else None, timeout=120)


def main() -> None:
    folder, delay = Path(sys.argv[1]), float(sys.argv[2] if len(sys.argv) > 2 else 0)
    api.headers.update(member(role="staff"))
    Species.objects.get_or_create(**SPECIES)
    renditions.SECONDS_IN_REQUEST = 60  # a busy machine postpones nothing
    observe(delay / 1000)
    for line in sys.stdin:
        kind = KINDS[line.strip()]
        print(json.dumps(asdict(measure(kind, (folder / kind.file).read_bytes()))), flush=True)


if __name__ == "__main__":
    main()
