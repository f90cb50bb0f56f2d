"""A ticket's file sent in parts, to the local store: no more than declared, nothing left behind."""

from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client

from tests.support.cast import PDF, Caller, code, send

PART = "application/offset+octet-stream"


def begin(ticket: dict[str, Any], length: int = len(PDF)) -> Any:
    """Announce the file as tus-js-client does."""
    resumable = ticket["resumable"]
    pairs = (f"{name} {b64encode(value.encode()).decode()}" for name, value in resumable["metadata"].items())
    headers = {
        **resumable["headers"],
        "tus-resumable": "1.0.0",
        "upload-length": str(length),
        "upload-metadata": ",".join(pairs),
    }
    return Client().post(urlsplit(resumable["endpoint"]).path, headers=headers)


def send_part(ticket: dict[str, Any], begun: Any, content: bytes = PDF, offset: int = 0) -> Any:
    headers = {**ticket["resumable"]["headers"], "tus-resumable": "1.0.0", "upload-offset": str(offset)}
    path = urlsplit(begun.headers["Location"]).path
    return Client().patch(path, content, content_type=PART, headers=headers)


def parts(settings: Any) -> list[Path]:
    return [path for path in (Path(settings.MEDIA_ROOT) / ".objects" / "parts").rglob("*") if path.is_file()]


def test_a_file_in_parts_is_recorded(alice: Caller):
    ticket = alice.ticket(alice.document())

    begun = begin(ticket)
    send_part(ticket, begun, PDF[:10])
    send_part(ticket, begun, PDF[10:], 10)

    assert alice.complete(ticket).status_code == 200


def test_no_more_is_taken_than_was_declared(alice: Caller, settings):
    """Whatever the bucket would take."""
    ticket = alice.ticket(alice.document())

    assert begin(ticket, len(PDF) + 1).status_code == 413

    assert parts(settings) == []
    assert code(alice.complete(ticket)) == "object_missing"


def test_less_than_was_declared_is_for_the_verification_to_refuse(alice: Caller):
    ticket = alice.ticket(alice.document())
    send_part(ticket, begin(ticket, 5), PDF[:5])

    answer = alice.complete(ticket)

    assert (answer.status_code, code(answer)) == (422, "size_mismatch")


def give_up(alice: Caller, ticket: dict[str, Any]) -> None:
    assert alice.delete(f"uploads/{ticket['id']}/").status_code == 204


def be_rejected(alice: Caller, ticket: dict[str, Any]) -> None:
    send(ticket, b"x" * len(PDF))
    assert alice.complete(ticket).status_code == 422


def be_done(alice: Caller, ticket: dict[str, Any]) -> None:
    send(ticket)
    assert alice.complete(ticket).status_code == 200


def erase(alice: Caller, ticket: dict[str, Any]) -> None:
    assert alice.delete("profiles/me/").status_code == 200


@pytest.mark.parametrize("end", [give_up, be_rejected, be_done, erase])
def test_what_arrived_of_a_file_goes_when_its_ticket_is_over(
    end: Callable[[Caller, dict[str, Any]], None], alice: Caller, settings
):
    ticket = alice.ticket(alice.document())
    begun = begin(ticket)
    send_part(ticket, begun, PDF[:10])
    assert parts(settings)

    end(alice, ticket)

    assert parts(settings) == []
    assert send_part(ticket, begun, PDF[10:], 10).status_code == 404


def test_the_parts_stay_while_the_ticket_waits_for_the_rest(alice: Caller):
    ticket = alice.ticket(alice.document())
    begun = begin(ticket)
    send_part(ticket, begun, PDF[:10])

    assert code(alice.complete(ticket)) == "object_missing"

    assert send_part(ticket, begun, PDF[10:], 10).status_code == 204
    assert alice.complete(ticket).status_code == 200
