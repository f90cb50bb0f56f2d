"""Demo data: members with real files, brought in by the same tickets that everybody uses."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

from PIL import Image, ImageDraw

from api.development_tokens import member_id
from api.documents.models import Document
from api.profiles.models import Profile
from api.uploads import lifecycle
from storage.base import ARRIVALS, store_of


@dataclass(frozen=True, slots=True)
class DemoDocument:
    email: str
    title: str
    category: str
    visibility: str
    text: str


DOCUMENTS = [
    DemoDocument(
        "alice@example.org",
        "Feeding plan, winter",
        "care",
        "private",
        "Humboldt penguins: sprat, twice a day.",
    ),
    DemoDocument(
        "alice@example.org", "Visitor rules", "house", "authenticated", "Please do not tap on the glass."
    ),
    DemoDocument(
        "bob@example.org", "Quarantine protocol", "care", "private", "Thirty days, two negative samples."
    ),
]


def load() -> Iterator[str]:
    """Make what is missing of the demo data, and say what was made. Safe to repeat."""
    for demo in DOCUMENTS:
        owner, _ = Profile.objects.get_or_create(
            pk=member_id(demo.email), defaults={"display_name": demo.email.partition("@")[0].title()}
        )
        document, _ = Document.objects.get_or_create(
            owner=owner,
            title=demo.title,
            defaults={"category": demo.category, "visibility": demo.visibility},
        )
        if not document.file:
            bring(document, "file", f"{demo.title}.pdf", "application/pdf", pdf(demo.title, demo.text))
            yield f"{demo.email}: {demo.title} ({document.visibility})"


def bring(resource: Document, field_name: str, filename: str, content_type: str, content: bytes) -> None:
    """What a client does with a ticket, without the HTTP between."""
    ticket = lifecycle.issue(
        resource,
        field_name,
        resource.owner_id,
        filename=filename,
        content_type=content_type,
        size=len(content),
        sha256=sha256(content).hexdigest(),
    )
    headers = ticket.signed.headers
    store_of(ARRIVALS).put(
        ticket.signed.key, [content], content_type=content_type, cache_control=headers["cache-control"]
    )
    lifecycle.complete(ticket.upload)


def pdf(title: str, text: str) -> bytes:
    """A page with a title and a line."""
    page = Image.new("RGB", (595, 842), "white")
    draw = ImageDraw.Draw(page)
    draw.text((60, 60), title, fill="black", font_size=28)
    draw.text((60, 120), text, fill="black", font_size=16)
    file = BytesIO()
    page.save(file, "PDF", title=title)
    return file.getvalue()
