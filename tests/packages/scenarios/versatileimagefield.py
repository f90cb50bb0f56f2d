"""django-versatileimagefield: sizes, filters, warming, and deleting what was created."""

from django.core.cache import cache
from versatileimagefield.image_warmer import VersatileImageFieldWarmer

from tests.packages.models import View
from tests.packages.record import Record, picture

SIZES = [
    ("small", "thumbnail__30x30"),
    ("square", "crop__25x25"),
    ("dark", "filters__invert__thumbnail__20x20"),
]


def run(record: Record) -> None:
    record.submit("add", "/admin/packages/view/add/", image_0=picture(), image_1="1.0x0.0")
    row = View.objects.get()
    record.note_file("source", row.image)
    record.note("size and center", [row.width, row.image.height, list(row.image.ppoi)])

    for label, image in (
        ("thumbnail", row.image.thumbnail["40x40"]),
        ("crop", row.image.crop["30x20"]),
        ("filter", row.image.filters.invert),
        ("thumbnail of a filter", row.image.filters.invert.thumbnail["16x16"]),
    ):
        record.note_file(label, image)
    cache.clear()
    record.note_same_file(
        "the second time",
        row.image.thumbnail["40x40"].name,
        lambda: View.objects.get().image.thumbnail["40x40"],
    )
    record.note_files("created on demand")

    warmer = VersatileImageFieldWarmer(row, rendition_key_set=SIZES, image_attr="image")
    record.note("warmed", list(warmer.warm()))
    record.note_files("warmed files")
    row.image.delete_sized_images()
    record.note_files("after delete_sized_images")
    row.image.delete_all_created_images()
    record.note_files("after delete_all_created_images")
    row.image.delete_all_created_images()

    record.submit(
        "replace",
        f"/admin/packages/view/{row.pk}/change/",
        image_0=picture("otter.png", color="navy"),
        image_1="0.5x0.5",
    )
    row.refresh_from_db()
    record.note_file("thumbnail of the replaced", row.image.thumbnail["40x40"])
    row.image.delete(save=False)
    record.note_files("at the end")
