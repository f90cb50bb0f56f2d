"""SupabaseStorage as an app uses it, through the SDK over HTTP: `manage.py test tests.test_supabase_storage`.

It needs no project, no `.env` and no pytest: it starts a local store, which speaks Supabase's protocol.
What is true of every store, and how faults are handled, is tested in `tests/storage/`.
"""

# ruff: noqa: PT027  (pytest may be missing where Django runs this)

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from django.conf import settings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import SimpleTestCase, override_settings

from storage.errors import StorageMisconfigured
from storage.supabase import SupabaseStorage
from tests.support.project import hang_up
from tests.support.server import shared_server

PDF = b"%PDF-1.7\n" + b"otter " * 100


class SupabaseStorageTestCase(SimpleTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.server = shared_server()
        key = cls.server.service_key()
        cls.enterClassContext(override_settings(SUPABASE_URL=cls.server.url, SUPABASE_SECRET_KEY=key))
        for bucket in ("media", "species"):
            cls.addClassCleanup(cls.empty, bucket, key)
        cls.addClassCleanup(hang_up)

    @classmethod
    def empty(cls, bucket: str, key: str) -> None:
        """Delete what these tests stored: others use the same server."""
        url = f"{cls.server.url}/storage/v1/bucket/{bucket}/empty"
        httpx.post(url, headers={"Authorization": f"Bearer {key}"}).raise_for_status()

    def setUp(self) -> None:
        self.media = SupabaseStorage()
        self.species = SupabaseStorage("species", public=True)

    # --- Upload ---------------------------------------------------------------------------------------

    def test_save_file_success(self) -> None:
        name = self.media.save("save/plan.pdf", ContentFile(PDF))

        assert name == "save/plan.pdf"
        info = self.media.describe(name)
        assert (info.size, info.content_type) == (len(PDF), "application/pdf")
        assert (Path(self.server.media) / "media" / name).read_bytes() == PDF

    def test_save_uploaded_file_keeps_its_type(self) -> None:
        sent = SimpleUploadedFile("otter.bin", b"\x89PNG", content_type="image/png")

        name = self.media.save("types/otter.bin", sent)

        assert self.media.describe(name).content_type == "image/png"

    def test_save_large_file_in_parts(self) -> None:
        large = os.urandom(7 * 1024 * 1024)

        name = self.media.save("large.bin", ContentFile(large))

        with self.media.open(name) as file:
            assert file.read() == large

    def test_save_never_overwrites(self) -> None:
        first = self.media.save("twice/plan.pdf", ContentFile(b"first"))
        second = self.media.save("twice/plan.pdf", ContentFile(b"second"))

        assert first != second
        assert second.endswith(".pdf")
        assert self.media.open(first).read() == b"first"

    def test_save_non_ascii_name(self) -> None:
        assert self.media.save("guía de campo.pdf", ContentFile(b"x")) == "guia de campo.pdf"

    # --- Download -------------------------------------------------------------------------------------

    def test_open_reads_whole_and_in_ranges(self) -> None:
        name = self.media.save("read/plan.pdf", ContentFile(PDF))

        with self.media.open(name) as file:
            assert file.read() == PDF
            file.seek(9)
            assert file.read(5) == b"otter"

    def test_open_missing_file(self) -> None:
        with self.assertRaises(FileNotFoundError):
            self.media.open("missing.pdf")

    # --- Deletion and existence -----------------------------------------------------------------------

    def test_delete_file(self) -> None:
        name = self.media.save("delete/plan.pdf", ContentFile(PDF))

        self.media.delete(name)

        assert not self.media.exists(name)
        self.media.delete(name)  # missing is success

    def test_exists(self) -> None:
        name = self.media.save("exists/plan.pdf", ContentFile(PDF))

        assert self.media.exists(name)
        assert not self.media.exists("exists/other.pdf")
        assert not self.media.exists("../exists/plan.pdf")

    def test_exists_with_a_wrong_key_is_not_false(self) -> None:
        with (
            override_settings(SUPABASE_SECRET_KEY="sb_secret_wrong"),
            self.assertRaises(StorageMisconfigured),
        ):
            self.media.exists("plan.pdf")

    # --- URLs -----------------------------------------------------------------------------------------

    def test_public_url_lasts(self) -> None:
        name = self.species.save("otter/a b.png", ContentFile(b"\x89PNG"))

        url = self.species.url(name)

        assert url == f"{settings.SUPABASE_URL}/storage/v1/object/public/species/otter/a%20b.png"
        assert httpx.get(url).content == b"\x89PNG"

    def test_private_url_is_signed(self) -> None:
        name = self.media.save("url/plan.pdf", ContentFile(PDF))

        url = self.media.url(name)

        assert httpx.get(url).content == PDF
        assert httpx.get(url.replace("token=", "token=x")).status_code == 400
        assert httpx.get(url.replace(urlsplit(url).query, "")).status_code == 400
        self.media.delete(name)
        assert httpx.get(url).status_code == 400

    def test_signed_upload_url_takes_one_object(self) -> None:
        signed = self.media.sign_upload("sent/plan.pdf", "application/pdf", seconds=60)

        sent = httpx.put(signed.url, content=PDF, headers=signed.headers)

        assert sent.status_code == 200
        assert self.media.open("sent/plan.pdf").read() == PDF

    # --- Path traversal -------------------------------------------------------------------------------

    def test_path_traversal_is_refused(self) -> None:
        for name in ("../secret", "a/../../secret", "/etc/passwd", "..\\secret", "a\0b", "%2e%2e/secret"):
            acts = (
                lambda name: self.media.save(name, ContentFile(b"x")),
                self.media.open,
                self.media.delete,
                self.media.size,
                self.media.url,
            )
            for act in acts:
                with self.subTest(name=name), self.assertRaises(SuspiciousFileOperation):
                    act(name)

    # --- Bulk -----------------------------------------------------------------------------------------

    def test_bulk_upload(self) -> None:
        files = {f"bulk/{number:03}.txt": f"otter {number}".encode() for number in range(60)}

        with ThreadPoolExecutor(12) as threads:
            names = list(
                threads.map(lambda item: self.media.save(item[0], ContentFile(item[1])), files.items())
            )

        assert names == list(files)
        assert self.media.listdir("bulk") == ([], [name[5:] for name in files])
        signed = self.media.sign_downloads(names, seconds=60)
        assert [httpx.get(signed[name].url).content for name in names[:3]] == list(files.values())[:3]
