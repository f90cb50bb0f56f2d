"""No text of somebody else reaches a terminal as it is."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import CommandError

from storage.control_characters import escape, printable
from storage.management.base import BaseCommand
from tests.support.cases import CONTROL_CHARACTERS


class Repeating(BaseCommand):
    """Repeats a name that somebody has chosen."""

    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"moved a{CONTROL_CHARACTERS}b\n\tas planned")
        raise CommandError(f"cannot move a{CONTROL_CHARACTERS}b")


def test_escapes_keep_lines_and_all_that_is_printable():
    text = "guía.pdf → 'a'\n\t× 🐧"

    assert escape(text) == text
    assert escape("\x1b[31m") == r"\u001b[31m"


@pytest.mark.parametrize("character", CONTROL_CHARACTERS)
def test_no_control_character_is_left(character: str):
    assert escape(f"a{character}b") == f"a\\u{ord(character):04x}b"
    assert printable(f"a{character}b").isprintable()


def test_a_name_cannot_begin_a_line():
    assert printable("a\nb\r\nc") == r"a\nb\r\nc"


def test_a_command_writes_no_control_characters(capsys):
    with pytest.raises(SystemExit):
        Repeating().run_from_argv(["manage.py", "repeating"])

    out, err = capsys.readouterr()
    assert not set(CONTROL_CHARACTERS) & set(out + err)
    assert out.splitlines() == [f"moved a{escape(CONTROL_CHARACTERS)}b", "\tas planned"]
    assert r"\u001b" in err


def test_a_command_that_is_called_by_another_writes_none_either():
    out = StringIO()
    with pytest.raises(CommandError):
        call_command(Repeating(), stdout=out)

    assert not set(CONTROL_CHARACTERS) & set(out.getvalue())


def test_every_command_escapes_what_it_writes():
    ours = [(app, name) for name, app in get_commands().items() if app in ("api", "storage")]
    commands = {name: load_command_class(app, name) for app, name in ours if name != "migrate"}

    assert len(commands) > 8
    assert {name for name, command in commands.items() if not isinstance(command, BaseCommand)} == set()
