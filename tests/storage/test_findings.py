"""A URL in a finding is shown as it is, without what may be secret."""

import pytest

from storage.findings import redact_url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.zoo.example.org/hook/", "https://api.zoo.example.org/hook/"),
        ("https://api.zoo.example.org/", "https://api.zoo.example.org/"),
        ("https://api.zoo.example.org", "https://api.zoo.example.org"),
        ("http://127.0.0.1:54321/auth/v1", "http://127.0.0.1:54321/auth/v1"),
        ("http://[::1]:54321/auth/v1", "http://[::1]:54321/auth/v1"),
        ("https://user:hush@zoo.example.org/x?token=hush#hush", "https://zoo.example.org/x"),
        ("https://user:hu/sh@zoo.example.org", "an invalid URL"),
        ("https://[", "an invalid URL"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str):
    assert redact_url(url) == shown
