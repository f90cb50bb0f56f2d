"""Looks at a Supabase project as a doctor would: each finding is a line with its cure. Leaves nothing behind.

Exit code 1 if there is a problem. --json prints {"ok": …, "findings": [{name, level, what, cure, ms, id}]}.
"""

import json
import sys
from argparse import ArgumentParser
from collections import Counter
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from api.doctor import look_at_everything
from storage.findings import Finding


class Command(BaseCommand):
    help = __doc__
    # What they find is among what is looked at.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs: one JSON object")
        parser.add_argument("--database", metavar="URL", default="", help="look at its policies, too")

    def handle(self, *args: Any, **options: Any) -> None:
        found = []
        for finding in look_at_everything(options["database"]):
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
    took = "" if finding.ms is None else f" ({finding.ms:.0f} ms)"
    cure = f" → {finding.cure}" if finding.cure else ""
    return f"{finding.level:8} {finding.name}: {finding.what}{took}{cure}"
