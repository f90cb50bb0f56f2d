"""docs/errors.md tells all error codes: none is missing, none is invented, and each is as the API answers."""

import re

from django.utils import translation

from api.errors import ERROR_CODES
from tests.support.server import ROOT

ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
TEXT = (ROOT / "docs" / "errors.md").read_text()


def test_the_table_has_every_code_once_in_the_order_of_the_code():
    assert [row[0] for row in ROW.findall(TEXT)] == list(ERROR_CODES)
    assert len(ROW.findall(TEXT)) == len(re.findall(r"^\| `", TEXT, re.MULTILINE))


def test_each_row_has_the_status_and_the_detail_of_its_code():
    with translation.override("en"):
        expected = [(code, str(status), str(detail)) for code, (status, detail) in ERROR_CODES.items()]

    assert [row[:3] for row in ROW.findall(TEXT)] == expected


def test_each_row_says_when_it_happens_and_what_to_do():
    for code, _, _, when, what in ROW.findall(TEXT):
        assert when.endswith("."), code
        assert what.endswith("."), code
