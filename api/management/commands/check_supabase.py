"""Checks a Supabase project and prints one line for each finding, with its cure. It leaves nothing behind.

Exit code 1 if there is a problem. --json prints {"ok": …, "findings": [{name, level, what, cure, ms, id}]}.
"""

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from api.doctor import run_checks
from storage.findings import Finding
from storage.management.commands import check_supabase


class Command(check_supabase.Command):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--database",
            metavar="URL",
            default="",
            help="also check the row-level security policies and the storage webhook in this database",
        )

    def run_checks(self, options: dict[str, Any]) -> Iterator[Finding]:
        return run_checks(options["database"])
