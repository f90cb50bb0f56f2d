"""django-cleanup: a file goes when its row lets go of it, but not if the transaction fails."""

from django.core.files.base import ContentFile
from django.db import transaction

from tests.packages.models import Leaflet
from tests.packages.record import Record, picture


def run(record: Record) -> None:
    for name in ("guía del zoo.tar.gz", "guía del zoo.tar.gz"):
        record.submit(
            "add", "/admin/packages/leaflet/add/", file=ContentFile(b"leaflet", name), cover=picture()
        )
    first, second = Leaflet.objects.order_by("pk")
    record.note_file("the first", first.file)
    record.note_file("the second", second.file)
    record.note_files("added")

    record.submit(
        "replace",
        f"/admin/packages/leaflet/{first.pk}/change/",
        file=ContentFile(b"new", "guía del zoo.tar.gz"),
    )
    record.note_files("replaced")
    record.submit("clear", f"/admin/packages/leaflet/{first.pk}/change/", **{"cover-clear": "on"})
    record.note_files("cleared")

    def fail() -> None:
        with transaction.atomic():
            Leaflet.objects.get(pk=second.pk).delete()
            raise KeyError

    record.note_error("delete in a transaction that fails", fail)
    record.note_files("still there")
    record.submit("delete", f"/admin/packages/leaflet/{second.pk}/delete/", post="yes")
    record.note_files("deleted")

    record.storage.delete(Leaflet.objects.get().file.name)
    record.submit("delete a row without its file", f"/admin/packages/leaflet/{first.pk}/delete/", post="yes")
    record.note_files("at the end")
