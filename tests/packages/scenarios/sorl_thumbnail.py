"""sorl-thumbnail: `get_thumbnail`, its tag, the widget of the admin, and the command `thumbnail`."""

from django.core.cache import cache
from django.template import Context, Template
from sorl.thumbnail import default, delete, get_thumbnail

from tests.packages.models import Photo
from tests.packages.record import Record, picture

TAG = '{% load sorl_thumbnail %}{% thumbnail image "25x25" as small %}{{ small.url|safe }}{% endthumbnail %}'


def run(record: Record) -> None:
    record.submit("add", "/admin/packages/photo/add/", image=picture())
    row = Photo.objects.get()
    record.note_file("source", row.image)

    thumbnail = get_thumbnail(row.image, "40x30", crop="center", quality=99)
    record.note_file("thumbnail", thumbnail)
    record.note("size", [thumbnail.width, thumbnail.height, thumbnail.exists()])
    record.note_same_file(
        "the second time",
        thumbnail.name,
        lambda: get_thumbnail(row.image, "40x30", crop="center", quality=99),
    )
    record.note_url("tag", Template(TAG).render(Context({"image": row.image})))
    record.note_images("widget", f"/admin/packages/photo/{row.pk}/change/")
    record.note_files("files")

    default.kvstore.clear()
    cache.clear()
    record.note_same_file(
        "without its record",
        thumbnail.name,
        lambda: get_thumbnail(Photo.objects.get().image, "40x30", crop="center", quality=99),
    )

    record.note_command("thumbnail cleanup", "thumbnail", "cleanup")
    record.note_files("after cleanup")
    record.note_command("thumbnail clear", "thumbnail", "clear")
    record.note_files("after clear")
    get_thumbnail(row.image, "20x20")
    record.note_command("thumbnail clear_delete_referenced", "thumbnail", "clear_delete_referenced")
    record.note_files("after clear_delete_referenced")
    record.note_command("thumbnail clear_delete_all", "thumbnail", "clear_delete_all")
    record.note_files("after clear_delete_all")
    record.note_command("thumbnail clear_delete_all again", "thumbnail", "clear_delete_all")

    get_thumbnail(row.image, "20x20")
    record.submit(
        "replace", f"/admin/packages/photo/{row.pk}/change/", image=picture("otter.png", color="navy")
    )
    row.refresh_from_db()
    record.note_file("replaced", get_thumbnail(row.image, "20x20"))
    delete(row.image)
    record.note_files("after delete")
    record.note_error("thumbnail without source", lambda: get_thumbnail(row.image, "40x30"))
