"""What people see: a bar on a terminal, plain lines in a log, tables at the end."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from storage.transfer.dry_run import DryRunResult
from storage.transfer.report import Report, size
from storage.transfer.run import Outcome

EVERY = 5.0  # seconds between two lines of progress in a log
WIDTH = 120  # letters of a table

Show = Callable[[Outcome, Report], None]


@contextmanager
def progress(out: Any, total: int) -> Iterator[Show]:
    """Called with each outcome, shows files, bytes, rate, and the time that is left."""
    if not out.isatty():
        yield _lines(out, total)
        return
    parts = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(TextColumn("files"), *parts) as bar:
        task = bar.add_task("", total=total)
        yield lambda outcome, report: bar.update(task, advance=1, description=report.pace)


def _lines(out: Any, total: int) -> Show:
    """One for each failure as it happens, and one every few seconds."""
    said_at = time.monotonic()

    def show(outcome: Outcome, report: Report) -> None:
        nonlocal said_at
        if not outcome.is_good:
            out.write(f"failed: {outcome.reference}: {outcome.message}")
        if time.monotonic() - said_at > EVERY:
            said_at, done = time.monotonic(), report.totals.total()
            left = (total - done) * report.seconds / done
            out.write(f"{done} of {total} files, {report.pace}, {max(left, 0):.0f} s left")

    return show


def summary(report: Report) -> str:
    """A row for each field."""
    kinds = sorted(report.totals)
    rows = ([label, *(str(counts[kind]) for kind in kinds)] for label, counts in report.counts.items())
    return _table(["field", *kinds], rows)


def findings(found: Iterable[DryRunResult]) -> str:
    """A row for each bucket and field."""
    rows = (
        [
            each.bucket,
            each.label,
            str(each.files),
            size(each.bytes),
            str(len(each.renamed)),
            str(each.done),
            str(each.remote),
            _problems(each),
        ]
        for each in found
    )
    return _table(["bucket", "field", "files", "bytes", "renamed", "done", "remote", "problems"], rows)


def _problems(found: DryRunResult) -> str:
    counts = [*sorted(found.problems.items()), ("name collisions", len(found.collisions))]
    return ", ".join(f"{number} {what}" for what, number in counts if number)


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    console = Console(width=WIDTH)
    with console.capture() as shown:
        console.print(table)
    return shown.get()
