"""No request at the admin, however malformed, is an error of the server."""

import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.db import transaction
from django.test import Client

from tests.api.admin_site.test_permissions import APPS, KINDS, rows  # noqa: F401  (a fixture)
from tests.support.cast import Keeper

VALUES = [
    *(
        "",
        "x",
        "0",
        "-1",
        "9" * 30,
        "9" * 400,
        "1e999999",
        "NaN",
        "\0",
        "%",
        "é",
        "²",
        "(",
        "'\"",
        "a" * 3000,
    ),
    *(
        "2026-13-45",
        "0001-01-01",
        "9999-12-31",
        "0001-01-01T00:00:00-23:00",
        "a,b",
        "-1.2.x",
        "{}",
        "__all__",
    ),
    "00000000-0000-0000-0000-000000000000",
]
PARAMETERS = [
    *("q", "p", "o", "e", "all", "_popup", "_to_field", "_changelist_filters", "_facets", "state", "bucket"),
    *("published__exact", "conservation_status__exact", "pictures", "file__isempty", "taxonomic_class"),
    *(
        "taxonomic_class__isnull",
        "opens_on__gte",
        "opens_on__lt",
        "closes_on__isnull",
        "audience",
        "currency",
    ),
    *("visibility__exact", "updated_at__gte", "updated_at__lt", "created_at__gte", "owner__id__exact"),
    *("is_staff__exact", "groups__id__exact", "groups__isnull", "avatar__isempty"),
]
FIELDS = [
    *("common_name", "scientific_name", "title", "opens_on", "closes_on", "species", "initial-species"),
    *("initial-opens_on", "price", "initial-price", "currency", "duration_minutes", "capacity", "username"),
    *("password1", "name", "permissions", "groups", "date_joined_0", "date_joined_1", "_popup", "_to_field"),
    *("_pictures", "pictures-TOTAL_FORMS", "pictures-INITIAL_FORMS", "pictures-0-id", "pictures-0-position"),
    *("initial-pictures-0-position", "pictures-0-alt_en", "pictures-0-licence", "pictures-0-DELETE"),
]


def requests(keeper: Keeper, rows: dict[str, Any]) -> Iterator[tuple[Any, ...]]:  # noqa: F811
    """A client, a method, a path, and what is sent."""
    chance, client = random.Random(1), keeper.client
    for kind in KINDS:
        below = f"/admin/{APPS.get(kind, 'api')}/{kind}/"
        row = f"{below}{rows[kind].pk}/"
        for name in PARAMETERS:
            yield from ((client, "get", below, {name: value}) for value in chance.sample(VALUES, 5))
        for value in VALUES:
            action = chance.choice(["delete_selected", "make_qr_codes", "x", value])
            chosen = {"action": action, "_selected_action": [value], "index": value}
            yield client, "post", below, chosen | chance.choice([{}, {"post": "yes"}, {"select_across": "1"}])
            form = dict.fromkeys(FIELDS, value)
            yield client, "get", f"{below}add/", form
            yield client, "post", f"{below}add/", form
            yield client, "post", f"{row}change/", form
            yield (
                client,
                "get",
                f"{row}{chance.choice(['change', 'history', 'delete'])}/",
                {"p": value, "_to_field": value},
            )
            for page in (
                "change",
                "history",
                "delete",
                "download",
                "password",
                "ticket",
                "ticket/x/complete",
            ):
                yield client, chance.choice(["get", "post"]), f"{below}{quote(value, safe='')}/{page}/", {}
    autocomplete = {"app_label": "api", "model_name": "exhibition", "field_name": "species", "term": ""}
    for value in VALUES:
        for name in ("term", "page", "app_label", "model_name", "field_name"):
            yield client, "get", "/admin/autocomplete/", autocomplete | {name: value}
        passwords = dict.fromkeys(["old_password", "new_password1", "new_password2"], value)
        yield client, "post", "/admin/password_change/", passwords
        login = {"username": value, "password": value, "next": value}
        yield Client(raise_request_exception=False), "post", "/admin/login/", login
        yield client, "get", f"/admin/r/{quote(value, safe='')}/{quote(value, safe='')}/", {}
        yield client, "get", f"/admin/{quote(value, safe='')}/", {"next": value}


def answer_to(client: Client, method: str, path: str, sent: dict[str, Any]) -> Any:
    """Send a request, and undo what it changed: on PostgreSQL, a failed query stops the whole transaction."""
    before = transaction.savepoint()
    try:
        return getattr(client, method)(path, sent)
    finally:
        transaction.savepoint_rollback(before)


@pytest.mark.slow
@pytest.mark.database
def test_no_request_is_an_error_of_the_server(rows: dict[str, Any]):  # noqa: F811
    failed = [
        (answer.status_code, method, path[:80], str(sent)[:200])
        for client, method, path, sent in requests(Keeper("keeper", "*"), rows)
        if (answer := answer_to(client, method, path, sent)).status_code >= 500
    ]

    assert not failed
