"""django-filer: uploads in its admin, folders, private files, thumbnails and its commands."""

from pathlib import Path
from tempfile import TemporaryDirectory

from django.core.files.base import ContentFile
from django.core.files.storage import storages
from filer.models import File, Folder, Image

from tests.packages.record import Record, picture


def run(record: Record) -> None:
    private = storages["private"]
    folder = Folder.objects.create(name="Árboles y más")
    url = f"/admin/filer/clipboard/operations/upload/{folder.pk}/"
    for label, upload in (
        ("picture", picture()),
        ("the same", picture()),
        ("archive", ContentFile(b"\x1f\x8b archive", "w.tar.gz")),
        ("text", ContentFile("año".encode(), "notas de otoño.txt")),
        ("html", ContentFile(b"<script>", "bad.html")),
    ):
        answer = record.client.post(url, {"file": upload})
        record.note(f"upload {label}", [answer.status_code, sorted(answer.json())])
        if label == "picture":
            icon = answer.json()["thumbnail_180"]
    for file in File.objects.order_by("pk"):
        record.note_file(f"file {file.pk}", file.file)
        record.note(f"facts {file.pk}", [file.original_filename, file.size, file.sha1, file.mime_type])
    image = Image.objects.order_by("pk")[0]
    record.note("size", [image.width, image.height, image.duplicates and len(image.duplicates)])
    for name, thumbnail in sorted(image.thumbnails.items()):
        record.note_url(f"thumbnail {name}", thumbnail)
    record.note_images("folder", f"/admin/filer/folder/{folder.pk}/list/")
    record.note_download("icon", icon)
    record.note_url("canonical", record.client.get(image.canonical_url)["Location"])
    record.note_files("files")

    image.is_public = False
    image.save()
    image = Image.objects.get(pk=image.pk)
    record.note_file("made private", image.file)
    record.note_url("private thumbnail", image.thumbnails["admin_tiny_icon"])
    record.note_files("public files")
    record.note_files("private files", private)
    private.save("filer_private/orphan.txt", ContentFile(b"orphan"))
    record.note_command("filer_check of private files", "filer_check", orphans=True)
    record.note_command("delete private orphans", "filer_check", delete_orphans=True, interactive=False)
    record.note_files("private files without orphans", private)
    image.is_public = True
    image.save()
    record.note_files("private files afterwards", private)

    image.file = picture("otter.png", color="navy")
    image.original_filename = "otter.png"
    image.save()
    record.note_file("replaced", Image.objects.get(pk=image.pk).file)
    target = Folder.objects.create(name="Copies")
    record.submit(
        "copy",
        f"/admin/filer/folder/{folder.pk}/list/",
        action="copy_files_and_folders",
        _selected_action=[f"file-{image.pk}"],
        destination=target.pk,
        post="yes",
        suffix="",
        select_across=0,
    )
    record.note_files("copied")

    with TemporaryDirectory() as scratch:
        (Path(scratch) / "niños").mkdir()
        (Path(scratch) / "niños" / "plan nº 3.txt").write_bytes(b"plan")
        record.note_command("import_files", "import_files", path=scratch, verbosity=0)
    record.note("imported", sorted(File.objects.values_list("original_filename", flat=True)))
    record.note_command("generate_thumbnails", "generate_thumbnails")
    record.storage.save("filer_public/orphan.txt", ContentFile(b"orphan"))
    record.note_command("filer_check --orphans", "filer_check", orphans=True)
    record.note_command("filer_check --delete-orphans", "filer_check", delete_orphans=True, interactive=False)
    image.file.storage.delete(image.file.name)
    record.note_command("filer_check --missing", "filer_check", missing=True)
    record.note_command("filer_check --image-dimensions", "filer_check", image_dimensions=True)
    record.note_files("after the commands")
    for each in File.objects.all():
        each.delete()
    record.note_files("at the end")
