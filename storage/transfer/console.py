"""Console output: a progress bar on a terminal, plain lines in a log, and tables at the end."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from storage.control_characters import printable
from storage.transfer.dry_run import DryRunResult
from storage.transfer.report import Report, format_size
from storage.transfer.rewriting import TextMention
from storage.transfer.run import Outcome

LOG_INTERVAL = 5.0  # seconds between two progress lines in a log
TABLE_WIDTH = 120  # characters
EXPLANATIONS = {
    "private": "its bucket is private, and URLs of private files expire: a text cannot link to it",
    "unmoved": "no file that is moved has this name",
    "host": "ALLOWED_HOSTS does not tell if this is a host of the site",
    "ambiguous": "two files had this name",
    "key": "it is the name of a value in JSON",
    "changed": "the text was changed meanwhile",
}

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


def summary(report: Report, *, is_stopped: bool, is_partial: bool) -> Iterator[str]:
    """Yield the lines at the end of a run; the last ones say what to do next."""
    if report.counts:
        yield summary_table(report)
    counts = ", ".join(f"{number} {status}" for status, number in sorted(report.totals.items()))
    yield f"{counts or 'nothing to move'}; {format_size(report.bytes)} in {report.seconds:.0f} s"
    for failed in report.failed:
        yield printable(f"  {failed['reason']}: {failed['model']} {failed['id']}: {failed['message']}")
    if report.failed_files > len(report.failed):
        yield f"  and {report.failed_files - len(report.failed)} more"
    if report.texts:
        mentions = ", ".join(f"{number} {status}" for status, number in sorted(report.texts.items()))
        yield f"texts that mention files: {mentions}"
    if report.failures:
        yield "fix the failures above, and run the same command again to continue"
    elif is_stopped:
        yield "stopped: run the same command again to continue"
    elif is_partial or report.totals["changed"]:
        yield "the selected files are moved: run it again for all files before you switch the site"
    elif report.broken_mentions:
        yield (
            f"the files are moved, but {report.broken_mentions} mentions in the texts above would break: "
            f"{_cure(report)}"
        )
    elif report.totals["moved"] + report.totals["there"]:
        yield "all files are moved: switch the site to Supabase, then run this command once more"
    else:
        yield "all files are moved, and nothing was left to move"


def _cure(report: Report) -> str:
    cures = []
    if report.texts["link"] + report.texts["name"]:
        cures.append("run it again with --rewrite-text")
    if report.texts["host"]:
        cures.append("name the site's host with --site-host")
    if report.texts.keys() - {"link", "name", "host", "rewritten"}:
        cures.append("correct those without an arrow yourself")
    return ", and ".join(cures)


def mention_line(each: TextMention) -> str:
    """Return a line with row, column and mention; an arrow leads to what it becomes."""
    parts = [f"  text, {each.status}", str(each.text)]
    if each.mention:
        change = f" → {each.mention.new!r}" if each.mention.new else ""
        parts.append(f"{each.mention.old!r}{change}")
    parts.append(each.message or EXPLANATIONS.get(each.status, ""))
    return printable(": ".join(filter(None, parts)))


def dry_run_lines(results: Sequence[DryRunResult]) -> Iterator[str]:
    """Yield a table, the names that change, and the problems."""
    yield dry_run_table(results)
    for result in results:
        for old, new in result.renamed.items():
            yield f"  becomes: {result.bucket}: {old!r} → {new!r}"
        for message in result.collisions:
            yield printable(f"  collision: {message}")
        for message in result.messages:
            yield printable(f"  {message}")


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
