"""The main job over HTTP: a document's file goes up by its ticket, and comes back by a signed URL."""

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import httpx
from PIL import Image

PDF = b"%PDF-1.4\n% hello\n" + b"\n%%EOF\n"
API = "/api/v1"
PICTURE = {"filename": "penguin.png", "content_type": "image/png"}


def ticket(
    member: httpx.Client, size: int, filename: str = "plan.pdf", content_type: str = "application/pdf"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a new document, and a ticket for its file."""
    document = member.post(f"{API}/documents/", json={"title": "Plan"}).raise_for_status().json()
    announced = {"filename": filename, "content_type": content_type, "size": size}
    issued = member.post(f"{API}/documents/{document['id']}/upload-url/", json=announced)
    return document, issued.raise_for_status().json()


def put(stranger: httpx.Client, issued: dict[str, Any], content: bytes | Iterator[bytes], size: int) -> None:
    """Send the file with nothing but the ticket."""
    headers = {**issued["headers"], "content-length": str(size)}
    stranger.put(issued["url"], content=content, headers=headers).raise_for_status()


def carry(
    member: httpx.Client,
    stranger: httpx.Client,
    content: bytes = PDF,
    send: Callable[..., None] = put,
    **announced: str,
) -> dict[str, Any]:
    """Do all of it, and return the ticket."""
    document, issued = ticket(member, len(content), **announced)
    send(stranger, issued, content, len(content))
    completed = member.post(issued["complete_url"]).raise_for_status().json()
    assert completed["state"] == "completed"
    url = member.get(f"{API}/documents/{document['id']}/download-url/").raise_for_status().json()["url"]
    assert stranger.get(url).raise_for_status().content == content
    assert stranger.get(f"{API}/documents/{document['id']}/").status_code == 401
    return issued


def png() -> bytes:
    """Return a picture: a process of its own opens it."""
    written = BytesIO()
    Image.new("RGB", (400, 300), "teal").save(written, "PNG")
    return written.getvalue()
