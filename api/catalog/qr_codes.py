"""Makes the QR codes of species, which are printed on signs and link to pages of the public site.

The new object is stored before the row changes, and the old object is removed after that, so that readers
always find the one that the row names.
"""

from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO

import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from api.catalog.models import QR_CODE_FOLDER, Species
from api.uploads import removals
from api.uploads.attachments import keys_in
from api.uploads.models import Removal
from storage import keys
from storage.base import PUBLIC_MAX_AGE, SignedStorage
from storage.errors import ObjectMissing, StorageError
from storage.fields import stored_file

PNG = "image/png"
ERROR_CORRECTION = "Q"  # readable with a quarter of it damaged; segno uses H if that needs no more space
QUIET_ZONE = 4  # white modules on each side (ISO/IEC 18004), which scanners need to find the code
WIDTH = 600  # pixels, approximately: a module is a whole number of pixels, so that its edges are sharp
ABANDONED_AFTER = timedelta(hours=1)  # normally the row is written milliseconds after the object

logger = structlog.get_logger("api.catalog")


def public_url(species: Species) -> str:
    """Return the URL of the species on the public site."""
    return f"{settings.PUBLIC_SITE_URL}/species/{species.slug}"


def png(text: str) -> bytes:
    """Return a QR code of this text as a PNG, in black on white."""
    import segno  # noqa: PLC0415  (on first use)

    code = segno.make_qr(text, error=ERROR_CORRECTION)
    modules, _ = code.symbol_size(border=QUIET_ZONE)
    file = BytesIO()
    code.save(file, kind="png", border=QUIET_ZONE, scale=max(1, round(WIDTH / modules)), light="white")
    return file.getvalue()


class CodeExists(Exception):
    """The species has a code."""


def make(species: Species, *, only_missing: bool = False) -> None:
    """Make a new code for the species and remove the old one.

    Raises StorageUnavailable, after which nothing has changed, DoesNotExist if the species is deleted
    meanwhile, and with `only_missing` CodeExists if it has a code, also if that was made meanwhile.
    """
    if only_missing and species.qr_code.key:
        raise CodeExists
    store = species.qr_code.storage
    key = keys.generate(QR_CODE_FOLDER, PNG, stem=f"{species.slug}-")
    content, max_age = png(public_url(species)), f"max-age={PUBLIC_MAX_AGE}"
    with removals.reserve(store, key, species.pk):
        store.put(key, [content], content_type=PNG, cache_control=max_age)
        while not _record(species, key):
            species.refresh_from_db()  # another code was recorded meanwhile: replace that one
            if only_missing and species.qr_code.key:
                raise CodeExists
    removals.carry_out(Removal.objects.for_resource(species.pk))
    species.refresh_from_db()


def _record(species: Species, key: str) -> bool:
    """Record the key of the new code if the row is as it was read. Schedules the removal of the old one."""
    store, old_key = species.qr_code.storage, species.qr_code.key
    with transaction.atomic():
        is_recorded = species.qr_code.swap(key)
        if is_recorded:
            removals.confirm((store, key))
            removals.schedule([(store, old_key)], species.pk)
    return is_recorded


def try_to_make(species: Species, *, only_missing: bool = False) -> bool:
    """Make the code. Logs the error and returns False if the storage fails."""
    try:
        make(species, only_missing=only_missing)
    except StorageError as error:
        logger.error("qr_code_failed", species=species.slug, error=str(error))
        return False
    except (Species.DoesNotExist, CodeExists):
        pass  # deleted, or made, meanwhile: no code is needed
    return True


def make_all(*, only_missing: bool) -> Iterator[tuple[str, bool]]:
    """Make the codes one by one. Yields the slug of each species and whether it worked. Can be repeated."""
    queryset = Species.objects.filter(qr_code="") if only_missing else Species.objects.all()
    for pk in list(queryset.order_by("slug").values_list("pk", flat=True)):
        species = queryset.filter(pk=pk).first()  # read again: it may have changed since
        if species is not None:
            yield species.slug, try_to_make(species, only_missing=only_missing)


def delete_abandoned() -> Iterator[str]:
    """Delete the codes that no row names, because a process died before it saved the row. Yields the keys.

    Raises StorageUnavailable; then it can be called again.
    """
    store = _store()
    stored = keys_in(store, QR_CODE_FOLDER)
    named = set(Species.objects.values_list("qr_code", flat=True))  # read last: a listed key may be a new one
    for key in stored:
        if key not in named and _is_old(key):
            store.delete_if_exists(key)
            yield key


def _store() -> SignedStorage:
    return stored_file(Species(), "qr_code").storage


def _is_old(key: str) -> bool:
    try:
        return timezone.now() - _store().describe(key).created_at > ABANDONED_AFTER
    except ObjectMissing:  # deleted by another process
        return False
