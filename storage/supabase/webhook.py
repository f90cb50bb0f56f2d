"""The storage webhook of a Supabase project: a trigger that reports new objects, and its secret in Vault.

The template `sql/webhook.sql` has the trigger and its function. The function is in a schema of its own,
because the role `postgres` of a hosted project cannot create functions in the schema `storage`.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Any, LiteralString
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from storage.base import incoming_store
from storage.supabase.policies import SQL_FOLDER, connect

NAME = "vivarium_webhook"  # of the trigger, of the schema of its function, and of the secret in Vault
SECRET_TO_FILL_IN = "the value of STORAGE_WEBHOOK_SECRET"
#: A container of a local stack reaches its host by the last of these names.
HOSTS_WITHOUT_HTTPS = {"localhost", "127.0.0.1", "::1", "host.docker.internal"}

TRIGGER: LiteralString = """
select tgargs, tgenabled = 'O', pg_get_triggerdef(trigger.oid), prosrc, prosecdef, proconfig
from pg_trigger trigger join pg_proc function on function.oid = tgfoid
where tgrelid = 'storage.objects'::regclass and tgname = %s
"""
SECRET: LiteralString = (
    "select encode(sha256(convert_to(decrypted_secret, 'UTF8')), 'hex')"  # the secret stays in the database
    " from vault.decrypted_secrets where name = %s"
)


@dataclass(frozen=True, slots=True)
class Webhook:
    """The webhook in a database. `url`: where it sends its messages.

    `is_as_shipped`: trigger and function are those of the template. `has_secret`: Vault has the secret of the
    settings.
    """

    url: str
    is_as_shipped: bool
    has_secret: bool


def check_url(url: str) -> str:
    """Return the URL. Raises ValueError if no message can or should be sent there."""
    if not re.fullmatch(r"https?://[\w.:\[\]-]+/[\w./?&=%~+-]+", url, re.ASCII):
        raise ValueError("It must be a URL such as https://api.zoo.example.org/api/v1/webhooks/storage/.")
    if url.startswith("http:") and urlsplit(url).hostname not in HOSTS_WITHOUT_HTTPS:
        raise ValueError("It must start with https://: the messages name the uploads of members.")
    return url


def render(url: str) -> str:
    """Return the whole script for the SQL editor, without the secret. It is safe to run again."""
    script = sql.SQL(
        "begin;\n\n{trigger}\n\n"
        "-- The secret is not printed: put it in place of the text in quotes after `values`.\n"
        "{secret}\n\ncommit;\n"
    ).format(
        trigger=_trigger(url),
        secret=_fill_template("webhook_secret", secret=sql.Literal(SECRET_TO_FILL_IN)),
    )
    return script.as_string(None)


def apply(database: psycopg.Connection[Any] | str, url: str, secret: str) -> None:
    """Create or replace the webhook in one transaction. `database`: an open connection, or a URL.

    Raises PolicyError.
    """
    with connect(database) as connection, connection.transaction():
        connection.execute(_trigger(url))
        # As a parameter, so that the log of the database's statements has no secret.
        connection.execute(_fill_template("webhook_secret", secret=sql.Placeholder()), [secret])


def find(database: psycopg.Connection[Any] | str, secret: str) -> Webhook | None:
    """Return the webhook in the database, None if there is none. Changes nothing. Raises PolicyError."""
    with (
        connect(database) as connection,
        connection.transaction(force_rollback=True),
        connection.cursor(row_factory=tuple_row) as cursor,
    ):
        row = cursor.execute(TRIGGER, [NAME]).fetchone()
        if row is None:
            return None
        arguments, is_enabled, definition, source, is_definer, config = row
        url = bytes(arguments).rstrip(b"\0").decode()
        is_as_shipped = (definition, source, is_definer, config) == (
            _definition(url),
            _function_body(),
            True,
            ['search_path=""'],
        )
        return Webhook(url, is_enabled and is_as_shipped, _has_secret(cursor, secret))


def _has_secret(cursor: psycopg.Cursor[Any], secret: str) -> bool:
    if cursor.execute("select to_regclass('vault.decrypted_secrets') is null").fetchone() == (True,):
        return False
    expected = hashlib.sha256(secret.encode()).hexdigest()
    return cursor.execute(SECRET, [NAME]).fetchone() == (expected,)


def _definition(url: str) -> str:
    """Return the definition of the trigger as PostgreSQL prints it."""
    values = {"incoming": sql.Literal(incoming_store().bucket), "url": sql.Literal(url)}
    return (
        sql.SQL(
            "CREATE CONSTRAINT TRIGGER vivarium_webhook AFTER INSERT OR UPDATE ON storage.objects"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((new.bucket_id = {incoming}::text))"
            " EXECUTE FUNCTION vivarium_webhook.post_event({url})"
        )
        .format(**values)
        .as_string(None)
    )


def _function_body() -> str:
    return (SQL_FOLDER / "webhook.sql").read_text().split("$function$")[1]


def _trigger(url: str) -> sql.Composed:
    incoming = sql.Literal(incoming_store().bucket)
    return _fill_template("webhook", incoming=incoming, url=sql.Literal(check_url(url)))


def _fill_template(name: str, **values: sql.Composable) -> sql.Composed:
    return sql.SQL((SQL_FOLDER / f"{name}.sql").read_text().strip()).format(**values)
