"""What a run says of itself: while it lasts, at its end, and in a file for machines."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from storage.transfer.run import Outcome

MOST_MESSAGES = 10_000  # that are kept in memory


@dataclass
class Report:
    """Counts by field and outcome, and every file that failed with the reason. Bytes and seconds."""

    journal: Path
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    bytes: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    failures: int = 0

    def __post_init__(self) -> None:
        self.begun = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        self.counts.setdefault(outcome.reference.column.label, Counter())[outcome.what] += 1
        self.bytes += outcome.size if outcome.what == "moved" else 0
        self.failures += not outcome.is_good
        if not outcome.is_good and len(self.failed) < MOST_MESSAGES:
            self.failed.append(
                {
                    "model": outcome.reference.column.label,
                    "id": " ".join(outcome.reference.key),
                    "name": outcome.reference.name,
                    "reason": outcome.what,
                    "message": outcome.message,
                }
            )

    @property
    def totals(self) -> "Counter[str]":
        return sum(self.counts.values(), Counter())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    @property
    def pace(self) -> str:
        return f"{size(self.bytes)}, {size(self.bytes / max(self.seconds, 0.001))}/s"

    def as_json(self, *, stopped: bool) -> dict[str, Any]:
        return {
            "target": settings.SUPABASE_URL,
            "journal": str(self.journal.absolute()),
            "started_at": self.started_at.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "stopped": stopped,
            "counts": dict(self.totals),
            "fields": {label: dict(counts) for label, counts in self.counts.items()},
            "bytes": self.bytes,
            "failures": self.failures,
            "failed": self.failed,
        }

    def write(self, path: Path, *, stopped: bool) -> None:
        path.write_text(json.dumps(self.as_json(stopped=stopped), indent=2) + "\n")


def size(number: float) -> str:
    """`3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
