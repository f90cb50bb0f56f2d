"""Counts and failures of a run, shown while it runs and at its end, and written to a JSON file."""

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

from storage.transfer.references import pk_texts
from storage.transfer.rewriting import TextMention
from storage.transfer.run import Outcome

MAX_MESSAGES = 10_000  # failures that are kept in memory


@dataclass
class Report:
    """Counts by model field and status, bytes that were moved, and each failed file with the reason."""

    journal: Path
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    bytes: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    failures: int = 0
    texts: Counter[str] = field(default_factory=Counter)  # mentions of files in texts, by status
    mentions: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.started = time.monotonic()

    def add(self, outcome: Outcome) -> None:
        self.counts.setdefault(outcome.reference.column.label, Counter())[outcome.status] += 1
        self.bytes += outcome.size if outcome.status == "moved" else 0
        self.failures += not outcome.is_success
        if not outcome.is_success and len(self.failed) < MAX_MESSAGES:
            self.failed.append(
                {
                    "model": outcome.reference.column.label,
                    "id": " ".join(outcome.reference.pk_texts),
                    "name": outcome.reference.name,
                    "reason": outcome.status,
                    "message": outcome.message,
                }
            )

    def add_mention(self, each: TextMention) -> None:
        self.texts[each.status] += 1
        self.failures += each.status in ("database", "failed")
        if len(self.mentions) < MAX_MESSAGES:
            self.mentions.append(
                {
                    "field": each.text.column.label,
                    "id": " ".join(pk_texts(each.text.pk)),
                    "status": each.status,
                    "old": each.mention.old if each.mention else "",
                    "new": each.mention.new if each.mention else "",
                    "message": each.message,
                }
            )

    @property
    def failed_files(self) -> int:
        return self.failures - self.texts["database"] - self.texts["failed"]

    @property
    def broken_mentions(self) -> int:
        """Return how many mentions do not work after the switch."""
        return self.texts.total() - self.texts["rewritten"]

    @property
    def totals(self) -> "Counter[str]":
        return sum(self.counts.values(), Counter())

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def throughput(self) -> str:
        """Return bytes and bytes per second: `3.4 MB, 1.1 MB/s`."""
        return f"{format_size(self.bytes)}, {format_size(self.bytes / max(self.seconds, 0.001))}/s"

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
            "texts": dict(self.texts),
            "mentions": self.mentions,
        }

    def write(self, path: Path, *, stopped: bool) -> None:
        path.write_text(json.dumps(self.as_json(stopped=stopped), indent=2) + "\n")


def format_size(number: float) -> str:
    """Return bytes in a decimal unit: `3.4 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"
