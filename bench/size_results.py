"""What lists cost by the number of rows, and whether it grows as it should. See `bench/sizes.py`."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from bench.query_plans import NOTHING, Plan

#: Blocks of 8 kB that a page may read in any case, and a count beside one block for each row that it counts.
BLOCKS = 1000
#: Requests that read more with more rows, by a part of their name, and why that stays so.
LINEAR = {
    "member: documents filter": "A member's count reads all that they may see: their own and what is shared.",
    "last page": "A page with a number reads the rows before it. `cursor` does not.",
    "search two letters": "The index has parts of three letters. Shorter words are looked for in each row.",
}


@dataclass(frozen=True, slots=True)
class Name:
    """Of a request. `kind` is a row of the table, `which` tells apart the requests of this kind to a list."""

    list: str
    kind: str
    which: str = ""

    def __str__(self) -> str:
        return f"{self.list} {self.kind} {self.which}".strip()


@dataclass
class Measured:
    """What one request costs with one number of rows. `times` in milliseconds, `rows` of the page."""

    times: list[float] = field(default_factory=list)
    rows: int = 0
    count: int = 0
    page: Plan = NOTHING  # of all queries but that of `count`, added up
    counting: Plan = NOTHING  # of the query for `count`

    @property
    def milliseconds(self) -> float:
        return statistics.median(self.times) if self.times else 0.0


Results = dict[tuple[str, Name], dict[int, Measured]]  # by caller and request, and number of rows


def growing(found: dict[int, Measured]) -> Iterator[str]:
    """Yield what a request reads more of than it should, from one number of rows to the next."""
    for small, large in pairwise(size for size in sorted(found) if size >= 1000):
        before, after = found[small], found[large]
        if after.page.blocks > max(BLOCKS, 2 * before.page.blocks):
            yield f"page: {before.page.blocks:,} blocks of {small:,}, {after.page.blocks:,} of {large:,}"
        if after.counting.blocks > BLOCKS + after.count:
            yield f"count {after.count:,}: {after.counting.blocks:,} blocks of {large:,}"


def judge(results: Results) -> bool:
    """Print the requests that grow, and return True if LINEAR has a reason for each."""
    is_fine, used = True, set()
    for (caller, name), found in results.items():
        for what in growing(found):
            reasons = [part for part in LINEAR if part in f"{caller}: {name}"]
            used.update(reasons)
            if not reasons:
                is_fine = False
                _, largest = max(found.items())
                print(f"GROWS {caller}: {name}: {what} {[*largest.page.notes, *largest.counting.notes]}")
    for part in LINEAR.keys() & used:
        print(f"Grows, as expected: {part}: {LINEAR[part]}")
    return is_fine


def print_table(results: Results) -> None:
    """Print the milliseconds of the middle and the slowest request of each kind, and the most blocks."""
    kinds: dict[str, list[dict[int, Measured]]] = {}
    for (_, name), found in results.items():
        kinds.setdefault(name.kind, []).append(found)
    sizes = sorted({size for found in results.values() for size in found})
    print(f"| request | {' | '.join(f'{size:,} rows' for size in sizes)} | blocks of a page |")
    print("|---" * (len(sizes) + 2) + "|")
    for kind, every in kinds.items():
        cells, blocks = [], []
        for size in sizes:
            there = [found[size] for found in every if size in found]
            times = [each.milliseconds for each in there]
            cells.append(f"{statistics.median(times):.0f} / {max(times):.0f}" if times else "")
            blocks.append(max((each.page.blocks for each in there), default=0))
        read = " → ".join(f"{each:,}" for each in blocks[-3:]) if any(blocks) else ""
        print(f"| {kind} | {' | '.join(cells)} | {read} |")
    for (caller, name), found in results.items():
        if (name.kind, name.list) in [("list of 25", "documents"), ("list of 25", "species")]:
            cells = [f"{found[size].counting.milliseconds:.1f}" if size in found else "" for size in sizes]
            print(f"| of which `count` of {name.list}, {caller} | {' | '.join(cells)} | |")


def print_plans(results: Results) -> None:
    """Print what each request reads."""
    for (caller, name), found in results.items():
        print(f"{caller}: {name}")
        for size, each in found.items():
            print(f"  {size:>9,} {each.milliseconds:8.1f} ms, {each.rows} rows")
            for plan, what in ((each.page, "page"), (each.counting, f"count {each.count:,}")):
                print(
                    f"    {what}: {plan.blocks:,} blocks, {plan.read:,} rows read,"
                    f" {plan.milliseconds:.1f} ms {', '.join(plan.notes)}"
                )
