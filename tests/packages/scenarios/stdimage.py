"""django-stdimage: variations, rendering them again, and deleting them with their source.

Its command `rendervariations` imports what Django 5.1 has removed: with every storage it does not start.
"""

from django.core.management import call_command
from stdimage.utils import render_variations

from tests.packages.models import Poster
from tests.packages.record import Record, picture


def run(record: Record) -> None:
    record.submit("add", "/admin/packages/poster/add/", image=picture(), sketch=picture("Ñandú.tar.png"))
    row = Poster.objects.get()
    for label, file in (
        ("source", row.image),
        ("large", row.image.large),
        ("thumb", row.image.thumb),
        ("JPEG", row.sketch.small),
    ):
        record.note_file(label, file)
        record.note(f"size of {label}", [file.width, file.height, file.size])
    record.note_files("files")

    def render(replace: bool) -> None:
        field = Poster._meta.get_field("image")
        render_variations(row.image.name, field.variations, replace=replace, storage=field.storage)

    record.note_same_file("rendered, but there", row.image.large.name, lambda: render(False))
    record.storage.delete(row.image.large.name)
    render(False)
    record.note_file("rendered because missing", row.image.large)
    render(True)
    record.note_files("rendered again")
    record.note_error("rendervariations", lambda: call_command("rendervariations", "packages.Poster.image"))

    record.submit(
        "replace",
        f"/admin/packages/poster/{row.pk}/change/",
        image=picture("otter.png", color="navy"),
    )
    record.note_files("after replacing")
    record.submit("clear", f"/admin/packages/poster/{row.pk}/change/", **{"sketch-clear": "on"})
    record.note_files("after clearing")
    record.submit("delete", f"/admin/packages/poster/{row.pk}/delete/", post="yes")
    record.note_files("after deleting")
