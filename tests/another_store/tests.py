"""The main job on another store. Run by `manage.py test`, in a process with settings of its own."""

from typing import Any

from django.test import Client, TransactionTestCase

from api.auth.development_tokens import development_token
from api.models import Species
from storage.base import incoming_store
from tests.another_store.backend import OBJECTS

PDF = b"%PDF-1.4 lab document\n"


class MainJob(TransactionTestCase):
    def setUp(self) -> None:
        OBJECTS.clear()
        token = development_token("alice@example.org", role="staff")
        self.client = Client(headers={"authorization": f"Bearer {token}"})

    def post(self, path: str, body: Any = None) -> Any:
        answer = self.client.post(path, body, content_type="application/json")
        assert answer.status_code in (200, 201), answer.content
        return answer.json()

    def document(self) -> str:
        return f"/api/v1/documents/{self.post('/api/v1/documents/', {'title': 'Plan'})['id']}/"

    def send(self, resource: str, content: bytes = PDF) -> Any:
        """Ask for a ticket for this file, send the file and call back."""
        declared = {"filename": "plan.pdf", "content_type": "application/pdf", "size": len(content)}
        ticket = self.post(f"{resource}upload-url/", declared)
        assert (ticket["method"], ticket["resumable"], ticket["token"]) == ("POST", None, "")
        kind, cache = ticket["headers"]["content-type"], ticket["headers"]["cache-control"]
        incoming_store().put(ticket["path"], [content], content_type=kind, cache_control=cache)
        return self.post(ticket["complete_url"])

    def test_a_file_goes_there_and_back(self) -> None:
        document = self.document()

        assert self.send(document)["state"] == "completed"

        ((bucket, key),) = OBJECTS
        signed = self.client.get(f"{document}download-url/", {"download": ""}).json()
        assert signed["url"] == f"https://memory.example.org/{bucket}/{key}?as=plan.pdf"

    def test_a_file_moves_and_goes_with_its_row(self) -> None:
        document = self.document()
        self.send(document)

        self.client.patch(document, {"visibility": "authenticated"}, content_type="application/json")
        ((_, key),) = OBJECTS
        assert key.startswith("shared/")
        self.client.delete(document)
        assert not OBJECTS

    def test_a_species_has_its_qr_code_there(self) -> None:
        names = {"common_name": "Fox", "scientific_name": "Vulpes vulpes"}

        answer = self.post("/api/v1/species/", names)

        assert (
            answer["qr_code_url"] == f"https://memory.example.org/species/{Species.objects.get().qr_code.key}"
        )

    def test_the_admin_may_speak_to_it(self) -> None:
        policy = self.client.get("/admin/login/").headers["Content-Security-Policy"]

        assert "connect-src 'self' https://memory.example.org;" in policy
