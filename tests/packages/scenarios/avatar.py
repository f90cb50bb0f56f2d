"""django-avatar: its pages, its sizes, and `rebuild_avatars`."""

from avatar.models import Avatar

from tests.packages.record import Record, picture


def run(record: Record) -> None:
    for number, upload in enumerate((picture(), picture(), picture("Ñandú.png", color="navy"))):
        answer = record.client.post("/avatar/add/", {"avatar": upload})
        record.note(f"add {number}", answer.status_code)
    record.note_files("added")
    avatars = list(Avatar.objects.order_by("pk"))
    primary = Avatar.objects.get(primary=True)
    record.note_file("primary", primary.avatar)
    record.note("sizes there", [primary.thumbnail_exists(80), primary.thumbnail_exists(33)])
    record.note_url("80", primary.avatar_url(80))

    answer = record.client.get("/avatar/render_primary/keeper/33/")
    record.note_url("made on demand", answer["Location"])
    record.note_files("after that")
    record.note("change", record.client.post("/avatar/change/", {"choice": avatars[0].pk}).status_code)
    answer = record.client.get("/avatar/render_primary/keeper/40/")
    record.note_url("the other one", answer["Location"])

    record.note_command("rebuild_avatars", "rebuild_avatars")
    record.note_files("rebuilt")
    answer = record.client.post("/avatar/delete/", {"choices": [avatars[0].pk]})
    record.note("delete", [answer.status_code, Avatar.objects.count()])
    record.note_files("deleted")
    Avatar.objects.all().delete()
    record.note_files("all deleted")
