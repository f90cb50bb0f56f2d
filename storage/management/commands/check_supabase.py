"""Checks a Supabase project and prints one line for each finding, with its cure. It leaves nothing behind.

Exit code 1 if there is a problem. --json prints {"ok": …, "findings": [{name, level, what, cure, ms, id}]}.
"""

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from storage.control_characters import printable
from storage.findings import Finding
from storage.management.base import BaseCommand
from storage.supabase.doctor.checks import storage_steps
from storage.supabase.doctor.steps import run_steps


# An app that comes before `storage` in INSTALLED_APPS may have a subclass with more checks.
class Command(BaseCommand):
    help = __doc__
    # This command runs the checks of the Supabase settings itself.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object, for programs")

    def run_checks(self, options: dict[str, Any]) -> Iterator[Finding]:
        return run_steps(storage_steps())

    def handle(self, *args: Any, **options: Any) -> None:
        found = []
        for finding in self.run_checks(options):
            found.append(finding)
            if not options["json"]:
                self.stdout.write(_line(finding))
        levels = Counter(finding.level for finding in found)
        if options["json"]:
            findings = [asdict(finding) for finding in found]
            self.stdout.write(json.dumps({"ok": not levels["problem"], "findings": findings}, indent=1))
        else:
            self.stdout.write(f"{levels['problem']} problems, {levels['warning']} warnings")
        if levels["problem"]:
            sys.exit(1)


def _line(finding: Finding) -> str:
    time = "" if finding.ms is None else f" ({finding.ms:.0f} ms)"
    cure = f" → {finding.cure}" if finding.cure else ""
    return printable(f"{finding.level:8} {finding.name}: {finding.what}{time}{cure}")
