"""The catalogues of translations: both complete, and what is compiled is what is written."""

import os
import re
import shutil
import subprocess
from gettext import GNUTranslations
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing
from tests.support.server import ROOT

LOCALE = Path("api") / "locale"
LANGUAGES = ["en", "es"]
PLACES = re.compile(r"%\(\w+\)s|%[^(\s]|\{[^}]*\}|`[^`]+`")


def written(language: str, root: Path = ROOT) -> str:
    return (root / LOCALE / language / "LC_MESSAGES" / "django.po").read_text()


def compiled(path: Path) -> dict[Any, str]:
    """What programs read, without the header: each message, or each of its plural forms, and its words."""
    with path.open("rb") as file:
        catalogue: dict[Any, str] = GNUTranslations(file)._catalog  # type: ignore[attr-defined]
    return {message: words for message, words in catalogue.items() if message}


def messages(language: str) -> dict[Any, str]:
    return compiled(ROOT / LOCALE / language / "LC_MESSAGES" / "django.mo")


@pytest.fixture
def gettext() -> None:
    if not (shutil.which("xgettext") and shutil.which("make")):
        missing("GNU gettext and make are needed to gather the messages")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_message_is_translated(language: str):
    """msgfmt leaves out what has no words, or words that nobody has looked at."""
    text = written(language)
    entries = len(re.findall(r"^msgid ", text, re.MULTILINE)) - 1  # the header
    plurals = len(re.findall(r"^msgid_plural ", text, re.MULTILINE))

    assert entries > 190
    assert len(messages(language)) == entries + plurals
    assert not re.search(r"^#.*fuzzy", text, re.MULTILINE)
    assert "\n#~" not in text


def test_both_languages_have_the_same_messages():
    assert messages("en").keys() == messages("es").keys()


def test_english_says_what_the_code_says():
    for message, words in messages("en").items():
        if isinstance(message, str):
            assert words == message.rpartition("\x04")[2]


def test_the_places_for_values_are_the_same():
    for message, words in messages("es").items():
        text = message[0] if isinstance(message, tuple) else message
        assert sorted(PLACES.findall(words)) == sorted(PLACES.findall(text)), text


def test_sentences_end_as_they_do_in_english():
    """A sentence with its stop, a label without; and none was left as it is."""
    for message, words in messages("es").items():
        text = (message[0] if isinstance(message, tuple) else message).rpartition("\x04")[2]
        assert (words[-1] in ".…") == (text[-1] in ".…"), text
        assert words == words.strip() or text != text.strip()
        if " " in text.strip() and text != "ISO 4217.":
            assert words != text


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str, gettext, tmp_path: Path):
    po = ROOT / LOCALE / language / "LC_MESSAGES" / "django.po"

    subprocess.run(["msgfmt", "--check", "-o", tmp_path / "django.mo", po], check=True, timeout=60)

    assert compiled(tmp_path / "django.mo") == messages(language), "run `make messages`"


@pytest.mark.slow
def test_gathering_the_messages_finds_nothing_new(gettext, tmp_path: Path):
    for name in ("api", "backend", "storage"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("manage.py", "Makefile"):
        shutil.copy(ROOT / name, tmp_path / name)
    tools = ROOT / ".venv" / "bin"

    done = subprocess.run(
        ["make", f"BIN={tools}", "INSTALL=true", "messages"],
        cwd=tmp_path,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "backend.settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert done.returncode == 0, done.stderr
    for language in LANGUAGES:
        assert written(language, tmp_path) == written(language), "run `make messages`"
