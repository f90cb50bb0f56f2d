"""The same API with `STORAGE=supabase`: a second server keeps its files in the first, through a proxy."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from storage.local.objects import LocalObjects
from tests.api.uploads.test_races import prepare, served
from tests.support.cast import PDF
from tests.support.proxy import Proxy, lost, reset, says
from tests.support.server import Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.url) as running:
        yield running


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    return server.service_key()


@pytest.fixture(scope="module")
def api(tmp_path_factory, server: Server, proxy: Proxy, key: str) -> Iterator[Server]:
    settings = {
        "STORAGE": "supabase",
        "SUPABASE_URL": proxy.url,
        "SUPABASE_SECRET_KEY": key,
        "SUPABASE_JWT_ISSUER": f"{server.url}/auth/v1",
    }
    with Server(tmp_path_factory.mktemp("api"), **settings) as running:
        yield running
        assert not running.media.exists()
        assert key not in running.log.read_text()


@pytest.fixture
def alice(api: Server, proxy: Proxy) -> Iterator[httpx.Client]:
    yield api.client("alice-on-supabase@example.org")
    proxy.orders.clear()


@pytest.fixture
def objects(settings, server: Server) -> Any:
    """Every key of a bucket, what is on its way included."""
    settings.MEDIA_ROOT = str(server.media)
    return lambda bucket, owner: {key for key in LocalObjects(bucket).walk() if owner in key}


def path(document: dict[str, Any], act: str = "") -> str:
    return f"/api/v1/documents/{document['id']}/{act}"


def with_file(alice: httpx.Client) -> dict[str, Any]:
    document, ticket = prepare(alice)
    assert alice.post(ticket["complete_url"]).status_code == 200
    return document


def code(answer: httpx.Response) -> str:
    return answer.json()["code"]


def test_a_ticket_is_carried_to_completion(alice, proxy, objects):
    document, ticket = prepare(alice)
    assert ticket["url"].startswith(f"{proxy.url}/storage/v1/object/upload/sign/uploads/")

    completed = alice.post(ticket["complete_url"])

    assert (completed.status_code, completed.json()["state"]) == (200, "completed")
    assert alice.post(ticket["complete_url"]).json() == completed.json()
    assert served(alice, document) == PDF
    assert alice.get(path(document)).json()["file"]["size"] == len(PDF)
    alice.delete(path(document))
    assert objects("documents", document["owner"]["id"]) == objects("uploads", ticket["id"]) == set()


@pytest.mark.parametrize("act", ["visibility", "revoke"])
def test_a_new_key_ends_every_url_handed_out_before(alice, objects, act):
    document = with_file(alice)
    before = alice.get(path(document, "download-url/")).json()["url"]
    assert httpx.get(before).content == PDF

    if act == "visibility":
        answer = alice.patch(path(document), json={"visibility": "authenticated"})
    else:
        answer = alice.post(path(document, "revoke-urls/"))

    assert answer.status_code in (200, 204)
    assert httpx.get(before).status_code == 400
    assert served(alice, document) == PDF
    [key] = objects("documents", document["owner"]["id"])
    assert key.startswith("shared/") is (act == "visibility")
    alice.delete(path(document))


def test_many_urls_are_one_call(alice, proxy):
    documents = [with_file(alice) for _ in range(3)]
    before = proxy.count("POST /object/sign")

    asked = {"ids": [document["id"] for document in documents]}
    results = alice.post("/api/v1/documents/download-urls/", json=asked).json()["results"]

    assert proxy.count("POST /object/sign") == before + 1
    assert [httpx.get(result["url"]).content for result in results] == [PDF] * 3
    for document in documents:
        alice.delete(path(document))


@pytest.mark.parametrize("fault", [reset, says(503), says(502, b"<html>")], ids=["reset", "503", "HTML"])
def test_a_ticket_waits_until_the_storage_is_back(alice, proxy, fault, objects):
    document, ticket = prepare(alice)
    proxy.fail(fault)

    answer = alice.post(ticket["complete_url"])

    assert (answer.status_code, code(answer)) == (503, "storage_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert alice.get(f"/api/v1/uploads/{ticket['id']}/").json()["state"] == "pending"
    assert alice.get(path(document)).json()["file"] is None
    proxy.orders.clear()
    assert alice.post(ticket["complete_url"]).status_code == 200
    assert served(alice, document) == PDF
    alice.delete(path(document))
    assert objects("documents", document["owner"]["id"]) == set()


def test_a_completion_whose_move_nobody_heard_of_is_finished_by_the_next(alice, proxy):
    document, ticket = prepare(alice)
    proxy.fail(lost, on="POST /object/move", times=1)

    first, second = alice.post(ticket["complete_url"]), alice.post(ticket["complete_url"])

    assert (first.status_code, second.status_code) == (503, 200)
    assert served(alice, document) == PDF
    alice.delete(path(document))


@pytest.mark.parametrize("fault", [lost, reset], ids=["done", "not done"])
def test_a_revocation_that_breaks_changes_nothing_and_leaves_nothing(alice, proxy, fault, objects):
    document = with_file(alice)
    before = objects("documents", document["owner"]["id"])
    proxy.fail(fault, on="POST /object/copy", times=1)

    answer = alice.post(path(document, "revoke-urls/"))

    assert (answer.status_code, code(answer)) == (503, "storage_unavailable")
    assert objects("documents", document["owner"]["id"]) == before
    assert served(alice, document) == PDF
    assert alice.post(path(document, "revoke-urls/")).status_code == 204
    alice.delete(path(document))


@pytest.mark.parametrize("act", ["upload-url/", "download-url/"])
def test_urls_that_cannot_be_signed_now_can_be_asked_for_later(alice, proxy, act):
    document = with_file(alice)
    proxy.fail(says(500))
    announced = {"filename": "a.pdf", "content_type": "application/pdf", "size": 10}

    answer = (
        alice.get(path(document, act))
        if act == "download-url/"
        else alice.post(path(document, act), json=announced)
    )

    assert (answer.status_code, code(answer)) == (503, "storage_unavailable")
    proxy.orders.clear()
    alice.delete(path(document))


def test_the_probe_says_that_the_storage_is_down(api, alice, proxy):
    proxy.fail(says(503))
    down = httpx.get(f"{api.url}/readyz")
    proxy.orders.clear()

    assert (down.status_code, httpx.get(f"{api.url}/readyz").status_code) == (503, 200)
