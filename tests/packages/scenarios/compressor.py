"""django-compressor: while a page is rendered, and before, with the command `compress`."""

import re

from django.conf import settings
from django.core.cache import cache
from django.core.files.storage import storages
from django.core.management import call_command
from django.template import engines
from django.template.loader import render_to_string
from django.test import override_settings

from tests.packages.record import Record, names

PAGE = "packages/compressed.html"


def run(record: Record) -> None:
    call_command("collectstatic", interactive=False, verbosity=0)
    storage = storages["compressor"]

    def render() -> list[str]:
        page = render_to_string(PAGE, {"STATIC_URL": settings.COMPRESS_URL})
        return re.findall(r'(?:href|src)="([^"]+)"', page)

    urls = render()
    record.note("pages", len(urls))
    for number, url in enumerate(urls):
        record.note_url(f"compressed {number}", url)
    record.note_files("files", storage)
    cache.clear()
    record.note("the same URLs", render() == urls)
    record.note_same_file("rendered again", next(names(storage, "CACHE/css/")), render, storage)

    with override_settings(
        COMPRESS_OFFLINE=True, COMPRESS_OFFLINE_CONTEXT={"STATIC_URL": settings.COMPRESS_URL}
    ):
        record.note_error("before compress", lambda: len(render()))
        for label in ("first", "second"):
            call_command("compress", force=True, verbosity=0)
            for loader in engines["django"].engine.template_loaders:
                loader.reset()  # `compress` leaves templates without blocks in the cache
            record.note(f"after the {label} compress", sorted(names(storage)))  # the manifest has URLs
            cache.clear()
            for number, url in enumerate(render()):
                record.note_url(f"offline {number}", url)
