"""Many callers at once, in several processes, on SQLite; and a server that dies in the middle."""

import random
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import httpx
import pytest

from tests.support.cast import PDF, announcement
from tests.support.server import Server


def prepare(client: httpx.Client, content: bytes = PDF, document: dict | None = None) -> tuple[dict, dict]:
    """A document, and a ticket for it whose file is sent."""
    document = document or client.post("/api/v1/documents/", json={"title": "Race"}).json()
    ticket = client.post(f"/api/v1/documents/{document['id']}/upload-url/", json=announcement(content)).json()
    sent = httpx.put(ticket["url"], content=content, headers=ticket["headers"])
    assert sent.status_code == 200, sent.text
    return document, ticket


def served(client: httpx.Client, document: dict) -> bytes:
    url = client.get(f"/api/v1/documents/{document['id']}/download-url/").json()["url"]
    return httpx.get(url).raise_for_status().content


def objects_of(server: Server, document: dict) -> list[Path]:
    return list((server.media / "documents").rglob(f"{document['owner']['id']}/*/*"))


def test_twenty_completions_at_once_have_one_effect_and_the_same_answer(server: Server):
    alice = server.client("twenty@example.org")
    document, ticket = prepare(alice)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: alice.post(ticket["complete_url"]), range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert served(alice, document) == PDF
    assert len(objects_of(server, document)) == 1


def test_twenty_refusals_at_once_are_the_same(server: Server):
    alice = server.client("refused@example.org")
    document, ticket = prepare(alice)
    small = {**announcement(), "size": 1}
    ticket = alice.post(f"/api/v1/documents/{document['id']}/upload-url/", json=small).json()
    httpx.put(ticket["url"], content=PDF, headers=ticket["headers"])

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: alice.post(ticket["complete_url"]), range(20)))

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(422, "size_mismatch")}
    assert len({answer.text for answer in answers}) == 1
    assert objects_of(server, document) == []


def test_revocations_and_changes_of_visibility_at_once_all_succeed(server: Server):
    alice = server.client("parallel@example.org")
    document, ticket = prepare(alice)
    alice.post(ticket["complete_url"])
    path = f"/api/v1/documents/{document['id']}/"
    before = alice.get(f"{path}download-url/").json()["url"]
    acts = [
        lambda: alice.post(f"{path}revoke-urls/"),
        lambda: alice.patch(path, json={"visibility": "authenticated"}),
        lambda: alice.patch(path, json={"visibility": "private"}),
    ] * 4

    with ThreadPoolExecutor(len(acts)) as pool:
        answers = list(pool.map(lambda act: act(), acts))

    assert {answer.status_code for answer in answers} == {200, 204}
    assert httpx.get(before).status_code == 400
    assert served(alice, document) == PDF
    assert len(objects_of(server, document)) == 1
    alice.delete(path)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["server", "server_on_postgresql"])
def test_completions_puts_changes_and_deletions_at_once(where: str, request):
    """Whatever wins, the row and the folder agree: one object for a row with a file, none otherwise."""
    server: Server = request.getfixturevalue(where)
    alice = server.client("storm@example.org")
    dice = random.Random(7)
    for round_ in range(15):
        document, first = prepare(alice)
        _, second = prepare(alice, PDF + b"%second", document)
        path = f"/api/v1/documents/{document['id']}/"
        acts = [
            lambda first=first: alice.post(first["complete_url"]),
            lambda second=second: alice.post(second["complete_url"]),
            lambda first=first: httpx.put(first["url"], content=PDF, headers=first["headers"]),
            lambda path=path: alice.patch(path, json={"visibility": "authenticated"}),
            lambda path=path: alice.patch(path, json={"visibility": "private"}),
            lambda first=first: alice.delete(f"/api/v1/uploads/{first['id']}/"),
            lambda path=path: alice.delete(f"{path}file/"),
        ] * 2
        if round_ % 3 == 0:
            acts.append(lambda path=path: alice.delete(path))
        dice.shuffle(acts)

        with ThreadPoolExecutor(len(acts)) as pool:
            answers = list(pool.map(lambda act: act(), acts))

        assert not [answer for answer in answers if answer.status_code >= 500]
        found = objects_of(server, document)
        after = alice.get(path)
        if after.status_code == 404:
            assert found == []
            continue
        if after.json()["file"]:
            assert served(alice, document) in (PDF, PDF + b"%second")
        assert len(found) == (1 if after.json()["file"] else 0)
        alice.delete(path)
        assert objects_of(server, document) == []


@pytest.mark.slow
def test_killed_at_any_moment_the_next_call_finishes(tmp_path):
    """The server is killed while it completes; started again, the same call ends well."""
    with Server(tmp_path) as server:
        alice = server.client("alice@example.org")
        for delay in (0.0, 0.004, 0.008, 0.016):
            document, ticket = prepare(alice)
            with ThreadPoolExecutor(1) as pool:
                pending = pool.submit(alice.post, ticket["complete_url"])
                wait([pending], timeout=delay)
                server.kill()
            assert pending.exception() is None or isinstance(pending.exception(), httpx.HTTPError)
            server.start()

            answer = alice.post(ticket["complete_url"])

            assert answer.status_code == 200, answer.text
            assert served(alice, document) == PDF
            alice.delete(f"/api/v1/documents/{document['id']}/")
