"""Wagtail: images with renditions, documents and the page that serves them, in its own admin."""

from django.core.files.base import ContentFile
from django.test import override_settings
from wagtail.documents import get_document_model
from wagtail.images import get_image_model
from wagtail.models import Collection

from tests.packages.record import Record, picture


def run(record: Record) -> None:
    root = Collection.add_root(name="Root")
    images(record, root.pk)
    documents(record, root.pk)
    record.note_files("at the end")


def images(record: Record, collection: int) -> None:
    fields = {"title": "Niña", "collection": collection, "tags": ""}
    record.submit("add image", "/cms/images/add/", file=picture(), **fields)
    answer = record.client.post(
        "/cms/images/multiple/add/",
        {"files[]": picture("Ñandú.v2.png"), "title": "Ñandú", "collection": collection},
        headers={"x-requested-with": "XMLHttpRequest"},
    )
    record.note("add one of many", [answer.status_code, answer.json()["success"]])
    image, other = get_image_model().objects.order_by("pk")
    for each in (image, other):
        record.note_file(each.title, each.file)
        record.note("facts", [each.width, each.height, each.file_size, each.get_file_hash()])

    rendition = image.get_rendition("fill-40x30|jpegquality-60")
    record.note_file("rendition", rendition.file)
    record.note("size", [rendition.width, rendition.height])
    same = "fill-40x30|jpegquality-60"
    record.note_same_file(
        "the second time",
        rendition.file.name,
        lambda: get_image_model().objects.get(pk=image.pk).get_rendition(same),
    )
    many = image.get_renditions("max-20x20", "width-30|format-webp", "original")
    for name in sorted(many):
        record.note_file(name, many[name].file)
    record.note_images("list", "/cms/images/")
    record.note_files("images")

    record.note_command("renditions", "wagtail_update_image_renditions")
    record.note_files("updated renditions")
    record.submit("replace", f"/cms/images/{image.pk}/", file=picture("otter.png", color="navy"), **fields)
    image = get_image_model().objects.get(pk=image.pk)
    record.note_file("replaced", image.get_rendition("fill-40x30").file)
    record.note_files("replaced files")
    record.note_command("purge", "wagtail_update_image_renditions", purge_only=True)
    record.note_files("purged")
    record.submit("delete image", f"/cms/images/{image.pk}/delete/")
    record.note_files("deleted")
    other.file.storage.delete(other.file.name)
    record.note_error("rendition without source", lambda: other.get_rendition("max-10x10"))
    record.submit("delete image without file", f"/cms/images/{other.pk}/delete/")


def documents(record: Record, collection: int) -> None:
    contents = {
        "w.tar.gz": b"\x1f\x8b archive",
        "guía del año.pdf": b"%PDF-1.7 guide",
        "notas.final.txt": "año".encode(),
    }
    for name, content in contents.items():
        record.submit(
            "add document",
            "/cms/documents/add/",
            file=ContentFile(content, name),
            title=name,
            collection=collection,
            tags="",
        )
    for document in get_document_model().objects.order_by("pk"):
        record.note_file(document.title, document.file)
        record.note("facts", [document.file_size, document.get_file_hash(), document.filename])
        record.note_download(f"{document.title} served by default", document.url)
        with override_settings(WAGTAILDOCS_SERVE_METHOD="serve_view"):
            record.note_download(f"{document.title} served by the view", document.url)
            record.note(
                "not modified",
                record.client.get(
                    document.url, headers={"if-none-match": f'"{document.file_hash}"'}
                ).status_code,
            )
        record.submit(
            "replace document",
            f"/cms/documents/edit/{document.pk}/",
            file=ContentFile(b"new", document.title),
            title=document.title,
            collection=collection,
            tags="",
        )
        record.note_files("replaced")
        record.submit("delete document", f"/cms/documents/delete/{document.pk}/")
    record.note_files("documents")
