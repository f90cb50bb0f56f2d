"""docs/errors.md tells all error codes: none is missing, none is invented, and each is as the API answers."""

import json
import re

from django.utils import translation

from api.errors import ERROR_CODES
from tests.support.cast import Caller
from tests.support.pages import PAGES

ROW = re.compile(r"^\| `(\w+)` \| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", re.MULTILINE)
TEXT = PAGES["docs/errors.md"].text


def test_the_table_has_every_code_once_in_the_order_of_the_code():
    assert [row[0] for row in ROW.findall(TEXT)] == list(ERROR_CODES)
    assert len(ROW.findall(TEXT)) == len(re.findall(r"^\| `", TEXT, re.MULTILINE))


def test_each_row_has_the_status_and_the_detail_of_its_code():
    with translation.override("en"):
        expected = [(code, str(status), str(detail)) for code, (status, detail) in ERROR_CODES.items()]

    assert [row[:3] for row in ROW.findall(TEXT)] == expected


def test_the_example_is_the_answer_of_the_api(alice: Caller):
    [example] = PAGES["docs/errors.md"].code("json")

    assert alice.post("documents/", {}).json() == json.loads(example)


def test_each_row_says_when_it_happens_and_what_to_do():
    for code, _, _, when, what in ROW.findall(TEXT):
        assert when.endswith("."), code
        assert what.endswith("."), code
