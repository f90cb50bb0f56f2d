"""The base class of management commands."""

import os
import sys
from typing import Any

from django.core.management import base

from storage.control_characters import escape


class EscapedOutput(base.OutputWrapper):
    """Escapes control characters, because messages contain names and answers of others."""

    def write(  # type: ignore[override]
        self, msg: str = "", style_func: Any = None, ending: str | None = None
    ) -> None:
        super().write(escape(msg), style_func, ending)


class BaseCommand(base.BaseCommand):
    """Django's BaseCommand with escaped output, also of a CommandError. `call_command` may replace both."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command. It ends quietly if the reader of its output has ended, as `head` does."""
        try:
            try:
                return super().execute(*args, **options)
            finally:
                self.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes it at its end
            sys.exit(1)

    @property
    def stdout(self) -> base.OutputWrapper:
        return self._stdout

    @stdout.setter
    def stdout(self, output: Any) -> None:
        self._stdout = EscapedOutput(output)

    @property
    def stderr(self) -> base.OutputWrapper:
        return self._stderr

    @stderr.setter
    def stderr(self, output: Any) -> None:
        self._stderr = EscapedOutput(output)
