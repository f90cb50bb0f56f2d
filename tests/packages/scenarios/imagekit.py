"""django-imagekit: a spec field, a processed field, and `generateimages`."""

from django.core.cache import cache

from tests.packages.models import Portrait
from tests.packages.record import Record, picture


def run(record: Record) -> None:
    record.submit("add", "/admin/packages/portrait/add/", original=picture(), stored=picture("Ñandú.png"))
    row = Portrait.objects.get()
    record.note_file("original", row.original)
    record.note_file("processed", row.stored)
    record.note("size of the processed", [row.stored.width, row.stored.height])

    record.note_file("spec", row.small)
    record.note("size of the spec", [row.small.width, row.small.height, len(row.small.read())])
    cache.clear()
    record.note_same_file("the second time", row.small.name, lambda: Portrait.objects.get().small.url)

    record.note_error("read what imagekit has closed", lambda: row.original.read())
    with row.original.open("rb") as file:
        read = file.read()
    record.note("read, closed, and measured", [len(read), row.original.width, row.original.height])
    record.note("opened again", [len(row.original.open("rb").read()), row.original.closed])
    row.original.close()

    record.note_command("generateimages", "generateimages")
    record.note_files("after generateimages")
    record.storage.delete(row.small.name)
    cache.clear()
    record.note_command("generateimages of what is missing", "generateimages", "packages:portrait:small")
    record.note_files("after generateimages of what is missing")

    record.submit(
        "replace",
        f"/admin/packages/portrait/{row.pk}/change/",
        original=picture("otter.png", color="navy"),
        **{"stored-clear": "on"},
    )
    row = Portrait.objects.get()
    record.note_file("spec of the replaced", row.small)
    record.note("cleared", bool(row.stored))
    record.storage.delete(row.original.name)
    cache.clear()
    record.note_command("generateimages without source", "generateimages")
    record.note_files("at the end")
