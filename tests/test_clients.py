"""The clients that the README shows, as they come from npm, on a real server."""

import subprocess
from pathlib import Path

import pytest

from tests.cast import PDF
from tests.server import CLIENTS, ROOT, Server


@pytest.mark.slow
@pytest.mark.parametrize("client", ["fetch", "supabase", "uppy"])
def test_a_ticket_is_carried_to_completion(client: str, npm, server: Server, tmp_path: Path):
    email = f"{client}@example.org"
    alice = server.client(email)
    document = alice.post("/api/v1/documents/", json={"title": client}).json()
    file = tmp_path / "plan.pdf"
    file.write_bytes(PDF)

    done = subprocess.run(
        ["node", "ticket.mjs", client, server.url, server.manage("issue_token", email), document["id"], file],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "completed"), done.stderr
    recorded = alice.get(f"/api/v1/documents/{document['id']}/").json()["file"]
    assert (recorded["name"], recorded["size"]) == ("guía.pdf", len(PDF))


@pytest.mark.parametrize("line", ["body: file", ".uploadToSignedUrl(", "formData: false"])
def test_the_readme_shows_what_is_run(line: str):
    assert line in (ROOT / "README.md").read_text()
    assert line in (CLIENTS / "ticket.mjs").read_text()
