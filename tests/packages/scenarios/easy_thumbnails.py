"""easy-thumbnails: a field, its aliases, the widget of the admin, and `thumbnail_cleanup`."""

import io
import re

from django.core.management import call_command
from django.template import Context, Template
from easy_thumbnails.files import get_thumbnailer

from tests.packages.models import Picture
from tests.packages.record import Record, picture

TAG = "{% load easy_thumbnails_tags %}{% thumbnail image 30x20 crop upscale %}"


def cleanup(record: Record, label: str, **options: bool) -> None:
    """Run `thumbnail_cleanup`, and write down what it counts. The other lines have the time."""
    output = io.StringIO()
    call_command("thumbnail_cleanup", stdout=output, verbosity=0, **options)
    record.note(label, re.findall("^.*: .*$", output.getvalue(), re.MULTILINE))


def run(record: Record) -> None:
    record.submit("add", "/admin/packages/picture/add/", image=picture())
    row = Picture.objects.get()
    record.note_file("source", row.image)
    record.note("size of the source", [row.image.width, row.image.height, row.image.size])

    thumbnail = row.image["small"]
    record.note_file("alias", thumbnail)
    record.note("size of the alias", [thumbnail.width, thumbnail.height])
    record.note_same_file(
        "the second time", thumbnail.name, lambda: get_thumbnailer(Picture.objects.get().image)["small"]
    )
    record.note_url("tag", Template(TAG).render(Context({"image": row.image})))
    record.note_images("widget", f"/admin/packages/picture/{row.pk}/change/")
    record.note("thumbnails", sorted(each.name for each in row.image.get_thumbnails()))
    record.note_file("by name", get_thumbnailer(row.image.name).get_thumbnail({"size": (15, 15)}))

    record.submit(
        "replace",
        f"/admin/packages/picture/{row.pk}/change/",
        image=picture("otter.png", size=(300, 200), color="navy"),
    )
    row.refresh_from_db()
    record.note_file("replaced", row.image)
    record.note_file("alias of the replaced", row.image["small"])
    record.note_files("after replacing")

    record.note("deleted thumbnails", row.image.delete_thumbnails())
    record.note_files("after delete_thumbnails")

    record.note_file("once more", row.image["small"])
    cleanup(record, "cleanup of nothing")
    record.note_files("after a cleanup of nothing")
    record.storage.delete(row.image.name)
    cleanup(record, "dry run", dry_run=True)
    record.note_files("after the dry run")
    cleanup(record, "cleanup")
    record.note_files("after the cleanup")
    record.note_error("alias without source", lambda: row.image["small"])
    row.image.delete()
    record.note("deleted", row.image.name)
