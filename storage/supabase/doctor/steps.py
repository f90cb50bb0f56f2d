"""Runs the checks of `check_supabase` in order, and skips those that depend on a failed check."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from storage.findings import Finding, problem


@dataclass(frozen=True, slots=True)
class Step:
    """One check. `needs`: names of findings; if one of them is a problem or was skipped, so is this step."""

    name: str
    check: Callable[[], Iterator[Finding]]
    needs: tuple[str, ...] = ()


def run_steps(steps: Iterable[Step]) -> Iterator[Finding]:
    """Yield the findings of each step, or one `skipped` finding for a step whose needs failed."""
    failed: set[str] = set()
    for step in steps:
        for finding in _skipped(step, failed) or _run(step):
            if finding.level in ("problem", "skipped"):
                failed.add(finding.name)
            yield finding


def _skipped(step: Step, failed: set[str]) -> list[Finding]:
    missing = [need for need in step.needs if need in failed]
    what = f"Skipped, because these failed or were skipped: {', '.join(missing)}."
    return [Finding(step.name, "skipped", what)] if missing else []


def _run(step: Step) -> Iterator[Finding]:
    """Yield the step's findings; an unexpected exception becomes a problem."""
    try:
        yield from step.check()
    except Exception as error:  # the next steps still run; the message may hold a secret, so it is left out
        what = f"The check failed unexpectedly: {type(error).__name__}."
        yield problem(step.name, what, "Solve the problems above first; if there are none, report this.")
