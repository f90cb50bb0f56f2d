"""django-import-export: the admin keeps the imported file in the storage between its two pages."""

from django.core.files.uploadedfile import SimpleUploadedFile
from import_export.formats.base_formats import DEFAULT_FORMATS

from tests.packages.models import Animal
from tests.packages.record import Record, names

CSV = "id,name,count\n,Ñandú,2\n,Lince ibérico,7\n"


def run(record: Record) -> None:
    import_file(record, "CSV", CSV.encode(), "animales de otoño.v2.csv", "csv")
    first = Animal.objects.get(count=7)
    changed = f"id,name,count\r\n{first.pk},Lince,8\r\n".encode("utf-8-sig")
    import_file(record, "CSV with a byte order mark", changed, "animales.csv", "csv")

    answer = record.client.post("/admin/packages/animal/export/", fields("xlsx"))
    record.note("export", [answer.status_code, answer["Content-Type"]])
    import_file(record, "what was exported", answer.content, "animales.xlsx", "xlsx")
    import_file(record, "no table", b"\x00\xff", "animales.xlsx", "xlsx")


def fields(kind: str) -> dict[str, object]:
    """What the form of an export or an import has, besides the file."""
    kinds = [each().get_extension() for each in DEFAULT_FORMATS if each.is_available()]
    every = {f"animalresource_{name}": "on" for name in ("id", "name", "count")}
    return {"format": kinds.index(kind), "resource": 0, **every}


def import_file(record: Record, label: str, content: bytes, name: str, kind: str) -> None:
    upload = SimpleUploadedFile(name, content)
    answer = record.submit(
        f"{label}: upload", "/admin/packages/animal/import/", import_file=upload, **fields(kind)
    )
    record.note(f"{label}: kept files", [plain_folder(each) for each in names(record.storage)])
    confirm = answer.context.get("confirm_form")
    if confirm is None:
        record.note(f"{label}: refused", [str(each) for each in answer.context["form"].errors])
        return
    record.submit(f"{label}: confirm", "/admin/packages/animal/process_import/", **confirm.initial)
    record.note(f"{label}: rows", sorted(Animal.objects.values_list("name", "count")))
    record.note_files(f"{label}: afterwards")


def plain_folder(name: str) -> str:
    return name.partition("/")[0]
