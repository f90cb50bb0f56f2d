"""The QR code of a species: a picture for its sign, which leads to its page on the public site.

Made here and nowhere else. The object is there before the row names it, and the old one goes last:
whoever reads meanwhile gets a code that is whole.
"""

from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO

import segno
import structlog
from django.conf import settings
from django.utils import timezone

from api.catalog.models import QR_CODES, Species
from api.uploads.attachments import discard, files_in
from storage import keys
from storage.base import PUBLIC_MAX_AGE, SignedStorage
from storage.errors import ObjectMissing, StorageError
from storage.fields import stored_file

PNG = "image/png"
ERROR_LEVEL = "Q"  # at least a quarter may be scratched or wet; segno takes H where it costs no space
QUIET_ZONE = 4  # modules left white on each side (ISO/IEC 18004): scanners find the code by it
WIDTH = 600  # pixels, about: a module is a whole number of them, or its edges would blur
ABANDONED = timedelta(hours=1)  # between storing a code and writing its row there are milliseconds

logger = structlog.get_logger("api.catalog")


def address(species: Species) -> str:
    """Where the code leads."""
    return f"{settings.PUBLIC_SITE_URL}/species/{species.slug}"


def picture(text: str) -> bytes:
    """A PNG that says this, in black on white."""
    code = segno.make_qr(text, error=ERROR_LEVEL)
    modules, _ = code.symbol_size(border=QUIET_ZONE)
    file = BytesIO()
    code.save(file, kind="png", border=QUIET_ZONE, scale=max(1, round(WIDTH / modules)), light="white")
    return file.getvalue()


def make(species: Species) -> None:
    """Give the species a new code in place of the one it has.

    Raises StorageUnavailable, then nothing has changed, and DoesNotExist when it is deleted meanwhile.
    """
    store = species.qr_code.storage
    key = keys.generate(QR_CODES, PNG, stem=f"{species.slug}-")
    store.put(key, [picture(address(species))], content_type=PNG, cache_control=f"max-age={PUBLIC_MAX_AGE}")
    while not species.qr_code.swap(key):
        try:
            species.refresh_from_db()  # another code was recorded since: it goes instead
        except Species.DoesNotExist:
            discard(store, key)
            raise
    discard(store, species.qr_code.key)
    species.refresh_from_db()


def try_to_make(species: Species) -> bool:
    """For those to whom the species matters more: store down, it has no code yet, and the log says so."""
    try:
        make(species)
    except StorageError:
        logger.exception("qr_code_not_made", species=species.slug)
        return False
    except Species.DoesNotExist:
        pass  # deleted meanwhile: nothing lacks a code
    return True


def make_all(*, only_missing: bool) -> Iterator[tuple[str, bool]]:
    """Make the codes one by one: of each species, the slug, and whether it worked. Safe to repeat."""
    wanted = Species.objects.filter(qr_code="") if only_missing else Species.objects.all()
    for pk in list(wanted.order_by("slug").values_list("pk", flat=True)):
        species = wanted.filter(pk=pk).first()  # as it is now: the work takes a while
        if species is not None:
            yield species.slug, try_to_make(species)


def remove_abandoned() -> Iterator[str]:
    """Delete the codes that no species names, because their maker died before it could: their keys.

    Raises StorageUnavailable; then it can be called again.
    """
    store = _store()
    there = files_in(store, QR_CODES)
    named = set(Species.objects.values_list("qr_code", flat=True))  # read last: one that is listed may be new
    for key in there:
        if key not in named and _is_old(key):
            store.delete(key)
            yield key


def _store() -> SignedStorage:
    return stored_file(Species(), "qr_code").storage


def _is_old(key: str) -> bool:
    try:
        return timezone.now() - _store().describe(key).created_at > ABANDONED
    except ObjectMissing:  # somebody else deleted it
        return False
