"""Which columns hold files, what they are called on the command line, and where files lie."""

from pathlib import Path

import pytest
from django.core.files.storage import FileSystemStorage

from api.catalog.models import Species
from storage.buckets import Bucket
from storage.local import LocalStorage
from storage.supabase import SupabaseStorage
from storage.transfer.bandwidth import Bandwidth
from storage.transfer.local_files import OutsideMediaRoot, identity, locate, near_match
from storage.transfer.references import Column, NoSuchField, Reference, columns
from storage.transfer.sending import local_source

RENDITIONS = ("webp_320", "webp_640", "webp_1280", "webp_2560", "jpeg", "published_original")
SPECIES_PICTURE = {f"api.SpeciesPicture.{name}" for name in ("original", *RENDITIONS)}
OURS = {
    "api.Document.file",
    *(f"api.EducationalServicePicture.{name}" for name in ("original", *RENDITIONS)),
    *(f"api.ExhibitionPicture.{name}" for name in ("original", *RENDITIONS)),
    *(f"api.Profile.{name}" for name in ("avatar", *RENDITIONS)),
    *SPECIES_PICTURE,
    "api.Species.qr_code",
}


COLUMN = Column(Species._meta.get_field("qr_code"), "species")


def labels(*only: str) -> set[str]:
    return {column.label for column in columns(only)}


def test_every_file_field_is_found_with_its_bucket():
    assert labels() == OURS
    assert {column.bucket for column in columns(["species"])} == {"species"}
    assert {column.bucket for column in columns(["SpeciesPicture"])} == {"originals", "species"}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("SpeciesPicture", SPECIES_PICTURE),
        ("api.speciespicture", SPECIES_PICTURE),
        ("api.SpeciesPicture.JPEG", {"api.SpeciesPicture.jpeg"}),
        ("Species", {"api.Species.qr_code"}),
    ],
)
def test_a_model_or_a_field_is_named(name: str, found: set[str]):
    assert labels(name, name) == found


@pytest.mark.parametrize("name", ["Elephant", "auth.User", "api.Species.slug", "", "Species.qr_code"])
def test_what_is_not_there_is_refused_with_the_candidates(name: str):
    with pytest.raises(NoSuchField, match=r"api\.Document, api\.EducationalService"):
        columns([name])


def test_settings_may_name_another_bucket(settings):
    settings.MIGRATE_BUCKETS = {"API.speciesPicture.Jpeg": "pictures"}

    buckets = {column.label: column.bucket for column in columns(["SpeciesPicture"])}

    assert {label for label, bucket in buckets.items() if bucket == "pictures"} == {"api.SpeciesPicture.jpeg"}
    assert buckets["api.SpeciesPicture.webp_320"] == "species"


def test_settings_that_name_no_field_are_refused(settings):
    settings.MIGRATE_BUCKETS = {"api.Species.picture": "pictures"}

    with pytest.raises(NoSuchField, match="MIGRATE_BUCKETS"):
        columns()


@pytest.fixture
def media(settings) -> Path:
    return Path(settings.MEDIA_ROOT)


def lay(media: Path, *names: str) -> None:
    for name in names:
        (media / name).parent.mkdir(parents=True, exist_ok=True)
        (media / name).write_text(name)


def found(name: str, bucket: str = "species") -> str:
    return locate(Column(Species._meta.get_field("qr_code"), bucket), name).path.read_text()


@pytest.mark.django_db
def test_a_file_lies_where_the_local_store_has_it_or_where_plain_django_has_it(media: Path):
    lay(media, "species/a.png", "b.png")

    assert found("a.png") == "species/a.png"
    assert found("b.png") == "b.png"


def test_which_comes_first_is_told_by_the_traces_of_the_local_store(media: Path):
    lay(media, "species/a.png", "a.png")

    assert found("a.png") == "a.png"
    (media / ".objects").mkdir()
    assert found("a.png") == "species/a.png"


@pytest.mark.django_db
def test_where_it_goes_does_not_change_where_it_lies(media: Path):
    lay(media, "species/a.png", "pictures/a.png")

    assert found("a.png", bucket="pictures") == "species/a.png"


def test_what_no_folder_can_have_is_found_in_the_local_store(media: Path):
    name = "x" * 300
    LocalStorage("species").objects.write(name, [b"odd"], content_type="text/plain", cache_control="")

    assert found(name) == "odd"


@pytest.mark.parametrize(
    "name", ["../a", "/etc/passwd", "a/../../b", "a\0b", "\\\\server\\a", "link", "away/a"]
)
def test_what_leaves_the_folder_of_files_is_not_followed(media: Path, name: str):
    outside = media.parent
    lay(media, "species/x")
    lay(outside, "a")
    (media / "link").symlink_to(outside / "a")
    (media / "away").symlink_to(outside)

    with pytest.raises(OutsideMediaRoot):
        found(name)


@pytest.mark.parametrize("name", ["missing", "folder", "file/below", "y" * 5000, "ñ"])
def test_what_is_no_file_is_missing(media: Path, name: str):
    lay(media, "file", "folder/a")

    with pytest.raises(FileNotFoundError):
        found(name)


@pytest.mark.parametrize(
    ("on_disk", "name"),
    [
        ("a/gui\u0301a.pdf", "a/gu\u00eda.pdf"),
        ("a/gu\u00eda.pdf", "a/gui\u0301a.pdf"),
        ("an\u0303o/gu\u00eda.pdf", "a\u00f1o/gui\u0301a.pdf"),
        ("e\u0301-\u00e9.pdf", "\u00e9-e\u0301.pdf"),
        ("docs/x.pdf", "docs\\x.pdf"),
        ("docs\\x.pdf", "docs\\x.pdf"),
        ("docs/gui\u0301a.pdf", "docs\\gu\u00eda.pdf"),
        ("docs/x.pdf", "{media}/docs/x.pdf"),
        ("species/x.pdf", "{media}/species/x.pdf"),
    ],
)
@pytest.mark.django_db
def test_a_file_is_found_under_another_spelling_of_its_name(media: Path, on_disk: str, name: str):
    lay(media, on_disk, "other.pdf")
    location = locate(COLUMN, name.format(media=media))

    assert location.path.read_text() == on_disk
    assert location.path == location.folder / location.name


@pytest.mark.parametrize(
    "name", ["..\\secret", "docs\\..\\..\\secret", "C:\\..\\secret", "{media}/../secret"]
)
def test_another_spelling_does_not_lead_out_of_the_folder(media: Path, tmp_path: Path, name: str):
    lay(tmp_path, "secret")
    lay(media, "docs/x")

    with pytest.raises(OutsideMediaRoot):
        found(name.format(media=media))


@pytest.mark.parametrize(
    ("on_disk", "name"),
    [("a/Plan.PDF", "A/plan.pdf"), ("gu\u00eda.pdf", "gu%C3%ADa.pdf"), ("docs/X.pdf", "docs\\x.pdf")],
)
@pytest.mark.django_db
def test_a_missing_file_has_a_near_match(media: Path, on_disk: str, name: str):
    lay(media, on_disk, "other.pdf")

    with pytest.raises(FileNotFoundError):
        found(name)
    assert near_match(COLUMN, name) == on_disk
    assert near_match(COLUMN, "missing.pdf") is None
    assert near_match(COLUMN, "%2e%2e/y" + "y" * 5000) is None
    lay(media, on_disk.swapcase())
    assert near_match(COLUMN, name) is None


def test_a_moved_file_gets_the_header_of_its_store(media: Path, monkeypatch):
    lay(media, "plan.pdf", "base.5f8c1a2b3c4d.css")
    public, other = Bucket("species", public=True), Bucket("species", public=False)
    monkeypatch.setattr(COLUMN.field, "storage", FileSystemStorage(media))

    def header(name: str, bucket: Bucket) -> str:
        return local_source(bucket, Reference(COLUMN, 1, name)).cache_control

    assert header("plan.pdf", public) == header("base.5f8c1a2b3c4d.css", other) == "max-age=3600"
    assert header("base.5f8c1a2b3c4d.css", public) == "max-age=31536000"
    store = SupabaseStorage("species", public=True, cache_control="max-age=7")
    monkeypatch.setattr(COLUMN.field, "storage", store)
    assert header("plan.pdf", public) == "max-age=7"
    assert header("plan.pdf", other) == "max-age=3600"


def test_a_file_system_storage_of_its_own_is_asked(media: Path, monkeypatch):
    lay(media, "private/a.png", "a.png")
    field = Species._meta.get_field("qr_code")
    monkeypatch.setattr(field, "storage", FileSystemStorage(location=media / "private"))

    assert found("a.png") == "private/a.png"


def test_a_file_that_two_rows_name_is_one():
    jpeg, qr_code = columns(["api.SpeciesPicture.jpeg", "Species"])

    assert identity(Reference(jpeg, 1, "a")) == identity(Reference(qr_code, 2, "a"))
    assert identity(Reference(jpeg, 1, "a")) != identity(Reference(jpeg, 1, "b"))


def test_files_of_one_name_in_two_buckets_are_two():
    original, jpeg = columns(["api.SpeciesPicture.original", "api.SpeciesPicture.jpeg"])

    assert identity(Reference(original, 1, "a")) != identity(Reference(jpeg, 1, "a"))


@pytest.mark.django_db
def test_rows_are_changed_only_where_they_still_say_the_same(django_assert_num_queries):
    species = Species.objects.create(scientific_name="Loxodonta africana", qr_code="a.png", slug="loxodonta")
    [column] = columns(["api.Species.qr_code"])
    [reference] = column.references()
    changed_at = species.updated_at

    with django_assert_num_queries(1):
        assert reference.update_name("b.png", expected="a.png")

    assert not reference.update_name("c.png", expected="a.png")
    assert not reference.is_current()
    species.refresh_from_db()
    assert (species.qr_code.name, species.updated_at) == ("b.png", changed_at)


@pytest.mark.django_db
def test_every_row_is_met_once_whatever_the_size_of_a_page(monkeypatch):
    for number in range(7):
        Species.objects.create(
            scientific_name=f"Loxodonta a{'b' * number}", qr_code=f"{number}", slug=f"s{number}"
        )
    Species.objects.create(scientific_name="Loxodonta nullus", slug="without")
    [column] = columns(["api.Species.qr_code"])

    for size in (1, 3, 7, 100):
        monkeypatch.setattr("storage.transfer.references.PAGE_SIZE", size)
        assert sorted(each.name for each in column.references()) == [str(number) for number in range(7)]
    assert column.count() == 7


def test_bytes_are_paced_for_all_together(tmp_path: Path, monkeypatch):
    now, slept = [0.0], []
    monkeypatch.setattr("storage.transfer.bandwidth.time.monotonic", lambda: now[0])
    monkeypatch.setattr("storage.transfer.bandwidth.time.sleep", slept.append)
    (tmp_path / "a").write_bytes(bytes(1000))
    pace = Bandwidth(500)

    with pace.open(tmp_path / "a") as one, pace.open(tmp_path / "a") as other:
        one.readinto(bytearray(100))
        one.read(500), other.read(500), other.read()

    assert slept[:3] == [1, 2, 3]
