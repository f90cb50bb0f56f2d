"""django-dbbackup: backups of the database and of the media, kept in a storage of their own."""

import tarfile

from django.core.files.base import ContentFile
from django.core.files.storage import storages

from tests.packages.models import Animal
from tests.packages.record import Record, digest, names, plain

MEDIA = {"niño/guía 1.tar.gz": b"one", "plan.txt": b"two", "a/b/empty": b""}


def run(record: Record) -> None:
    backups = storages["dbbackup"]
    Animal.objects.all().delete()
    Animal.objects.create(name="Ñandú", count=3)
    saved = [record.storage.save(name, ContentFile(content)) for name, content in MEDIA.items()]
    for command, name in (
        ("dbbackup", "zoo-2001-01-02-030405.dump"),
        ("dbbackup", "zoo-2001-01-03-030405.dump"),
        ("mediabackup", "zoo-2001-01-02-030405.tar"),
    ):
        record.note_command(command, command, output_filename=name, verbosity=0)
    record.note_command("dbbackup --compress", "dbbackup", compress=True, verbosity=0)
    record.note_command("mediabackup --compress", "mediabackup", compress=True, verbosity=0)
    record.note("backups", sorted(map(plain, names(backups))))
    with backups.open("zoo-2001-01-02-030405.tar") as file, tarfile.open(fileobj=file) as tar:
        record.note(
            "in the tar", sorted([plain(each.name), digest(tar.extractfile(each).read())] for each in tar)
        )
    record.note_command("listbackups", "listbackups", quiet=True)

    Animal.objects.all().delete()
    record.note_command("dbrestore", "dbrestore", interactive=False, verbosity=0)
    record.note("restored", list(Animal.objects.values_list("name", "count")))
    Animal.objects.all().delete()
    record.note_command(
        "dbrestore of one",
        "dbrestore",
        interactive=False,
        verbosity=0,
        input_filename="zoo-2001-01-02-030405.dump",
    )
    record.note("restored from one", list(Animal.objects.values_list("name", "count")))

    record.storage.delete(saved[0])
    record.storage.delete(saved[1])
    record.storage.save(saved[1], ContentFile(b"changed"))
    options = {"interactive": False, "verbosity": 0, "input_filename": "zoo-2001-01-02-030405.tar"}
    record.note_command("mediarestore", "mediarestore", **options)
    record.note_files("what is there is kept")
    record.note_command("mediarestore --replace", "mediarestore", replace=True, **options)
    record.note_files("or replaced")
    record.note_error(
        "no such backup",
        lambda: record.note_command("", "dbrestore", interactive=False, input_filename="none.dump"),
    )

    for day in range(10, 22):
        backups.save(f"zoo-2001-02-{day}-000000.dump", ContentFile(b"old"))
    record.note_command("dbbackup --clean", "dbbackup", clean=True, verbosity=0)
    record.note("backups that are left", sorted(map(plain, names(backups))))
