"""Loads the demo data in the same way as clients create data: entries with slugs, files with tickets.

Only missing rows and files are created. So another run completes an interrupted one, and changes that people
have made are kept.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django.utils.text import slugify

from api.auth.development_tokens import member_id
from api.auth.local import users
from api.auth.local.models import LocalUser
from api.base_models import Resource
from api.catalog import qr_codes
from api.catalog.models import EducationalService, Entry, Exhibition, Species
from api.catalog.pictures import Licence
from api.demo.accounts import ACCOUNTS, PASSWORD, DemoAccount
from api.demo.drawing import avatar, illustration, pdf
from api.demo.members import MEMBERS, DemoDocument, DemoMember
from api.demo.programme import EXHIBITIONS, SERVICES, DemoExhibition
from api.demo.species import SPECIES
from api.documents.models import Document
from api.profiles.models import Profile
from api.uploads import lifecycle, tickets
from api.uploads.models import Declared
from storage.base import incoming_store
from storage.fields import stored_file

CURATOR = member_id("curator@example.org")  # the owner of the tickets for the images of the catalogue
CLASSES = {fields["scientific_name"]: fields["taxonomic_class"] for fields in SPECIES}


def load() -> Iterator[str]:
    """Create the missing demo data, and yield a line for each thing created. Can be repeated.

    Raises StorageError, and Refused if the settings do not accept the files; the next call continues.
    """
    if settings.LOCAL_AUTH:
        for account in ACCOUNTS:
            yield from _load_account(account)
    for fields in SPECIES:
        yield from _load_species(fields)
    for exhibition in EXHIBITIONS:
        yield from _load_exhibition(exhibition)
    for fields, classes in SERVICES:
        yield from _load_service(fields, classes)
    for member in MEMBERS:
        yield from _load_member(member)


# --- The accounts -------------------------------------------------------------------------------------


def _load_account(demo: DemoAccount) -> Iterator[str]:
    """Create the account. One with the address or the id that exists already stays as it is."""
    id = member_id(demo.email)
    if users.find(demo.email) or LocalUser.objects.filter(pk=id).exists():
        return
    users.create(demo.email, PASSWORD, id=id, app_metadata={"role": demo.role} if demo.role else {})
    yield f"account {demo.email}"


# --- The catalogue ------------------------------------------------------------------------------------


def _load_species(fields: dict[str, str]) -> Iterator[str]:
    species, created = _get_or_create(Species(**fields, published=True))
    if _is_missing(species, "qr_code") and qr_codes.try_to_make(species):
        created = True
    classes = [fields["taxonomic_class"]]
    created |= _add_image(species, fields["common_name"], fields["scientific_name"], classes)
    if created:
        yield f"species {species.slug}"


def _load_exhibition(demo: DemoExhibition) -> Iterator[str]:
    new = Exhibition(**demo.fields(timezone.localdate()), published=True)
    exhibition, created = _get_or_create(new, Species.objects.filter(scientific_name__in=demo.species))
    created |= _reopen(exhibition, demo)
    classes = list(dict.fromkeys(CLASSES[name] for name in demo.species))
    created |= _add_image(exhibition, demo.title, demo.location, classes)
    if created:
        yield f"exhibition {exhibition.slug}"


def _load_service(fields: dict[str, Any], classes: tuple[str, ...]) -> Iterator[str]:
    service, created = _get_or_create(EducationalService(**fields, published=True))
    created |= _add_image(service, fields["title"], fields["audience"], classes)
    if created:
        yield f"educational service {service.slug}"


def _get_or_create(new: Entry, species: Any = ()) -> tuple[Any, bool]:
    """Return the existing entry and False, or create this one with these species and return it and True."""
    same = Q(slug=slugify(new.slug_words()))
    if isinstance(new, Species):
        same |= Q(scientific_name=new.scientific_name)
    if existing := type(new).objects.filter(same).first():
        return existing, False
    with transaction.atomic():
        new.create()
        if isinstance(new, Exhibition):
            new.species.set(species)
    return new, True


def _reopen(exhibition: Exhibition, demo: DemoExhibition) -> bool:
    """Give a closed exhibition that should be open new dates. Returns True if it has changed.

    An exhibition that people have changed stays as it is.
    """
    today = timezone.localdate()
    if not (demo.closes and demo.closes > 0 and exhibition.opens_on and exhibition.closes_on):
        return False
    as_created = demo.fields(demo.created_on(exhibition.opens_on))
    is_changed = any(getattr(exhibition, name) != value for name, value in as_created.items())
    if is_changed or exhibition.closes_on >= today:
        return False
    exhibition.update(demo.fields(today))
    return True


def _add_image(entry: Entry, title: str, subtitle: str, classes: Any) -> bool:
    """Upload an image if the entry has none. Returns True if it was uploaded."""
    if entry.image and entry.image.source.exists():
        return False
    content = illustration(title, subtitle, classes)
    upload(entry, "image", CURATOR, f"{entry.slug}.jpg", "image/jpeg", content)
    texts = {"alt_en": f"A drawing: {title}.", "alt_es": f"Un dibujo: {title}."}
    entry.pictures.get(position=0).update({**texts, "credit": "Vivarium", "licence": Licence.CC0})
    return True


# --- The members --------------------------------------------------------------------------------------


def _load_member(demo: DemoMember) -> Iterator[str]:
    fields = {"display_name": demo.name, "bio": demo.bio, "language": demo.language}
    profile, created = Profile.objects.get_or_create(pk=member_id(demo.email), defaults=fields)
    if _is_missing(profile, "avatar"):
        upload(profile, "avatar", profile.pk, "avatar.png", "image/png", avatar(demo.name, demo.colour))
        created = True
    if created:
        yield demo.email
    for each in demo.documents:
        yield from _load_document(profile, demo.email, each)


def _load_document(owner: Profile, email: str, demo: DemoDocument) -> Iterator[str]:
    document = Document.objects.filter(owner=owner, title=demo.title).order_by("id").first()
    if document is None:
        document = Document.objects.create(
            owner=owner, title=demo.title, category=demo.category, visibility=demo.visibility
        )
    if _is_missing(document, "file"):
        content = pdf(demo.title, demo.text)
        upload(document, "file", owner.pk, f"{demo.title}.pdf", "application/pdf", content)
        yield f"{email}: {demo.title} ({document.visibility})"


# --- Files --------------------------------------------------------------------------------------------


def _is_missing(resource: Resource, field_name: str) -> bool:
    """Return True if the row names no file, or its object is not in the file storage."""
    return not stored_file(resource, field_name).exists()


def upload(
    resource: Resource, field_name: str, owner: UUID, filename: str, content_type: str, content: bytes
) -> None:
    """Issue a ticket, send the file and complete the ticket, without HTTP."""
    declared: Declared = {
        "filename": filename,
        "content_type": content_type,
        "size": len(content),
        "sha256": sha256(content).hexdigest(),
    }
    ticket = tickets.issue(resource, field_name, owner, declared)
    headers = ticket.signed.headers
    incoming_store().put(
        ticket.signed.key, [content], content_type=content_type, cache_control=headers["cache-control"]
    )
    lifecycle.complete(ticket.upload)
