"""Console output: a progress bar on a terminal, plain lines in a log, and tables at the end."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from storage.control_characters import printable
from storage.transfer.dry_run import DryRunResult
from storage.transfer.report import Report, format_size
from storage.transfer.run import Outcome

LOG_INTERVAL = 5.0  # seconds between two progress lines in a log
TABLE_WIDTH = 120  # characters

ShowProgress = Callable[[Outcome, Report], None]


@contextmanager
def progress(out: Any, total: int) -> Iterator[ShowProgress]:
    """Return a function that takes each outcome and shows files, bytes, rate and remaining time."""
    if not out.isatty():
        yield _log_progress(out, total)
        return
    parts = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(TextColumn("files"), *parts) as bar:
        task = bar.add_task("", total=total)
        yield lambda outcome, report: bar.update(task, advance=1, description=report.throughput)


def _log_progress(out: Any, total: int) -> ShowProgress:
    """Write a line for each failure as it happens, and a progress line every LOG_INTERVAL."""
    logged_at = time.monotonic()

    def show(outcome: Outcome, report: Report) -> None:
        nonlocal logged_at
        if not outcome.is_success:
            out.write(printable(f"failed: {outcome.reference}: {outcome.message}"))
        if time.monotonic() - logged_at > LOG_INTERVAL:
            logged_at, done = time.monotonic(), report.totals.total()
            left = (total - done) * report.seconds / done
            out.write(f"{done} of {total} files, {report.throughput}, {max(left, 0):.0f} s left")

    return show


def summary_table(report: Report) -> str:
    """Return a table with a row for each model field and a column for each status."""
    statuses = sorted(report.totals)
    rows = ([label, *(str(counts[each]) for each in statuses)] for label, counts in report.counts.items())
    return _table(["field", *statuses], rows)


def dry_run_table(results: Iterable[DryRunResult]) -> str:
    """Return a table with a row for each bucket and model field."""
    rows = (
        [
            each.bucket,
            each.label,
            str(each.files),
            format_size(each.bytes),
            str(len(each.renamed)),
            str(each.done),
            str(each.remote),
            _problems(each),
        ]
        for each in results
    )
    return _table(["bucket", "field", "files", "bytes", "renamed", "done", "remote", "problems"], rows)


def _problems(result: DryRunResult) -> str:
    counts = [*sorted(result.problems.items()), ("name collisions", len(result.collisions))]
    return ", ".join(f"{number} {problem}" for problem, number in counts if number)


def _table(headers: list[str], rows: Iterable[list[str]]) -> str:
    table = Table(*headers)
    for row in rows:
        table.add_row(*row)
    console = Console(width=TABLE_WIDTH)
    with console.capture() as capture:
        console.print(table)
    return capture.get()
