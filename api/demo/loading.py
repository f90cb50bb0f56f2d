"""Brings the demo in as everybody's data come in: entries under slugs of their own, files by tickets.

Every step asks what is there first, so a run that broke off is completed by the next one, and what
people have changed since stays as they have it.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import models, transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify

from api.auth.development_tokens import member_id
from api.catalog import qr_codes
from api.catalog.models import EducationalService, Entry, Exhibition, Species
from api.demo.drawing import avatar, pdf, picture
from api.demo.members import MEMBERS, DemoDocument, DemoMember
from api.demo.programme import EXHIBITIONS, SERVICES, DemoExhibition
from api.demo.species import SPECIES
from api.documents.models import Document
from api.profiles.models import Profile
from api.uploads import lifecycle
from api.uploads.attachments import update_row
from api.uploads.models import Declared
from storage.base import incoming_store
from storage.fields import stored_file

CURATOR = member_id("curator@example.org")  # who brings the pictures of the catalogue
CLASSES = {fields["scientific_name"]: fields["taxonomic_class"] for fields in SPECIES}


def load() -> Iterator[str]:
    """Make what is missing of the demo data, and say what was made. Safe to repeat.

    Raises StorageError, and Refused when settings take no such files; the next call goes on from there.
    """
    for fields in SPECIES:
        yield from _species(fields)
    for exhibition in EXHIBITIONS:
        yield from _exhibition(exhibition)
    for fields, classes in SERVICES:
        yield from _service(fields, classes)
    for member in MEMBERS:
        yield from _member(member)


# --- The catalogue ------------------------------------------------------------------------------------


def _species(fields: dict[str, str]) -> Iterator[str]:
    species, made = _entry(Species(**fields, published=True))
    if _lacks(species, "qr_code") and qr_codes.try_to_make(species):
        made = True
    made |= _pictured(species, fields["common_name"], fields["scientific_name"], [fields["taxonomic_class"]])
    if made:
        yield f"species {species.slug}"


def _exhibition(demo: DemoExhibition) -> Iterator[str]:
    fresh = Exhibition(**demo.fields(timezone.localdate()), published=True)
    exhibition, made = _entry(fresh, Species.objects.filter(scientific_name__in=demo.species))
    made |= _kept_on(exhibition, demo)
    classes = list(dict.fromkeys(CLASSES[name] for name in demo.species))
    made |= _pictured(exhibition, demo.title, demo.location, classes)
    if made:
        yield f"exhibition {exhibition.slug}"


def _service(fields: dict[str, Any], classes: tuple[str, ...]) -> Iterator[str]:
    service, made = _entry(EducationalService(**fields, published=True))
    made |= _pictured(service, fields["title"], fields["audience"], classes)
    if made:
        yield f"educational service {service.slug}"


def _entry(fresh: Entry, species: Any = ()) -> tuple[Any, bool]:
    """The entry as it is by now, or this one with these species; and whether it was made."""
    same = Q(slug=slugify(fresh.slug_words()))
    if isinstance(fresh, Species):
        same |= Q(scientific_name=fresh.scientific_name)
    if there := type(fresh).objects.filter(same).first():
        return there, False
    with transaction.atomic():
        fresh.create()
        if isinstance(fresh, Exhibition):
            fresh.species.set(species)
    return fresh, True


def _kept_on(exhibition: Exhibition, demo: DemoExhibition) -> bool:
    """Whether it was meant to be on now, was over, and begins anew. What people changed stays over."""
    today = timezone.localdate()
    if not (demo.closes and demo.closes > 0 and exhibition.opens_on and exhibition.closes_on):
        return False
    as_made = demo.fields(demo.made_on(exhibition.opens_on))
    changed = any(getattr(exhibition, name) != value for name, value in as_made.items())
    if changed or exhibition.closes_on >= today:
        return False
    update_row(exhibition, "image", demo.fields(today))
    return True


def _pictured(entry: Entry, title: str, below: str, classes: Any) -> bool:
    """Whether it had no picture, and has been given one."""
    if not _lacks(entry, "image"):
        return False
    upload(entry, "image", CURATOR, f"{entry.slug}.jpg", "image/jpeg", picture(title, below, classes))
    return True


# --- The members --------------------------------------------------------------------------------------


def _member(demo: DemoMember) -> Iterator[str]:
    shown = {"display_name": demo.name, "bio": demo.bio, "language": demo.language}
    profile, made = Profile.objects.get_or_create(pk=member_id(demo.email), defaults=shown)
    if _lacks(profile, "avatar"):
        upload(profile, "avatar", profile.pk, "avatar.png", "image/png", avatar(demo.name, demo.colour))
        made = True
    if made:
        yield demo.email
    for each in demo.documents:
        yield from _document(profile, demo.email, each)


def _document(owner: Profile, email: str, demo: DemoDocument) -> Iterator[str]:
    document = Document.objects.filter(owner=owner, title=demo.title).order_by("id").first()
    if document is None:
        document = Document.objects.create(
            owner=owner, title=demo.title, category=demo.category, visibility=demo.visibility
        )
    if _lacks(document, "file"):
        content = pdf(demo.title, demo.text)
        upload(document, "file", owner.pk, f"{demo.title}.pdf", "application/pdf", content)
        yield f"{email}: {demo.title} ({document.visibility})"


# --- Files --------------------------------------------------------------------------------------------


def _lacks(resource: models.Model, field_name: str) -> bool:
    """It names no file, or one that is gone from the store."""
    return not stored_file(resource, field_name).exists()


def upload(
    resource: models.Model, field_name: str, owner: UUID, filename: str, content_type: str, content: bytes
) -> None:
    """Do what a client does with a ticket, without HTTP."""
    declared: Declared = {
        "filename": filename,
        "content_type": content_type,
        "size": len(content),
        "sha256": sha256(content).hexdigest(),
    }
    ticket = lifecycle.issue(stored_file(resource, field_name), owner, declared)
    headers = ticket.signed.headers
    incoming_store().put(
        ticket.signed.key, [content], content_type=content_type, cache_control=headers["cache-control"]
    )
    lifecycle.complete(ticket.upload)
