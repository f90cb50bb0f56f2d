"""The doctor on the storage webhook: whether Storage reports new files, and with which secret."""

import psycopg
import pytest

from storage.supabase import webhook
from storage.supabase.doctor.webhook import check_webhook
from tests.storage.project import WEBHOOK_SECRET as SECRET
from tests.storage.project import WEBHOOK_URL as URL


def found(database: str) -> tuple[str, str, str]:
    [finding] = check_webhook(database)
    assert finding.name == "webhook"
    assert SECRET not in finding.what + finding.cure
    return finding.level, finding.what, finding.cure


@pytest.fixture(autouse=True)
def _secret(settings):
    settings.STORAGE_WEBHOOK_SECRET = SECRET


def test_it_is_in_place(with_webhook: str):
    assert found(with_webhook) == ("ok", f"Storage reports new files to {URL}.", "")


def test_there_is_none(webhook_database: str, settings):
    level, what, cure = found(webhook_database)
    assert (level, what) == (
        "warning",
        "Storage does not report new files: tickets without a callback are completed by the sweep.",
    )
    assert "setup_supabase --webhook" in cure

    settings.STORAGE_WEBHOOK_SECRET = ""
    assert found(webhook_database)[0] == "skipped"


def test_it_reports_to_a_server_that_does_not_listen(with_webhook: str, settings):
    settings.STORAGE_WEBHOOK_SECRET = ""

    level, what, _ = found(with_webhook)

    assert (level, what) == ("warning", "Storage reports new files, but STORAGE_WEBHOOK_SECRET is not set.")


def test_it_was_changed(with_webhook: str, database_superuser: psycopg.Connection):
    database_superuser.execute("alter table storage.objects disable trigger vivarium_webhook")

    level, what, cure = found(with_webhook)

    assert (level, what) == ("problem", "The trigger or its function was changed or disabled.")
    assert "setup_supabase --webhook" in cure


def test_the_secret_is_another_one(with_webhook: str, settings):
    settings.STORAGE_WEBHOOK_SECRET = "another-secret-of-the-same-zoo"

    assert found(with_webhook)[:2] == ("problem", "The secret in Vault is not STORAGE_WEBHOOK_SECRET.")


@pytest.mark.parametrize("url", ["postgresql://postgres:hush@127.0.0.1:1/postgres", "hush"])
def test_a_database_that_cannot_be_had(url: str):
    level, what, cure = found(url)

    assert level == "problem"
    assert "hush" not in what + cure


def test_the_url_is_shown_without_its_query(webhook_database: str):
    webhook.apply(webhook_database, "https://relay.example.org/in?token=hush", SECRET)

    assert found(webhook_database)[1] == "Storage reports new files to https://relay.example.org/in."
