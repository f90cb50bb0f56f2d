"""The cast: alice owns, bob is a stranger, curator is staff, nobody has no token.

At the admin, `Keeper` is somebody who is logged in.
"""

from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from django.contrib.auth.models import Permission, User
from django.http.response import HttpResponseBase
from django.test import Client
from django.utils import timezone

from api.auth.development_tokens import development_token, member_id
from api.demo.drawing import pdf
from api.models import Upload
from storage.errors import StorageUnavailable
from tests.support.described import DescribedClient

PDF = pdf("Feeding plan", "Sprat, twice a day.")


class Caller:
    """A client of the API with somebody's token, or none."""

    def __init__(self, email: str = "", role: str = "", **headers: str) -> None:
        self.email = email
        token = {"authorization": f"Bearer {development_token(email, role=role)}"} if email else {}
        self.client = DescribedClient(headers={**token, **headers}, raise_request_exception=False)

    @property
    def id(self) -> UUID:
        return member_id(self.email)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(_absolute(path), query)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.client.post(_absolute(path), body, content_type="application/json", **options)

    def put(self, path: str, body: Any = None) -> Any:
        return self.client.put(_absolute(path), body, content_type="application/json")

    def patch(self, path: str, body: Any = None) -> Any:
        return self.client.patch(_absolute(path), body, content_type="application/json")

    def delete(self, path: str) -> Any:
        return self.client.delete(_absolute(path))

    # --- The main job, step by step ---------------------------------------------------------------

    def document(self, **fields: Any) -> dict[str, Any]:
        """A new document, without a file."""
        answer = self.post("documents/", {"title": "Feeding plan", **fields})
        assert answer.status_code == 201, answer.content
        return answer.json()

    def ticket(self, document: dict[str, Any], content: bytes = PDF, **announced: Any) -> dict[str, Any]:
        """A ticket for a file of this document."""
        answer = self.post(f"documents/{document['id']}/upload-url/", announcement(content, **announced))
        assert answer.status_code == 201, answer.content
        return answer.json()

    def complete(self, ticket: dict[str, Any]) -> Any:
        return self.post(ticket["complete_url"])

    def document_with_file(self, content: bytes = PDF, **fields: Any) -> dict[str, Any]:
        """A document whose file was sent and verified."""
        document = self.document(**fields)
        ticket = self.ticket(document, content)
        assert send(ticket, content).status_code == 200
        answer = self.complete(ticket)
        assert answer.status_code == 200, answer.content
        return self.get(f"documents/{document['id']}/").json()

    def download_url(self, document: dict[str, Any], **query: str) -> str:
        answer = self.get(f"documents/{document['id']}/download-url/", **query)
        assert answer.status_code == 200, answer.content
        return answer.json()["url"]


class Keeper:
    """Somebody at the admin, with these permissions: `view_species`, or `*` for all."""

    def __init__(self, name: str, *permissions: str, **options: Any) -> None:
        self.user, _ = User.objects.get_or_create(
            username=name, defaults={"is_staff": True, "is_superuser": "*" in permissions}
        )
        self.user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        self.client = Client(raise_request_exception=False, **options)
        self.client.force_login(self.user)

    def get(self, path: str, **query: Any) -> Any:
        return self.client.get(f"/admin/{path}", query)

    def post(self, path: str, form: Any = None, **options: Any) -> Any:
        return self.client.post(f"/admin/{path}", form or {}, **options)

    def ask(self, path: str, body: Any = None, **options: Any) -> Any:
        """As the admin's script asks."""
        where = path if path.startswith("/") else f"/admin/{path}"
        return self.client.post(where, body or {}, content_type="application/json", **options)

    def form(self, path: str) -> dict[str, Any]:
        """What a browser would send back of this form, if nothing were changed."""
        page = self.get(path).context
        sent: dict[str, Any] = {}
        for inline in page["inline_admin_formsets"]:
            for form in (inline.formset.management_form, *inline.formset.forms):
                sent |= _sent_back(form)
        return sent | _sent_back(page["adminform"].form)

    def save(self, path: str, **changes: Any) -> Any:
        """Open the form, change these fields, save."""
        form = self.form(path) | changes
        return self.post(path, {name: value for name, value in form.items() if value is not None})


def _sent_back(form: Any) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    for bound in form:
        value = bound.value()
        if bound.field.show_hidden_initial:
            many = ",".join(map(str, value)) if isinstance(value, list) else value
            sent[bound.html_initial_name] = "" if many is None else str(many)
        if value is not None and value is not False:
            sent[bound.html_name] = value
    return sent


def announcement(content: bytes = PDF, **changes: Any) -> dict[str, Any]:
    """What a client says of a file before it sends it."""
    plain = {"filename": "guía.pdf", "content_type": "application/pdf", "size": len(content)}
    return {**plain, "sha256": sha256(content).hexdigest(), **changes}


def send(ticket: dict[str, Any], content: bytes = PDF, **changes: str) -> HttpResponseBase:
    """PUT the file where the ticket says, as a stranger with nothing but the ticket would."""
    headers = {**ticket["headers"], **changes}
    content_type = headers.pop("content-type")
    return Client().put(_relative(ticket["url"]), content, content_type=content_type, headers=headers)


def expire(*tickets: dict[str, Any]) -> None:
    """Let these tickets be past their time."""
    ids = [ticket["id"] for ticket in tickets]
    Upload.objects.filter(pk__in=ids).update(expires_at=timezone.now() - timedelta(seconds=1))


def down(*args: Any, **options: Any) -> None:
    """What a call to a store does that does not answer."""
    raise StorageUnavailable("down")


def fetch(url: str, **headers: str) -> Any:
    """GET a signed URL with nothing but the URL, and read it to the end."""
    response: Any = Client().get(_relative(url), headers=headers)
    response.body = response.getvalue()
    return response


def body(response: Any) -> bytes:
    return response.body


def code(response: Any, *members: str) -> str:
    """The code of a refusal, which must be a whole problem, with these further members."""
    assert response.headers["Content-Type"] == "application/problem+json", response.content
    problem = response.json()
    assert problem.keys() == {"type", "title", "status", "detail", "code", "errors", *members}
    assert problem["status"] == response.status_code
    return problem["code"]


def _absolute(path: str) -> str:
    """Paths are written below /api/v1/; whole URLs are taken as the API gave them."""
    if path.startswith("http"):
        return _relative(path)
    return path if path.startswith("/") else f"/api/v1/{path}"


def _relative(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path
