"""A server that is killed at any call to Supabase Storage: one sweep later, nothing is lost and nothing left.

The API keeps its files in a second server, through a proxy that ends all its processes with SIGKILL, before
it passes a call on or after the storage has carried it out.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from storage.local.objects import LocalObjects
from tests.api.profiles.test_profiles import PNG
from tests.api.uploads.test_races import prepare
from tests.support.cast import PDF, announcement
from tests.support.proxy import Handling, Passing, Proxy
from tests.support.server import Server

pytestmark = pytest.mark.slow

OTHER = PDF + b"%other"
PAUSE = 10.5  # seconds after which the lease of a ticket and the reservation of a key have ended

#: Whoever has begun to make renditions has died: others need not wait for it any longer.
OVERDUE = """
from django.utils import timezone
from api.models import Profile, Removal
due = Profile.objects.exclude(renditions_due_at=None)
assert due.update(renditions_due_at=timezone.now()) >= 2
Removal.objects.filter(is_reservation=True).update(due_at=timezone.now())
"""

MOVE, COPY, DELETE = "POST /object/move", "POST /object/copy", "DELETE /object/documents"
READ, LIST = "GET /object/authenticated", "POST /object/list-v2"
STORE_RENDITION, DELETE_RENDITION = "POST /object/user-profiles", "DELETE /object/user-profiles"

#: What is done, the call at which the server is killed, and whether the storage carries that call out.
KILLS = [
    ("complete", MOVE, False),
    ("complete", MOVE, True),
    ("complete", READ, False),
    ("complete", DELETE, True),
    ("share", COPY, False),
    ("hide", COPY, True),
    ("hide", DELETE, False),
    ("revoke", COPY, True),
    ("revoke", DELETE, True),
    ("delete", DELETE, False),
    ("delete", DELETE, True),
    ("picture", STORE_RENDITION, False),
    ("picture", STORE_RENDITION, True),
    ("remove picture", DELETE_RENDITION, False),
    ("remove picture", DELETE_RENDITION, True),
    ("erase", LIST, True),
    ("erase", DELETE, True),
]


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.url) as running:
        yield running


@pytest.fixture
def api(tmp_path: Path, server: Server, proxy: Proxy) -> Iterator[Server]:
    settings = {
        "STORAGE": "supabase",
        "SUPABASE_URL": proxy.url,
        "SUPABASE_SECRET_KEY": server.service_key(),
        "SUPABASE_JWT_ISSUER": f"{server.url}/auth/v1",
    }
    with Server(tmp_path / "api", workers=1, **settings) as running:
        yield running


@dataclass
class Member:
    """Somebody with a private and a shared document, whose first one has a ticket with another file."""

    client: httpx.Client
    documents: list[dict[str, Any]] = field(default_factory=list)
    ticket: dict[str, Any] = field(default_factory=dict)
    picture: dict[str, Any] = field(default_factory=dict)  # the ticket of an avatar
    urls: list[str] = field(default_factory=list)

    def furnish(self) -> None:
        for visibility in ("private", "authenticated"):
            document = self.client.post(
                "/api/v1/documents/", json={"title": "Plan", "visibility": visibility}
            ).json()
            _, ticket = prepare(self.client, PDF, document)
            assert self.client.post(ticket["complete_url"]).status_code == 200
            self.documents.append(document)
            self.urls.append(self.client.get(f"{self.path(document)}download-url/").json()["url"])
        _, self.ticket = prepare(self.client, OTHER, self.documents[0])
        announced = announcement(PNG, content_type="image/png")
        self.picture = self.client.post("/api/v1/profiles/me/upload-url/", json=announced).json()
        httpx.put(self.picture["url"], content=PNG, headers=self.picture["headers"]).raise_for_status()

    def furnish_for(self, act: str) -> None:
        """Let there be what the act needs besides."""
        if act == "remove picture":
            self.act("picture").raise_for_status()

    @property
    def id(self) -> str:
        return self.documents[0]["owner"]["id"]

    @staticmethod
    def path(document: dict[str, Any]) -> str:
        return f"/api/v1/documents/{document['id']}/"

    def act(self, name: str) -> httpx.Response:
        private, shared = map(self.path, self.documents)
        acts: dict[str, Callable[[], httpx.Response]] = {
            "complete": lambda: self.client.post(self.ticket["complete_url"]),
            "share": lambda: self.client.patch(private, json={"visibility": "authenticated"}),
            "hide": lambda: self.client.patch(shared, json={"visibility": "private"}),
            "revoke": lambda: self.client.post(f"{private}revoke-urls/"),
            "picture": lambda: self.client.post(self.picture["complete_url"]),
            "remove picture": lambda: self.client.delete("/api/v1/profiles/me/avatar/"),
            "delete": lambda: self.client.delete(private),
            "erase": lambda: self.client.delete("/api/v1/profiles/me/"),
        }
        return acts[name]()

    def avatar(self) -> Any:
        return self.client.get("/api/v1/profiles/me/").json()["avatar"]

    def files(self) -> dict[str, bytes]:
        """What is served of each document that has a file, by the key of its object."""
        found = {}
        for document in self.client.get("/api/v1/documents/").json()["results"]:
            if document["owner"]["id"] == self.id and document["file"]:
                url = self.client.get(f"{self.path(document)}download-url/").json()["url"]
                key = urlsplit(url).path.partition("/object/sign/documents/")[2]
                assert key.startswith("shared/") is (document["visibility"] == "authenticated")
                found[key] = httpx.get(url).raise_for_status().content
        return found


def kills(server: Server, *, after: bool) -> Handling:
    def kill(passing: Passing, body: bytes) -> None:
        if after:
            passing.upstream(body)
        server.kill()
        passing.slam()

    return kill


def test_killed_at_any_call_to_the_storage_one_sweep_finishes_the_rest(api, proxy, server, settings):
    members = []
    for number, (act, call, after) in enumerate(KILLS):
        member = Member(api.client(f"killed-{number}@example.org"))
        member.furnish()
        member.furnish_for(act)
        proxy.fail(kills(api, after=after), on=f"^{call}", times=1)
        with pytest.raises(httpx.HTTPError):
            member.act(act)
        assert proxy.orders.pop().times == 0, f"{act} makes no call {call}"
        api.start()
        members.append(member)

    for (act, call, after), member in zip(KILLS, members, strict=True):
        case = f"{act} killed {'after' if after else 'before'} {call}"
        assert set(member.files().values()) <= {PDF, OTHER}, f"{case}: no row has lost its file"

    api.manage("shell", "-c", OVERDUE)
    time.sleep(PAUSE)
    swept = json.loads(api.manage("sweep", "--json").splitlines()[-1])
    assert swept["ok"], swept

    settings.MEDIA_ROOT = str(server.media)
    buckets = ("documents", "uploads", "originals", "user-profiles")
    objects = {bucket: set(LocalObjects(bucket).walk()) for bucket in buckets}
    for (act, call, after), member in zip(KILLS, members, strict=True):
        case = f"{act} killed {'after' if after else 'before'} {call}"
        files = member.files()
        assert {key for key in objects["documents"] if member.id in key} == files.keys(), case
        assert not {key for key in objects["uploads"] if member.ticket["id"] in key}, case
        kept = {bucket: [key for key in objects[bucket] if member.id in key] for bucket in buckets[2:]}
        avatar = member.avatar()
        shown = [each["url"] for each in avatar["renditions"]] if avatar else []
        if act in ("erase", "remove picture"):
            assert act == "erase" or avatar is None, case
        else:
            assert avatar, case
        assert [len(kept["originals"]), len(kept["user-profiles"])] == [bool(avatar), len(shown)], case
        assert {httpx.get(url).status_code for url in shown} <= {200}, case
        assert len(shown) == 2 * bool(avatar), case
        if act in ("complete", "share", "hide", "revoke"):
            assert sorted(files.values()) == [PDF, OTHER], case
        if act == "delete":
            assert list(files.values()) == [PDF], case
            assert httpx.get(member.urls[0]).status_code == 400, case
        assert member.act("erase").status_code == 200, case
        assert not [key for key in LocalObjects("documents").walk() if member.id in key], case
