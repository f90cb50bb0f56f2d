"""The main job: a document goes up and comes back, and nobody else can have it."""

from tests.support.cast import PDF, Caller, body, code, fetch, send


def test_a_document_goes_up_and_comes_back(alice: Caller):
    document = alice.document(title="Feeding plan")
    assert document["file"] is None

    ticket = alice.ticket(document)
    assert send(ticket).status_code == 200
    completed = alice.complete(ticket)

    assert completed.status_code == 200
    assert completed.json()["state"] == "completed"
    file = alice.get(f"documents/{document['id']}/").json()["file"]
    assert (file["name"], file["size"], file["content_type"]) == ("guía.pdf", len(PDF), "application/pdf")
    assert body(fetch(alice.download_url(document))) == PDF


def test_a_stranger_gets_nothing_of_a_private_document(alice: Caller, bob: Caller, nobody: Caller):
    document = alice.document_with_file()

    for path in ("", "download-url/"):
        assert code(bob.get(f"documents/{document['id']}/{path}")) == "not_found"
        assert code(nobody.get(f"documents/{document['id']}/{path}")) == "not_authenticated"
