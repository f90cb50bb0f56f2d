"""What authentication costs: little beside the signature's check that nobody can do without, and no call."""

import re
import subprocess
import sys

import pytest

from tests.support.server import ROOT


@pytest.mark.slow
def test_authentication_costs_little_beside_the_signature_and_no_call():
    """A ratio, for machines differ: 3.5 is a quarter of a millisecond where that check takes 70 µs."""
    done = subprocess.run(
        [sys.executable, "bench/authentication.py"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert "calls of the key server: 1\n" in done.stdout  # the first, which learns the keys
    [ratio] = re.findall(r"^ES256: \d+ µs \(limit 250 µs\), .* ratio (.+)$", done.stdout, re.MULTILINE)
    assert float(ratio) < 3.5
    for algorithm in ("HS256", "RS256", "EdDSA"):
        assert re.search(rf"^{algorithm}: \d+ µs", done.stdout, re.MULTILINE)
