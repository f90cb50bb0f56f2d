"""What PostgreSQL reads for a query, by EXPLAIN. Read by `bench/sizes.py`."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper

PLAN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "


@dataclass(frozen=True, slots=True)
class Plan:
    """`blocks` of 8 kB that were read from memory or disk, `read` rows of tables, `returned` rows.

    `notes` name the tables that were read in whole, and how many rows were sorted.
    """

    blocks: int = 0
    read: int = 0
    returned: int = 0
    milliseconds: float = 0
    notes: tuple[str, ...] = ()


NOTHING = Plan()


def explain(connection: BaseDatabaseWrapper, sql: str, large: int) -> Plan:
    """Run the query. `large` is the number of rows from which scans and sorts are worth a note."""
    with connection.cursor() as cursor:
        cursor.execute(PLAN + sql)
        [(found,)] = cursor.fetchall()
    [explained] = json.loads(found) if isinstance(found, str) else found
    root = explained["Plan"]
    return Plan(
        blocks=root["Shared Hit Blocks"] + root["Shared Read Blocks"],
        read=sum(_rows_read(node) for node in _nodes(root) if "Relation Name" in node),
        returned=root["Actual Rows"],
        milliseconds=explained["Planning Time"] + explained["Execution Time"],
        notes=tuple(dict.fromkeys(_notes(root, large))),
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", []):
        yield from _nodes(inner)


def _rows_read(node: dict[str, Any]) -> int:
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return round((node["Actual Rows"] + removed) * node["Actual Loops"])


def _notes(root: dict[str, Any], large: int) -> Iterator[str]:
    for node in _nodes(root):
        if node["Node Type"] == "Seq Scan" and _rows_read(node) >= large:
            yield f"reads all of {node['Relation Name']}"
        if node["Node Type"] in ("Sort", "Incremental Sort"):
            rows = sum(inner["Actual Rows"] * inner["Actual Loops"] for inner in node["Plans"])
            if rows >= large:
                yield f"sorts {rows:,} rows"


def add_up(plans: Iterable[Plan]) -> Plan:
    total = NOTHING
    for plan in plans:
        total = Plan(
            total.blocks + plan.blocks,
            total.read + plan.read,
            total.returned + plan.returned,
            total.milliseconds + plan.milliseconds,
            (*total.notes, *plan.notes),
        )
    return total
