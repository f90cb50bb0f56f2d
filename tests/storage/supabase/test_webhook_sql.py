"""The trigger reports each new object once, signed, and never fails an upload."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.test import Client

from storage import webhooks
from storage.supabase import webhook
from storage.supabase.policies import PolicyError
from storage.supabase.webhook import SECRET_TO_FILL_IN, Webhook
from tests.storage.project import WEBHOOK_SECRET as SECRET
from tests.storage.project import WEBHOOK_URL as URL
from tests.storage.project import put
from tests.support.cast import Caller, send

PLAIN = "a-plain-secret-of-a-zoo-in-Lisbon"


@pytest.fixture
def store(supabase_database: str) -> Iterator[psycopg.Connection[Any]]:
    """The connection of Storage, which takes the role `service_role` in each transaction."""
    with psycopg.connect(supabase_database, autocommit=True) as connection:
        yield connection


def upload(store: psycopg.Connection[Any], key: str = "a/b.pdf", bucket: str = "uploads") -> None:
    with store.transaction():
        store.execute("set local role service_role")
        put(store, bucket, key)


def posted(connection: psycopg.Connection[Any]) -> list[tuple[str, bytes, dict[str, str]]]:
    """What pg_net would send: URL, body and headers."""
    connection.execute("reset role")
    return connection.execute("select url, body, headers from net.http_request_queue order by id").fetchall()


def count(connection: psycopg.Connection[Any]) -> int:
    return connection.execute("select count(*) from storage.objects").fetchone()[0]


# --- What it sends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", [SECRET, PLAIN])
def test_an_upload_is_reported_with_a_valid_signature(webhook_database: str, store, secret: str):
    webhook.apply(webhook_database, URL, secret)

    upload(store)

    [(url, body, headers)] = posted(store)
    assert url == URL
    assert webhooks.verify(body, headers, secret) == headers["webhook-id"]
    assert headers["Content-Type"] == "application/json"
    expected, expected_headers = webhooks.signed(webhooks.event("INSERT", "uploads", "a/b.pdf"), secret)
    assert webhooks.json.loads(body) == webhooks.json.loads(expected)
    assert headers.keys() == expected_headers.keys()


def test_the_view_accepts_it_and_completes_the_ticket(with_webhook: str, store, alice: Caller, settings):
    settings.STORAGE_WEBHOOK_SECRET = SECRET
    ticket = alice.ticket(alice.document())
    send(ticket)

    upload(store, ticket["path"])
    [(_, body, headers)] = posted(store)
    content_type = headers.pop("Content-Type")
    answer = Client().post("/api/v1/webhooks/storage/", data=body, content_type=content_type, headers=headers)

    assert answer.status_code == 204
    assert alice.get(f"uploads/{ticket['id']}/").json()["state"] == "completed"


def test_each_message_has_its_own_id(with_webhook: str, store):
    upload(store, "a/1.pdf")
    upload(store, "a/2.pdf")

    assert len({headers["webhook-id"] for _, _, headers in posted(store)}) == 2


def test_other_buckets_and_moves_out_of_this_one_are_not_reported(with_webhook: str, store):
    upload(store, bucket="documents")
    upload(store)
    before = posted(store)

    store.execute(
        "update storage.objects set bucket_id = 'documents', name = 'c.pdf' where name = 'a/b.pdf'"
        " and bucket_id = 'uploads'"
    )

    assert len(before) == 1
    assert posted(store) == before


def test_a_move_into_the_bucket_is_reported(with_webhook: str, store):
    upload(store, bucket="documents")

    with store.transaction():
        store.execute("insert into storage.buckets (id, name) values ('uploads', 'uploads')")
        store.execute("update storage.objects set bucket_id = 'uploads'")

    [(_, body, _)] = posted(store)
    assert webhooks.json.loads(body) == webhooks.event("UPDATE", "uploads", "a/b.pdf")


def test_a_permission_probe_that_is_rolled_back_is_not_reported(with_webhook: str, store):
    """Storage tests the right to upload with the same insert, and rolls it back."""
    with store.transaction():
        store.execute("set local role service_role")
        with store.transaction(force_rollback=True):
            put(store, "uploads", "a/b.pdf")
        put(store, "uploads", "a/b.pdf")

    assert len(posted(store)) == 1


# --- Failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        "delete from vault.secrets",
        "update vault.secrets set secret = encode('whsec_!', 'base64')",
        "update vault.secrets set secret = 'not encrypted'",
        "alter table net.http_request_queue rename to request_queue",
    ],
)
def test_no_upload_fails_because_of_a_failure(with_webhook: str, store, database_superuser, broken: str):
    database_superuser.execute(broken)
    notices: list[str] = []
    store.add_notice_handler(lambda notice: notices.append(notice.message_primary))

    upload(store)

    assert count(store) == 1
    [notice] = notices
    assert notice.startswith("vivarium_webhook: ")
    assert SECRET not in notice
    assert SECRET.removeprefix("whsec_") not in notice


# --- Setting it up ----------------------------------------------------------------------------------


def test_it_is_in_place_after_one_run_and_after_another(webhook_database: str, database_superuser):
    assert webhook.find(webhook_database, SECRET) is None

    webhook.apply(webhook_database, URL, "another-secret-of-the-same-zoo")
    webhook.apply(webhook_database, URL, SECRET)

    assert webhook.find(webhook_database, SECRET) == Webhook(URL, is_as_shipped=True, has_secret=True)
    assert database_superuser.execute("select count(*) from vault.secrets").fetchone() == (1,)


def test_the_printed_script_has_no_secret_and_does_the_same(webhook_database: str):
    printed = webhook.render(URL)
    assert SECRET not in printed
    assert printed.count(SECRET_TO_FILL_IN) == 1

    with psycopg.connect(webhook_database, autocommit=True) as connection:
        for _ in range(2):
            connection.execute(printed.replace(SECRET_TO_FILL_IN, SECRET))

    assert webhook.find(webhook_database, SECRET) == Webhook(URL, is_as_shipped=True, has_secret=True)


def test_the_statements_that_the_script_names_remove_it(with_webhook: str, store):
    [commented] = [webhook.render(URL).partition("To remove it:\n")[2].partition("\n\n")[0]]
    with psycopg.connect(with_webhook) as connection:
        connection.execute(commented.replace("--", ""))

    upload(store)

    assert webhook.find(with_webhook, SECRET) is None
    assert posted(store) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("alter table storage.objects disable trigger vivarium_webhook", Webhook(URL, False, True)),
        ("alter function vivarium_webhook.post_event() security invoker", Webhook(URL, False, True)),
        ("alter function vivarium_webhook.post_event() reset search_path", Webhook(URL, False, True)),
        (
            "create or replace function vivarium_webhook.post_event() returns trigger language plpgsql"
            " security definer set search_path = '' as 'begin return null; end'",
            Webhook(URL, False, True),
        ),
        ("delete from vault.secrets", Webhook(URL, True, False)),
        ("select vault.update_secret(id, 'other') from vault.secrets", Webhook(URL, True, False)),
    ],
)
def test_what_was_changed_is_found(with_webhook: str, database_superuser, change: str, expected: Webhook):
    database_superuser.execute(change)

    assert webhook.find(with_webhook, SECRET) == expected


def test_a_trigger_for_another_bucket_is_found(with_webhook: str, settings):
    settings.STORAGES = {
        **settings.STORAGES,
        "uploads": {**settings.STORAGES["uploads"], "OPTIONS": {"bucket": "arriving", "incoming": True}},
    }

    assert webhook.find(with_webhook, SECRET) == Webhook(URL, is_as_shipped=False, has_secret=True)


def test_a_project_without_the_extensions_is_told(webhook_database: str, database_superuser):
    database_superuser.execute("alter function net.http_post rename to get")
    try:
        with pytest.raises(PolicyError, match="Enable the extensions pg_net, pgcrypto and supabase_vault"):
            webhook.apply(webhook_database, URL, SECRET)
    finally:
        database_superuser.execute("alter function net.get rename to http_post")

    assert webhook.find(webhook_database, SECRET) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://api.zoo.example.org/api/v1/webhooks/storage/",
        "https://api.zoo.example.org",
        "https://api.zoo.example.org/",
        "https://user:hush@api.zoo.example.org/api/v1/webhooks/storage/",
        "https://api.zoo.example.org/it's/",
        "https://api.zoo.example.org/$function$/",
        "ftp://api.zoo.example.org/storage/",
        "api.zoo.example.org/storage/",
    ],
)
def test_a_url_that_is_of_no_use_is_refused(url: str):
    with pytest.raises(ValueError, match="It must"):
        webhook.check_url(url)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000", "host.docker.internal:8000"]
)
def test_this_machine_needs_no_https(host: str):
    url = f"http://{host}/api/v1/webhooks/storage/"

    assert webhook.check_url(url) == url
