"""A client that talks to Supabase Storage with a token of its own: the statements the server sends for it."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from psycopg import Connection, errors

Claims = dict[str, Any]
Verb = Callable[[Connection[Any], str, str], bool]


def allowed(
    connection: Connection[Any], claims: Claims, bucket: str, key: str, verbs: Iterable[str] = ()
) -> set[str]:
    """The verbs, of all or of these, that the server carries out on this object. Nothing of it lasts."""
    with asking(connection, claims):
        return {name for name in verbs or VERBS if carried_out(connection, VERBS[name], bucket, key)}


def carried_out(connection: Connection[Any], verb: Verb, bucket: str, key: str) -> bool:
    try:
        with connection.transaction(force_rollback=True):
            return verb(connection, bucket, key)
    except errors.InsufficientPrivilege:  # 403
        return False
    except errors.InvalidTextRepresentation:  # 400: a policy of somebody else asks auth.uid() of an odd `sub`
        return False


@contextmanager
def asking(connection: Connection[Any], claims: Claims) -> Iterator[None]:
    """What the server says of the caller at the start of each transaction."""
    role, sub = claims.get("role") or "anon", claims.get("sub") or ""
    with connection.transaction(force_rollback=True):
        connection.execute(
            "select set_config('role', %s, true), set_config('request.jwt.claim.role', %s, true),"
            " set_config('request.jwt.claim.sub', %s, true), set_config('request.jwt.claims', %s, true),"
            " set_config('storage.allow_delete_query', 'true', true)",
            [role, role, sub, json.dumps(claims)],
        )
        yield


# --- Reading ------------------------------------------------------------------------------------------


def get(connection: Connection[Any], bucket: str, key: str) -> bool:
    """Also info, and signing one URL."""
    found = connection.execute(
        "select id, version, metadata from storage.objects where name = %s and bucket_id = %s limit 1",
        [key, bucket],
    )
    return found.fetchone() is not None


def sign_many(connection: Connection[Any], bucket: str, key: str) -> bool:
    found = connection.execute(
        "select name from storage.objects where bucket_id = %s and name = any (%s)",
        [bucket, [key, "missing"]],
    )
    return found.fetchall() == [(key,)]


def list_v1(connection: Connection[Any], bucket: str, key: str) -> bool:
    folder, slash, name = key.rpartition("/")
    rows = connection.execute(
        "select name, id from storage.search(%s, %s, 1000, %s, 0, '', 'name', 'asc')",
        [folder + slash, bucket, key.count("/") + 1],
    )
    return any(listed == name and id is not None for listed, id in rows)


def list_v2(connection: Connection[Any], bucket: str, key: str) -> bool:
    folder, slash, _ = key.rpartition("/")
    rows = connection.execute(
        "select name, id from storage.search_v2(%s, %s, 1000, %s, '')",
        [folder + slash, bucket, key.count("/") + 1],
    )
    return any(listed == key and id is not None for listed, id in rows)


# --- Writing ------------------------------------------------------------------------------------------

INSERT = (
    "insert into storage.objects (bucket_id, name, owner, owner_id, metadata, version)"
    " values (%(bucket)s, %(key)s, %(owner)s, %(owner_id)s, '{\"size\": 1}', '2')"
)


def upload(connection: Connection[Any], bucket: str, key: str) -> bool:
    """Also signing an upload, and beginning one by TUS."""
    connection.execute(INSERT, _row(connection, bucket, f"{key}.new"))
    return True


def upload_as_older_servers_do(connection: Connection[Any], bucket: str, key: str) -> bool:
    made = connection.execute(f"{INSERT} returning *", _row(connection, bucket, f"{key}.new"))
    return made.fetchone() is not None


def upsert(connection: Connection[Any], bucket: str, key: str) -> bool:
    made = connection.execute(
        f"{INSERT} on conflict (name, bucket_id) do update set metadata = excluded.metadata,"
        " version = excluded.version, owner = excluded.owner, owner_id = excluded.owner_id returning *",
        _row(connection, bucket, key),
    )
    return made.fetchone() is not None


def upsert_new(connection: Connection[Any], bucket: str, key: str) -> bool:
    return upsert(connection, bucket, f"{key}.new")


def update(connection: Connection[Any], bucket: str, key: str) -> bool:
    changed = connection.execute(
        "update storage.objects set metadata = '{}' where bucket_id = %s and name = %s returning *",
        [bucket, key],
    )
    return changed.fetchone() is not None


def move_to(other_bucket: str, other_key: str) -> Verb:
    def move(connection: Connection[Any], bucket: str, key: str) -> bool:
        if not get(connection, bucket, key):
            return False
        moved = connection.execute(
            "update storage.objects set name = %s, bucket_id = %s, version = '2', owner_id = %s"
            " where bucket_id = %s and name = %s returning *",
            [other_key, other_bucket, _sub(connection), bucket, key],
        )
        return moved.fetchone() is not None

    return move


def move(connection: Connection[Any], bucket: str, key: str) -> bool:
    return move_to(bucket, f"{key}.new")(connection, bucket, key)


def copy_to(other_bucket: str, other_key: str) -> Verb:
    def copy(connection: Connection[Any], bucket: str, key: str) -> bool:
        if not get(connection, bucket, key):
            return False
        connection.execute(INSERT, _row(connection, other_bucket, other_key))
        return True

    return copy


def copy(connection: Connection[Any], bucket: str, key: str) -> bool:
    return copy_to(bucket, f"{key}.new")(connection, bucket, key)


def delete(connection: Connection[Any], bucket: str, key: str) -> bool:
    gone = connection.execute(
        "delete from storage.objects where name = %s and bucket_id = %s returning *", [key, bucket]
    )
    return gone.fetchone() is not None


def delete_many(connection: Connection[Any], bucket: str, key: str) -> bool:
    gone = connection.execute(
        "delete from storage.objects where bucket_id = %s and name = any (%s) returning *",
        [bucket, [key, "missing"]],
    )
    return gone.fetchone() is not None


READING: dict[str, Verb] = {"get": get, "sign many": sign_many, "list v1": list_v1, "list v2": list_v2}
CREATING: dict[str, Verb] = {
    "upload": upload,
    "upload as older servers do": upload_as_older_servers_do,
    "upsert a new key": upsert_new,
    "copy": copy,
}
CHANGING: dict[str, Verb] = {
    "upsert": upsert,
    "update": update,
    "move": move,
    "delete": delete,
    "delete many": delete_many,
}
VERBS = READING | CREATING | CHANGING
ONE_A_COMMAND = ["get", "upload", "update", "delete"]  # policies tell no more apart


def _row(connection: Connection[Any], bucket: str, key: str) -> dict[str, Any]:
    """Whose the object will be: the server writes a `sub` that is no UUID into `owner_id` only."""
    sub = _sub(connection)
    try:
        owner = UUID(sub or "")
    except ValueError:
        owner = None
    return {"bucket": bucket, "key": key, "owner": owner, "owner_id": sub}


def _sub(connection: Connection[Any]) -> str | None:
    row = connection.execute("select nullif(current_setting('request.jwt.claim.sub', true), '')").fetchone()
    return row[0] if row else None
