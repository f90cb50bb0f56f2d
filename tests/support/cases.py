"""Choose cases of two parameters pairwise, where all of them go through the same code."""

from collections.abc import Mapping
from typing import Any

import pytest

#: What no log and no terminal may get: NUL, VT, ESC, DEL, NEL, CSI, separators, bidirectional marks.
CONTROL_CHARACTERS = "\0\b\v\f\x1b\x7f\x85\x9b\u200f\u2028\u2029\u202e\u2066\ud800"


def crossed(rows: Mapping[str, Any], columns: Mapping[str, Any]) -> list[Any]:
    """Return the first row with every column, then every other row with the first column."""
    (first_row, *others), (first_column, *_) = rows, columns
    chosen = [(first_row, column) for column in columns] + [(row, first_column) for row in others]
    return [pytest.param(rows[row], columns[column], id=f"{row}, {column}") for row, column in chosen]


def spread(rows: Mapping[str, Any], columns: Mapping[str, Any], each: int) -> list[tuple[str, str]]:
    """Return the names of every row with `each` of the columns, which take turns, so that all are chosen."""
    names, step = list(columns), len(columns) // each
    return [
        (row, names[(number + turn * step) % len(names)])
        for number, row in enumerate(rows)
        for turn in range(each)
    ]


#: The fixtures of a server on each database, for tests of what concurrent requests do.
DATABASES = ["server", pytest.param("server_on_postgresql", marks=pytest.mark.slow)]
