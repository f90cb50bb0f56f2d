"""The clients that docs/clients.md shows, as they come from npm, on a real server."""

import os
import signal
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from api.auth.development_tokens import development_token
from api.demo.accounts import PASSWORD
from tests.support.cast import PDF
from tests.support.server import CLIENTS, Server

MB = 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("client", ["fetch", "supabase", "uppy"])
def test_a_ticket_is_carried_to_completion(client: str, npm, server: Server, tmp_path: Path):
    email = f"{client}@example.org"
    alice = server.client(email)
    document = alice.post("/api/v1/documents/", json={"title": client}).json()
    file = tmp_path / "plan.pdf"
    file.write_bytes(PDF)

    done = subprocess.run(
        ["node", "ticket.mjs", client, server.url, server.token(email), document["id"], file],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "completed"), done.stderr
    recorded = alice.get(f"/api/v1/documents/{document['id']}/").json()["file"]
    assert (recorded["name"], recorded["size"]) == ("guía.pdf", len(PDF))


@pytest.mark.slow
def test_supabase_js_can_do_all_that_it_can_do_with_files(npm, server: Server):
    done = subprocess.run(
        ["node", "storage.mjs", server.url, development_token("", service=True), "by-supabase-js"],
        cwd=CLIENTS,
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "done"), done.stderr


@pytest.mark.slow
def test_supabase_js_signs_in_at_a_development_server(npm, tmp_path: Path):
    """One process with few threads: a request of the server to itself would wait for ever."""
    settings = {"SUPABASE_CHECK_SESSIONS": "true", "THREADS": "2"}
    with Server(tmp_path, workers=1, **settings) as development:
        development.manage("load_demo")
        done = subprocess.run(
            ["node", "auth.mjs", development.url, PASSWORD],
            cwd=CLIENTS,
            capture_output=True,
            text=True,
            timeout=120,
        )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "signUp",
        "signInWithPassword",
        "signInAnonymously",
        "getUser",
        "updateUser",
        "refreshSession",
        "signOut",
        "onAuthStateChange",
        "upload",
        "leftOut",
    ]


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """20 MB: four parts."""
    file = tmp_path / "large.pdf"
    file.write_bytes(b"%PDF-1.7\n" + os.urandom(20 * MB))
    return file


def run_resumable(*arguments: str | Path, kill_after: int | None = None) -> subprocess.CompletedProcess[str]:
    killed = {"KILL_AFTER": str(kill_after)} if kill_after else {}
    return subprocess.run(
        ["node", "resumable.mjs", *arguments],
        cwd=CLIENTS,
        env={**os.environ, **killed},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_a_large_file_goes_on_where_it_was_interrupted(npm, server: Server, large: Path, tmp_path: Path):
    email = "tus@example.org"
    alice = server.client(email)
    document = alice.post("/api/v1/documents/", json={"title": "Large"}).json()
    token = server.token(email)
    arguments = ("ticket", tmp_path, large, server.url, token, document["id"])

    interrupted = run_resumable(*arguments, kill_after=9 * MB)
    done = run_resumable(*arguments)

    assert interrupted.returncode == -signal.SIGKILL, interrupted.stderr
    assert (done.returncode, done.stdout.split()[:2]) == (0, ["completed", "HEAD"]), done.stderr
    assert done.stdout.split().count("POST") == 0  # the same upload
    assert done.stdout.split().count("PATCH") <= 3  # and not from its beginning
    recorded = alice.get(f"/api/v1/documents/{document['id']}/").json()["file"]
    assert recorded["sha256"] == sha256(large.read_bytes()).hexdigest()


@pytest.mark.slow
def test_a_large_file_goes_into_a_bucket_by_the_service_key(npm, server: Server, large: Path, tmp_path: Path):
    key = development_token("", service=True)

    done = run_resumable("bucket", tmp_path, large, server.url, key, "documents", "clients/large.pdf")

    assert (done.returncode, done.stdout.split()) == (0, ["sent", "POST", *["PATCH"] * 4]), done.stderr
    assert (server.media / "documents" / "clients" / "large.pdf").read_bytes() == large.read_bytes()
