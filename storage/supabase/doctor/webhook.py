"""Checks that the project's database reports new objects to this API."""

from collections.abc import Iterator

from django.conf import settings

from storage.findings import Finding, ok, problem, redact_url, warning
from storage.supabase import webhook
from storage.supabase.policies import PolicyError
from storage.supabase.webhook import Webhook

RUN_SETUP = "Run `manage.py setup_supabase --webhook URL --database URL`."


def check_webhook(database: str) -> Iterator[Finding]:
    """Compare the webhook with Vivarium's. `database`: the URL of the database. It appears in no finding."""
    try:
        found = webhook.find(database, settings.STORAGE_WEBHOOK_SECRET)
    except PolicyError as error:
        yield problem("webhook", f"The webhook could not be read: {error}", "Correct the URL of --database.")
        return
    yield _missing() if found is None else _in_place(found)


def _missing() -> Finding:
    what = "Storage does not report new files: tickets without a callback are completed by the sweep."
    if not settings.STORAGE_WEBHOOK_SECRET:
        return Finding("webhook", "skipped", f"{what} STORAGE_WEBHOOK_SECRET is not set.")
    return warning("webhook", what, RUN_SETUP)


def _in_place(found: Webhook) -> Finding:
    if not settings.STORAGE_WEBHOOK_SECRET:
        cure = "Set it to the secret in Vault, or drop the trigger vivarium_webhook."
        return warning("webhook", "Storage reports new files, but STORAGE_WEBHOOK_SECRET is not set.", cure)
    if not found.is_as_shipped:
        return problem("webhook", "The trigger or its function was changed or disabled.", RUN_SETUP)
    if not found.has_secret:
        return problem("webhook", "The secret in Vault is not STORAGE_WEBHOOK_SECRET.", RUN_SETUP)
    return ok("webhook", f"Storage reports new files to {redact_url(found.url)}.")
