"""Record: what a scenario saw, in words that do not depend on the storage."""

import io
import re
import unicodedata
from collections.abc import Callable, Iterator
from hashlib import sha256
from html import unescape
from pathlib import PurePosixPath
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from anyascii import anyascii
from django.contrib.auth.models import User
from django.core.files.storage import Storage, default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from PIL import Image

#: What is random in the names of files: Django's suffix, and the folders and UUIDs of packages.
RANDOM = [
    (re.compile(r"_[A-Za-z0-9]{7}(?=[./-]|\Z)"), "_RANDOM"),
    (re.compile(r"\b\w\w/\w\w/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "UUID"),
    (re.compile(r"(\b[0-9a-f]{2}/[0-9a-f]{2}/)?\b[0-9a-f]{32}\b"), "HEX"),
    (re.compile(r"20[2-9]\d-\d\d-\d\d-\d{6}|\d\d/\d\d/[2-9]\d \d\d:\d\d:\d\d"), "TIME"),
]
#: The digits that stand for characters which Supabase refuses: documented.
DIGITS = re.compile(r"-[0-9a-f]{8}(?=[./_-]|\Z)")


class Record:
    """The notes of one scenario, which uses the packages through this project's own pages."""

    def __init__(self, storage: Storage = default_storage) -> None:
        self.storage = storage
        self.notes: list[list[Any]] = []
        self.client = Client()
        self.client.force_login(User.objects.get(username="keeper"))

    def note(self, label: str, value: Any) -> None:
        """Write down a value. Names are noted in plain letters and without their random parts."""
        self.notes.append([label, plain(value)])

    def note_file(self, label: str, file: Any) -> None:
        """Write down the name of a file of a row, and what its URL answers."""
        self.note(f"{label}: name", file.name)
        self.note_url(label, file.url)

    def note_url(self, label: str, url: str) -> None:
        try:
            with urlopen(url, timeout=30) as answer:
                found = [answer.status, answer.headers["Content-Type"], digest(answer.read())]
        except HTTPError as error:
            with error:
                found = [error.code]
        self.note(f"{label}: answer", found)

    def note_page(self, label: str, answer: Any) -> None:
        """Write down the status of a page, and the messages and errors that it shows."""
        context = answer.context or {}
        shown = [str(message) for message in context.get("messages", ())]
        errors = [str(form.errors) for name in ("form", "adminform") if (form := context.get(name))]
        self.note(label, [answer.status_code, shown, *filter(None, errors)])

    def note_error(self, label: str, act: Callable[[], Any]) -> None:
        """Write down the error of Python or Django that this raises, or the value that it returns."""
        try:
            self.note(label, act())
        except Exception as error:
            kinds = [
                kind for kind in type(error).__mro__ if kind.__module__.startswith(("builtins", "django"))
            ]
            self.note(label, kinds[0].__name__)

    def note_images(self, label: str, url: str) -> None:
        """Write down the pictures that a page shows, without those of static files."""
        page = self.client.get(url)
        found = re.findall(r'<img[^>]*?\bsrc="([^"]+)"', page.content.decode())
        shown = [unescape(each) for each in found if each.startswith("http")]
        self.note(f"{label}: page", [page.status_code, len(shown)])
        for each in shown:
            self.note_url(label, each)

    def note_download(self, label: str, url: str) -> None:
        """Write down what a page sends, or the storage to which it leads."""
        answer = self.client.get(url)
        if answer.status_code == 302:
            self.note_url(label, answer["Location"])
            return
        content = b"".join(answer) if answer.streaming else answer.content
        self.note(f"{label}: answer", [answer.status_code, answer["Content-Type"], digest(content)])

    def note_same_file(
        self, label: str, name: str, act: Callable[[], Any], storage: Storage | None = None
    ) -> None:
        """Write down whether the file was written again, or another one beside it."""
        chosen = storage or self.storage
        before = chosen.get_modified_time(name), sorted(names(chosen))
        act()
        self.note(label, (chosen.get_modified_time(name), sorted(names(chosen))) == before)

    def note_files(self, label: str, storage: Storage | None = None) -> None:
        """Write down all files of the storage with their content."""
        chosen = storage or self.storage
        self.note(label, sorted([plain(name), content(chosen, name)] for name in names(chosen)))

    def note_command(self, label: str, *command: Any, **options: Any) -> None:
        """Run a management command, and write down the lines that it prints, sorted."""
        output = io.StringIO()
        call_command(*command, stdout=output, stderr=output, **options)
        self.note(label, sorted(plain(output.getvalue().splitlines())))

    def submit(self, label: str, url: str, **data: Any) -> Any:
        """Send a form, and write down the page that follows."""
        answer = self.client.post(url, data, follow=True)
        self.note_page(label, answer)
        return answer


def names(storage: Storage, folder: str = "") -> Iterator[str]:
    folders, files = storage.listdir(folder)
    for name in files:
        yield f"{folder}{name}"
    for name in folders:
        yield from names(storage, f"{folder}{name}/")


def content(storage: Storage, name: str) -> str:
    with storage.open(name) as file:
        return digest(file.read())


def digest(content: bytes) -> str:
    """Return the number of bytes and the start of their SHA-256."""
    return f"{len(content)} bytes, {sha256(content).hexdigest()[:12]}"


def plain(value: Any) -> Any:
    """Return the value in JSON's types: strings in plain letters without random parts, objects as classes."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if not isinstance(value, str):
        return type(value).__name__
    text = DIGITS.sub("", anyascii(unicodedata.normalize("NFKC", value)))
    for pattern, replacement in RANDOM:
        text = pattern.sub(replacement, text)
    return text


def picture(
    name: str = "niña y león.final.jpg", size: tuple[int, int] = (120, 90), color: str = "olive"
) -> SimpleUploadedFile:
    """Return an upload of a browser."""
    buffer, kind = io.BytesIO(), PurePosixPath(name).suffix[1:].replace("jpg", "jpeg")
    Image.new("RGB", size, color).save(buffer, kind)
    return SimpleUploadedFile(name, buffer.getvalue(), f"image/{kind}")
