"""Two stores of whom one contract is asked, by hand and by the true SDK; and the database of a project."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg import sql

from storage.base import SignedStorage
from storage.buckets import Bucket
from storage.local import LocalStorage, buckets
from storage.supabase import SupabaseStorage, webhook
from storage.supabase.policies import list_policies
from tests.storage.project import (
    HOSTED,
    THEIRS,
    WEBHOOK_SECRET,
    WEBHOOK_URL,
    as_hosted,
    project_database,
    skip_without_postgresql,
)
from tests.support import cast
from tests.support.server import Server

REMOVE_WEBHOOK = """
drop trigger if exists vivarium_webhook on storage.objects;
drop schema if exists vivarium_webhook cascade;
delete from vault.secrets where name = 'vivarium_webhook';
"""


@pytest.fixture
def supabase(settings, server: Server, service_key: str) -> str:
    """The settings lead to the running server, as they would to a project. Its address."""
    settings.SUPABASE_URL, settings.SUPABASE_SECRET_KEY = server.url, service_key
    return server.url


@pytest.fixture
def bucket_of(supabase: str, service_key: str) -> Iterator[Callable[..., SupabaseStorage]]:
    """Makes a bucket of nobody else's, and takes it away again."""
    headers = {"Authorization": f"Bearer {service_key}"}
    # Making sense of certificates takes long, and there are none.
    with httpx.Client(base_url=f"{supabase}/storage/v1", headers=headers, verify=False, timeout=60) as client:
        made: list[str] = []

        def make(public: bool = False, **limits: Any) -> SupabaseStorage:
            name = f"test-{secrets.token_hex(8)}"
            client.post("/bucket", json={"name": name, "public": public, **limits}).raise_for_status()
            made.append(name)
            return SupabaseStorage(name, public=public)

        yield make
        for name in made:
            client.post(f"/bucket/{name}/empty").raise_for_status()
            client.delete(f"/bucket/{name}").raise_for_status()


def local_store(public: bool = False) -> LocalStorage:
    name = f"test-{secrets.token_hex(8)}"
    buckets.create(Bucket(name, public=public))
    return LocalStorage(name, public=public)


@pytest.fixture(params=["local", "supabase"])
def make_store(request) -> Callable[..., SignedStorage]:
    """Makes a store with a bucket of its own; asked of each kind."""
    return request.getfixturevalue("bucket_of") if request.param == "supabase" else local_store


@pytest.fixture
def store(make_store) -> SignedStorage:
    return make_store()


@pytest.fixture
def other(make_store) -> SignedStorage:
    return make_store(public=True)


@pytest.fixture
def by_hand(store, settings, request) -> Callable[[Iterable[str]], None]:
    """Puts empty objects where the store's server keeps its files: the quick way to have many."""
    local = isinstance(store, LocalStorage)
    media = Path(settings.MEDIA_ROOT) if local else request.getfixturevalue("server").media

    def make(keys: Iterable[str]) -> None:
        for key in keys:
            path = media / store.bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    return make


@pytest.fixture
def fetch(store) -> Callable[[str], tuple[int, bytes]]:
    """GET with nothing but the URL: the status and the bytes."""

    def get(url: str) -> tuple[int, bytes]:
        if isinstance(store, LocalStorage):
            answer = cast.fetch(url)
            return answer.status_code, answer.body
        remote = httpx.get(url, verify=False)
        return remote.status_code, remote.content

    return get


@pytest.fixture(scope="session")
def supabase_database() -> Iterator[str]:
    """The URL of a Supabase project's database that all tests share: leave it as it was."""
    skip_without_postgresql()
    with project_database() as url:
        yield url


@pytest.fixture
def hosted(supabase_database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection as a hosted project's role, with a policy for a bucket of others. Rolled back."""
    connection = psycopg.connect(
        supabase_database, prepare_threshold=None
    )  # as through a pooler; and faster here
    with connection, connection.transaction(force_rollback=True):
        connection.execute(f"set local role {HOSTED}")
        connection.execute(THEIRS)
        yield connection


@pytest.fixture
def committed(supabase_database: str) -> Iterator[str]:
    """The URL of the same role, for tests that commit. Their policies are dropped."""
    yield as_hosted(supabase_database)
    with psycopg.connect(supabase_database) as connection:
        for policy in list_policies(connection):
            name, table = sql.Identifier(policy.name), sql.Identifier("storage", policy.table)
            connection.execute(sql.SQL("drop policy {} on {}").format(name, table))


@pytest.fixture
def webhook_database(supabase_database: str, committed: str) -> Iterator[str]:
    """The URL of the hosted project's role. What a test makes is removed."""
    yield committed
    with psycopg.connect(supabase_database) as connection:
        connection.execute("alter table if exists net.request_queue rename to http_request_queue")
        connection.execute("truncate storage.objects, storage.buckets, net.http_request_queue")
        connection.execute(REMOVE_WEBHOOK)


@pytest.fixture
def with_webhook(webhook_database: str) -> str:
    webhook.apply(webhook_database, WEBHOOK_URL, WEBHOOK_SECRET)
    return webhook_database


@pytest.fixture
def database_superuser(supabase_database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        yield connection
