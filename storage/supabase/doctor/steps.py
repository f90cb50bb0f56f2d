"""The order in which things are looked at: what rests on something that is wrong is left out, and says so."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from storage.findings import Finding, problem


@dataclass(frozen=True, slots=True)
class Step:
    """`needs` are names of findings; one of them that is a problem, or was skipped, skips this step."""

    name: str
    look: Callable[[], Iterator[Finding]]
    needs: tuple[str, ...] = ()


def examine(steps: Iterable[Step]) -> Iterator[Finding]:
    failed: set[str] = set()
    for step in steps:
        for finding in _skipped(step, failed) or _looked_at(step):
            if finding.level in ("problem", "skipped"):
                failed.add(finding.name)
            yield finding


def _skipped(step: Step, failed: set[str]) -> list[Finding]:
    missing = [need for need in step.needs if need in failed]
    what = f"Not looked at, because of: {', '.join(missing)}."
    return [Finding(step.name, "skipped", what)] if missing else []


def _looked_at(step: Step) -> Iterator[Finding]:
    try:
        yield from step.look()
    except Exception as error:  # a doctor does not die of what the patient has, nor quote what it says
        what = f"Could not be looked at: {type(error).__name__}."
        yield problem(step.name, what, "Cure the lines above first; if there are none, report this.")
