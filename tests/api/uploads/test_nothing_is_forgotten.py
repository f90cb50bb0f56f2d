"""Whatever members do and whatever fails, one sweep later rows and storage agree.

A state machine of hypothesis does everything that members, staff and clients can do, in any order. Meanwhile
the storage fails and heals, requests overtake each other, processes die, and answers are carried out long
after they were given up. It is the same in each run. To look further: NOTHING_IS_FORGOTTEN=200, the number of
rounds.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from io import StringIO
from itertools import product
from multiprocessing import Value
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.utils import load_backend
from django.utils import timezone
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as any_of
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from api.catalog import qr_codes
from api.models import Document, Profile, Removal, Species, SpeciesPicture, Upload
from storage.base import store_of
from storage.fields import stored_files, upload_fields
from storage.local import LocalStorage
from storage.supabase import SupabaseStorage, request_limits
from storage.supabase import client as supabase_client
from tests.api.profiles.test_profiles import PNG
from tests.support.cast import PDF, Caller, announcement, fetch, send
from tests.support.proxy import Proxy
from tests.support.server import Server
from tests.support.storage_calls import Fault, ProxiedCalls, StorageCalls, death_at_query, in_another_process

T = TypeVar("T")
OTHER = PDF + b"%other"
BUCKETS = ("uploads", "documents", "user-profiles", "originals", "species")
PAUSE = 125  # seconds after which claims of tickets, removals and renditions, and reservations, have ended
TOKENS_LAST = 7200  # seconds
LONG_PAUSE = 90_000  # seconds after which tokens have expired, and leftovers of uploads are deleted


def each_of(values: Sequence[T]) -> any_of.SearchStrategy[T]:
    """One of the values, all as often: hypothesis itself prefers some of them."""
    return any_of.integers(0, 2**16).map(lambda seed: Random(seed).choice(values))


numbers = each_of(range(8))  # of a document, ticket or species: counted from the last one back
calls = each_of(range(1, 5))


@dataclass
class Things:
    """What there is to act upon. A ticket has its owner, its content and the path of its resource."""

    documents: list[tuple[Caller, dict[str, Any]]] = field(default_factory=list)
    species: list[str] = field(default_factory=list)
    tickets: list[tuple[Caller, dict[str, Any], bytes, str]] = field(default_factory=list)

    def copy(self) -> "Things":
        return Things(self.documents.copy(), self.species.copy(), self.tickets.copy())


class World:
    """The database, the store and the time, all of which the tests can look into and change.

    Each example begins with the same rows and files, which are copied.
    """

    def __init__(self, folder: Path, database: Path, media: Path, calls: StorageCalls) -> None:
        self.folder, self.database, self.media, self.calls = folder, database, media, calls
        self.passed = Value("d", 0, lock=False)  # seconds; also for processes that die
        self.happened: Counter[str] = Counter()
        self.members = [Caller("alice@example.org"), Caller("bob@example.org")]
        self.curator = Caller("curator@example.org", role="staff")
        self.things = Things()
        self._furnish()
        connections.close_all()
        shutil.copy(database, folder / "database")
        shutil.copytree(media, folder / "files")

    def begin(self) -> Things:
        self.passed.value = 0
        self.calls.late.clear()
        cache.clear()
        request_limits.reset()
        connections.close_all()
        for path in self.database.parent.glob(f"{self.database.name}-*"):
            path.unlink()
        shutil.copy(self.folder / "database", self.database)
        shutil.rmtree(self.media)
        shutil.copytree(self.folder / "files", self.media)
        return self.things.copy()

    def objects(self) -> dict[tuple[str, str], str]:
        """The hash of every object."""
        found = {}
        for bucket in BUCKETS:
            for path in (self.media / bucket).rglob("*"):
                if path.is_file():
                    key = str(path.relative_to(self.media / bucket))
                    found[bucket, key] = sha256(path.read_bytes()).hexdigest()
        return found

    # --- New rows and tickets -------------------------------------------------------------------------

    def create_document(self, owner: Caller, visibility: str, things: Things) -> dict[str, Any]:
        document = owner.document(visibility=visibility)
        things.documents.append((owner, document))
        return document

    def ask(self, who: Caller, path: str, content: bytes, things: Things) -> None:
        content_type = "application/pdf" if path.startswith("documents/") else "image/png"
        answer = who.post(f"{path}upload-url/", announcement(content, content_type=content_type))
        assert answer.status_code in (201, 404, 503), answer.content
        if answer.status_code == 201:
            things.tickets.append((who, answer.json(), content, path))

    def _furnish(self) -> None:
        """Two members with files in all states, and a species."""
        name, things = "Spheniscus demersus", self.things
        species = self.curator.post("species/", {"common_name": name, "scientific_name": name}).json()
        things.species.append(species["slug"])
        for owner, visibility in product(self.members, Document.Visibility.values):
            path = f"documents/{self.create_document(owner, visibility, things)['id']}/"
            self.ask(owner, path, PDF, things)
            self.upload(*things.tickets.pop())
            self.ask(owner, path, OTHER, things)
        alice, bob = self.members
        for who, path in ((bob, "profiles/me/"), (self.curator, f"species/{species['slug']}/")):
            self.ask(who, path, PNG, things)
            self.upload(*things.tickets.pop())
            self.ask(who, path, PNG, things)
        self.ask(
            alice, f"documents/{self.create_document(alice, 'authenticated', things)['id']}/", PDF, things
        )
        for _, ticket, content, _ in things.tickets:
            send(ticket, content)
        self.ask(alice, "profiles/me/", PNG, things)

    @staticmethod
    def upload(who: Caller, ticket: dict[str, Any], content: bytes, _: str) -> None:
        assert send(ticket, content).status_code == 200
        assert who.complete(ticket).status_code == 200


def named() -> dict[tuple[str, str], str | None]:
    """Every object that a row names, and the hash that is recorded, if any."""
    models = {field.model for field in upload_fields()}
    rows = [row for model in models for row in model.objects.all()]
    files = [file for row in rows for file in stored_files(row) if file.key]
    assert len({(file.storage.bucket, file.key) for file in files}) == len(files), "two rows, one object"
    return {(file.storage.bucket, file.key): file.facts and file.facts["sha256"] for file in files}


ACTS = (
    *("send", "send_another", "complete", "complete", "upload", "upload", "cancel", "expire"),
    *("share", "hide", "revoke", "delete", "erase"),
    *("make_qr_code", "delete_species"),
    *("sweep", "sweep_later", "pause"),
)
KINDS = ("fails", "fails from then on", "late", "overtaken", "dies", "dies at a query")
#: What calls the storage, the more often the more there is to go wrong, and what else may happen.
ACTS_WITH_CALLS = (
    *(
        "complete",
        "complete",
        "upload",
        "upload",
        "cancel",
        "share",
        "hide",
        "hide",
        "revoke",
        "delete",
        "erase",
    ),
    *("make_qr_code", "delete_species", "sweep", "sweep_later"),
    *("upload_picture", "upload_picture", "delete_picture", "delete_file", "delete_avatar"),
)
OTHER_ACTS = (
    *("create_document", "ask", "ask_as_staff", "send", "send_another", "expire", "pause"),
    *("move_picture", "move_picture"),
)
KINDS = ("fails", "fails from then on", "late", "overtaken", "dies")
Act = tuple[str, int]  # and the number of its row
acts_with_calls = any_of.tuples(each_of(ACTS_WITH_CALLS), numbers)
acts = any_of.tuples(each_of(ACTS_WITH_CALLS + OTHER_ACTS), numbers)


class Members(RuleBasedStateMachine):
    world: World

    @initialize()
    def begin(self) -> None:
        self.things = self.world.begin()
        self.is_late = False  # something was carried out after its request had been given up
        self.deletions = 0  # of files whose documents stay
        self.keys: dict[str, set[str]] = {}  # every key that the file of a document has had

    # --- What clients, members and the sweep do -------------------------------------------------------

    def create_document(self, number: int) -> None:
        visibility = Document.Visibility.values[number // 2 % 2]
        self.world.create_document(self.world.members[number % 2], visibility, self.things)

    def ask(self, number: int) -> None:
        owner, document = self._pick(self.things.documents, number)
        tickets: list[tuple[Caller, str, bytes]] = [
            (owner, f"documents/{document['id']}/", PDF),
            (owner, f"documents/{document['id']}/", OTHER),
            (self.world.members[number // 4], "profiles/me/", PNG),
            (self.world.curator, f"species/{self._pick(self.things.species, number)}/", PNG),
        ]
        self.world.ask(*tickets[number % 4], self.things)

    def upload_picture(self, number: int) -> None:
        slug = self._pick(self.things.species, number)
        self.world.ask(self.world.curator, f"species/{slug}/{'pictures/' * (number % 2)}", PNG, self.things)
        self.upload(0)

    def delete_picture(self, number: int) -> None:
        slug = self._pick(self.things.species, number)
        pictures = SpeciesPicture.objects.filter(entry__slug=slug).order_by("position")
        paths = ["image/", *(f"pictures/{picture.pk}/" for picture in pictures)]
        answer = self.world.curator.delete(f"species/{slug}/{self._pick(paths, number)}")
        self._expect(answer, 202, 204, 404, 503)

    def move_picture(self, number: int) -> None:
        slug = self._pick(self.things.species, number)
        pictures = list(SpeciesPicture.objects.filter(entry__slug=slug))
        if pictures:
            path = f"species/{slug}/pictures/{self._pick(pictures, number).pk}/"
            self._expect(self.world.curator.patch(path, {"position": number % len(pictures)}), 200)

    def delete_file(self, number: int) -> None:
        owner, document = self._pick(self.things.documents, number)
        self.deletions += 1
        answer = owner.delete(f"documents/{document['id']}/file/")
        self._expect(answer, 202, 204, 404, 503)
        if answer.status_code == 204:
            assert not self._remaining(document), "204, and the file is still there"

    def delete_avatar(self, number: int) -> None:
        self._expect(self.world.members[number % 2].delete("profiles/me/avatar/"), 202, 204, 404, 503)

    def ask_as_staff(self, number: int) -> None:
        _, document = self._pick(self.things.documents, number)
        self.world.ask(self.world.curator, f"documents/{document['id']}/", PDF, self.things)

    def send(self, number: int) -> None:
        _, ticket, content, _ = self._pick(self.things.tickets, number)
        send(ticket, content)

    def send_another(self, number: int) -> None:
        """A file of the same size and type, with other bytes."""
        _, ticket, content, _ = self._pick(self.things.tickets, number)
        send(ticket, content[:-1] + b"~")

    def complete(self, number: int) -> None:
        who, ticket, _, path = self._pick(self.things.tickets, number)
        is_repeated = Upload.objects.filter(pk=ticket["id"], state="completed").exists()
        deletions = self.deletions
        answer = who.complete(ticket)
        self._expect(answer, 200, 404, 409, 422, 503)
        row = who.get(path)
        if is_repeated or self.deletions > deletions:  # the file may have been deleted since
            return
        if answer.status_code == 200 and path.startswith("documents/") and row.status_code == 200:
            assert row.json()["file"], "completed, and not recorded"
            signed = who.get(f"{path}download-url/")
            self._expect(signed, 200, 503)
            assert signed.status_code == 503 or fetch(signed.json()["url"]).status_code == 200

    def cancel(self, number: int) -> None:
        who, ticket, *_ = self._pick(self.things.tickets, number)
        self._expect(who.delete(f"uploads/{ticket['id']}/"), 202, 204, 404, 409, 503)

    def share(self, number: int) -> None:
        self._change(number, "authenticated")

    def hide(self, number: int) -> None:
        self._change(number, "private")

    def _change(self, number: int, visibility: str) -> None:
        owner, document = self._pick(self.things.documents, number)
        answer = owner.patch(f"documents/{document['id']}/", {"visibility": visibility})
        self._expect(answer, 200, 404, 503)
        is_hidden = Document.objects.filter(pk=document["id"], visibility="private").exists()
        if answer.status_code == 200 and is_hidden:
            assert not {key for key in self._remaining(document) if key.startswith("shared/")}

    def revoke(self, number: int) -> None:
        owner, document = self._pick(self.things.documents, number)
        self._note_keys()
        before = self.keys.get(document["id"], set()).copy()
        answer = owner.post(f"documents/{document['id']}/revoke-urls/")
        self._expect(answer, 204, 404, 503)
        if answer.status_code == 204:
            assert not before & self._remaining(document), "a URL that was revoked works"

    def delete(self, number: int) -> None:
        owner, document = self._pick(self.things.documents, number)
        answer = owner.delete(f"documents/{document['id']}/")
        self._expect(answer, 202, 204, 404, 503)
        if answer.status_code == 204:
            assert not self._remaining(document), "204, and the file is still there"

    def erase(self, number: int) -> None:
        member = self.world.members[number % 2]
        answer = member.delete("profiles/me/")
        self._expect(answer, 200, 202, 409, 503)
        if answer.status_code == 200:
            kept = {
                key for bucket, key in self.world.objects() if bucket != "uploads" and str(member.id) in key
            }
            assert not kept, "erased, and files are still there"

    def make_qr_code(self, number: int) -> None:
        slug = self._pick(self.things.species, number)
        self._expect(self.world.curator.post(f"species/{slug}/qr-code/"), 200, 404, 503)

    def delete_species(self, number: int) -> None:
        slug = self._pick(self.things.species, number)
        answer = self.world.curator.delete(f"species/{slug}/")
        self._expect(answer, 202, 204, 404, 503)
        if answer.status_code == 204:
            kept = {key for bucket, key in self.world.objects() if bucket == "species" and f"{slug}-" in key}
            assert not kept, "204, and the QR code is still there"

    def sweep(self, number: int = 0) -> None:
        with suppress(CommandError):  # the storage fails
            call_command("sweep", stdout=StringIO(), stderr=StringIO())

    def upload(self, number: int) -> None:
        self.send(number)
        self.complete(number)

    def expire(self, number: int) -> None:
        _, ticket, *_ = self._pick(self.things.tickets, number)
        Upload.objects.filter(pk=ticket["id"]).update(expires_at=timezone.now() - timedelta(seconds=1))

    def pause(self, number: int) -> None:
        self.world.passed.value += 4 + number

    def sweep_later(self, number: int) -> None:
        """After this time the lease of a ticket has ended, and then also the reservation of a key."""
        self.world.passed.value += 9 + number
        self.sweep()

    def act(self, act: Act) -> None:
        name, number = act
        self.world.happened[name] += 1
        getattr(self, name)(number)

    # --- The rules: one for nearly all, because each example leaves some rules out ---------------------

    @rule(act=acts)
    def all_goes_well(self, act: Act) -> None:
        self.act(act)

    @rule(act=acts_with_calls, kind=each_of(KINDS), at=calls, after=any_of.booleans(), other=acts)
    def disturbed(self, act: Act, kind: str, at: int, after: bool, other: Act) -> None:
        """`other` overtakes the act, if it is overtaken."""
        faults = {
            "fails": Fault("fails", at, after),
            "fails from then on": Fault("fails", at, after, lasting=True),
            "late": Fault("late", at),
            "overtaken": Fault("overtaken", at, after, other=lambda: self.act(other)),
            "dies": Fault("dies", at, after),
        }
        calls = self.world.calls
        with calls.disturbed_by(faults[kind]):
            if kind != "dies":
                self.act(act)
            elif in_another_process(lambda: self.act(act), calls):
                self.world.happened[f"dies: {act[0]}"] += 1
        if calls.struck:
            self.world.happened[f"{kind}: {act[0]}"] += 1
            self.is_late |= kind == "late"

    @rule(act=acts_with_calls, query=each_of(range(1, 41)))
    def dies_at_a_query(self, act: Act, query: int) -> None:
        with death_at_query(query):
            is_dead = in_another_process(lambda: self.act(act), self.world.calls)
        self.world.happened[f"dies: {act[0]}"] += is_dead

    @precondition(lambda self: self.world.calls.late)
    @rule()
    def it_arrives(self) -> None:
        self.world.calls.arrive_late()

    # --- What holds at any time, and at the end -------------------------------------------------------

    @invariant()
    def every_row_has_its_file(self) -> None:
        self._note_keys()
        objects = self.world.objects()
        for place, recorded in named().items():
            assert place in objects, f"{place} is recorded, and is not there"
            assert recorded in (None, objects[place]), f"{place} has other bytes"

    def teardown(self) -> None:
        if not hasattr(self, "things"):
            return
        self.world.calls.arrive_late()
        request_limits.reset()
        self.world.passed.value += PAUSE
        call_command("sweep", stdout=StringIO())
        self.every_row_has_its_file()
        if not self.is_late:
            self._nothing_is_left()
        for _ in range(2):  # what the first one schedules because a token has expired, the second one ends
            self.world.passed.value += LONG_PAUSE
            call_command("sweep", stdout=StringIO())
        self.every_row_has_its_file()
        self._nothing_is_left()
        assert self.world.objects().keys() == named().keys()
        assert not Removal.objects.exists()
        self.world.happened["examples"] += 1
        connections.close_all()

    def _nothing_is_left(self) -> None:
        objects, paths = self.world.objects(), set(Upload.objects.values_list("path", flat=True))
        assert not {key for bucket, key in objects if bucket == "uploads"} & paths, "an unfinished ticket"
        placed = {
            place for place in objects if place[0] != "uploads" and not place[1].startswith(".arriving/")
        }
        assert placed == named().keys()
        assert not Removal.objects.filter(due_at__lte=timezone.now()).exists()
        assert not Upload.objects.filter(state="verifying").exists()
        for document in Document.objects.exclude(file=""):
            assert document.file.is_in_place
        for species in Species.objects.all():
            assert species.qr_code.key
            positions = species.pictures.order_by("position").values_list("position", flat=True)
            assert list(positions) == list(range(len(positions)))
            assert not species.pictures.filter(jpeg="").exists(), "a picture without renditions"
        assert not Profile.objects.exclude(avatar="").filter(jpeg="").exists(), "an avatar without renditions"

    # --- Details --------------------------------------------------------------------------------------

    @staticmethod
    def _pick(rows: list[Any], number: int) -> Any:
        return rows[-1 - number % len(rows)]

    def _expect(self, answer: Any, *statuses: int) -> None:
        assert answer.status_code in statuses, answer.content
        self.world.happened[f"{answer.status_code}: {answer.wsgi_request.resolver_match.view_name}"] += 1

    def _note_keys(self) -> None:
        for pk, key in Document.objects.exclude(file="").values_list("pk", "file"):
            self.keys.setdefault(str(pk), set()).add(key)

    def _remaining(self, document: dict[str, Any]) -> set[str]:
        """The objects that the document has had and that are still there."""
        there = {key for bucket, key in self.world.objects() if bucket == "documents"}
        return self.keys.get(document["id"], set()) & there


# --- On each store ----------------------------------------------------------------------------------------


@pytest.fixture
def own_database(tmp_path: Path, django_db_blocker: Any) -> Iterator[Path]:
    """A SQLite database in a file, which processes can share."""
    server = Server(tmp_path / "template")
    server.migrate()
    shared = connections["default"]
    file = tmp_path / "db.sqlite3"
    options = {**shared.settings_dict, "NAME": str(file)}
    shutil.copy(server.database, file)
    with django_db_blocker.unblock():
        connections["default"] = load_backend(options["ENGINE"]).DatabaseWrapper(options, "default")
        yield file
        connections["default"].close()
        connections["default"] = shared


@pytest.fixture
def make_world(tmp_path: Path, own_database: Path, settings, monkeypatch) -> Callable[..., World]:
    monkeypatch.setattr("api.uploads.lifecycle.WAIT_SECONDS", 0)
    monkeypatch.setattr(qr_codes, "png", lru_cache(qr_codes.png))  # it takes longer than all the rest
    settings.UPLOAD_URL_TTL = TOKENS_LAST

    def make(media: Path, calls: StorageCalls) -> World:
        settings.MEDIA_ROOT = str(media)
        world = World(tmp_path, own_database, media, calls)
        now = timezone.now
        monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(seconds=world.passed.value))
        return world

    return make


def run(world: World, *, rounds: int) -> None:
    """Try six sequences in each round, and check that enough has happened in them.

    Many short rounds, because in a long one hypothesis varies what it has tried before.
    """
    for number in range(int(os.environ.get("NOTHING_IS_FORGOTTEN", rounds))):
        run_state_machine_as_test(
            seed(number)(type("Members", (Members,), {"world": world})),
            settings=settings(
                max_examples=6,
                stateful_step_count=12,
                database=None,
                deadline=None,
                print_blob=False,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
            ),
        )
    for what in ("200: upload-complete", "204: document-detail", "200: profile-detail"):
        assert world.happened[what], f"never happened: {what}"
    for kind in ("fails", "fails from then on", "late", "overtaken", "dies"):
        acts = {name for name in ACTS_WITH_CALLS if world.happened[f"{kind}: {name}"]}
        assert len(acts) > 1, f"{kind} only: {acts}"


@pytest.mark.slow
def test_one_sweep_later_rows_and_the_local_store_agree(make_world, tmp_path: Path, monkeypatch):
    world = make_world(tmp_path / "media", StorageCalls(LocalStorage, monkeypatch))

    run(world, rounds=14)


@pytest.fixture
def supabase(tmp_path: Path, settings, monkeypatch) -> Iterator[tuple[Server, Proxy]]:
    """All files are kept in a second server, through a proxy."""
    with Server(tmp_path / "supabase", workers=1) as server, Proxy(server.url) as proxy:
        settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY = proxy.url, server.service_key()
        backends = {
            alias: {**entry, "BACKEND": "storage.supabase.SupabaseStorage"} if "OPTIONS" in entry else entry
            for alias, entry in settings.STORAGES.items()
        }
        settings.STORAGES = backends
        for field_ in upload_fields():
            monkeypatch.setattr(field_, "storage", store_of(field_.alias))
        yield server, proxy
        supabase_client.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # the proxy only waits then
def test_one_sweep_later_rows_and_supabase_storage_agree(make_world, supabase, monkeypatch):
    server, proxy = supabase
    world = make_world(server.media, ProxiedCalls(SupabaseStorage, monkeypatch, proxy))

    run(world, rounds=4)
