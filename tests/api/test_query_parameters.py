"""Query parameters: those that a request does not take are refused, on every route of the API."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from tests.api.test_schema import SCHEMA
from tests.support.cast import Caller, code
from tests.support.routes import routes

SECRET = "a secret of the storage webhook"


def operations() -> Iterator[tuple[str, str]]:
    """Each method and path of api.urls."""
    for path, view in routes():
        methods = [name for name in ("get", "post") if hasattr(view.cls, name)]
        for method in getattr(view, "actions", None) or methods:
            yield method, path


@pytest.mark.parametrize(("method", "path"), list(operations()))
def test_every_route_refuses_what_it_does_not_take(method: str, path: str, curator: Caller, settings):
    settings.STORAGE_WEBHOOK_SECRET = SECRET
    url = f"/api/v1/{path.format(pk=uuid4(), slug='any')}?nonsense=1"
    webhook = {"authorization": f"Bearer {SECRET}"} if "webhooks" in path else {}

    answer = getattr(curator.client, method)(url, content_type="application/json", headers=webhook)

    assert code(answer) == "invalid"
    [error] = answer.json()["errors"]
    assert (error["pointer"], error["code"]) == ("#/nonsense", "unknown")


@pytest.mark.parametrize("path", [path for path, methods in SCHEMA["paths"].items() if "/api/v1/" in path])
def test_every_parameter_of_the_schema_is_taken(path: str, curator: Caller):
    described = [
        each for each in SCHEMA["paths"][path].get("get", {}).get("parameters", []) if each["in"] == "query"
    ]
    url = path.format(id=uuid4(), slug="any")

    answer = curator.get(url, **{each["name"]: "" for each in described})

    problem = answer.json() if answer.status_code >= 400 else {"errors": []}
    assert "unknown" not in {error["code"] for error in problem["errors"]}


def test_a_misspelt_filter_is_refused_with_those_that_exist(nobody: Caller):
    answer = nobody.get("exhibitions/", opn_on="2026-12-24")

    [error] = answer.json()["errors"]
    assert error == {
        "pointer": "#/opn_on",
        "code": "unknown",
        "detail": "Unknown parameter 'opn_on': choose from page, page_size, cursor, updated_after, "
        "published, open_on, search, ordering.",
    }
    assert answer.json()["detail"] == error["detail"]


def test_a_request_that_takes_none_says_so(alice: Caller):
    answer = alice.post("documents/?title=x", {"title": "Feeding plan"})

    assert answer.json()["errors"][0]["detail"] == "Unknown parameter 'title': this request takes none."
    assert alice.get("documents/").json()["count"] == 0


def test_a_parameter_that_is_repeated_is_refused(alice: Caller):
    answer = alice.get("documents/?page=1&page=2")

    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [("#/page", "repeated")]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("%00=1", "#/%00"),
        ("a/b~c=1", "#/a~1b~0c"),
        ("=1", "#/"),
        ("%ff=1", "#/%EF%BF%BD"),
        ("x" * 3000, f"#/{'x' * 100}"),
    ],
)
def test_whatever_its_name_is_the_pointer_is_one(query: str, pointer: str, alice: Caller):
    answer = alice.get(f"documents/?{query}")

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == pointer


def test_many_unknown_parameters_get_a_short_answer(alice: Caller):
    answer = alice.get("documents/?" + "&".join(f"x{number}" for number in range(900)))

    assert len(answer.json()["errors"]) == 10


def test_who_is_not_allowed_is_told_that_first(nobody: Caller):
    assert code(nobody.get("documents/", nonsense="1")) == "not_authenticated"


def test_a_method_that_is_not_there_is_405(alice: Caller):
    assert code(alice.put("uploads/?nonsense=1")) == "method_not_allowed"
    assert code(alice.put("webhooks/storage/?nonsense=1")) != "invalid"
