"""django-resized: pictures are made smaller when they are saved."""

from tests.packages.models import Banner
from tests.packages.record import Record, picture


def run(record: Record) -> None:
    record.submit(
        "add",
        "/admin/packages/banner/add/",
        image=picture(),
        icon=picture("ícono nº 1.tar.jpg", size=(64, 64)),
    )
    row = Banner.objects.get()
    for label, file in (("image", row.image), ("icon", row.icon)):
        record.note_file(label, file)
        record.note(f"size of {label}", [file.width, file.height, file.size])

    with row.image.open() as file:
        row.image.save("leon.jpg", file)
    record.note_file("saved from itself", row.image)
    record.submit(
        "replace",
        f"/admin/packages/banner/{row.pk}/change/",
        image=picture("otter.jpg", color="navy"),
        **{"icon-clear": "on"},
    )
    row.refresh_from_db()
    record.note_file("replaced", row.image)
    record.note("icon", bool(row.icon))
    row.image.delete()
    record.note_files("at the end")
