"""What authentication costs: less than a quarter of a millisecond, and no call."""

import re
import subprocess
import sys

import pytest

from tests.server import ROOT


@pytest.mark.slow
def test_authentication_adds_less_than_a_quarter_of_a_millisecond_and_no_call():
    done = subprocess.run(
        [sys.executable, "bench/authentication.py"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert "calls of the key server: 1\n" in done.stdout  # the first, which learns the keys
    [cost] = re.findall(r"^ES256: (\d+) µs \(limit 250 µs\)", done.stdout, re.MULTILINE)
    assert int(cost) < 250
    for algorithm in ("HS256", "RS256", "EdDSA"):
        assert re.search(rf"^{algorithm}: \d+ µs", done.stdout, re.MULTILINE)
