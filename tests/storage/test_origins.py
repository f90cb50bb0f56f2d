"""An origin that no browser sends is told with the right spelling, and a pattern matches no stranger."""

import re

import pytest
from django.core.exceptions import ImproperlyConfigured

from storage import checks
from storage.origins import pattern_regex


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example.org",
        "https://app.example.org:8443",
        "http://localhost:3000",
        "http://127.0.0.1:5173",
        "http://[::1]:5173",
        "https://xn--jardn-2sa.example.org",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "null",
        "file://",
    ],
)
def test_what_browsers_send_needs_no_advice(settings, origin: str):
    settings.CORS_ALLOWED_ORIGINS = [origin]

    assert checks.check_cors(None) == []


@pytest.mark.parametrize(
    ("origin", "cure"),
    [
        ("https://*.example.app", "Move it to CORS_ALLOWED_ORIGIN_PATTERNS"),
        ("*", "Move it to CORS_ALLOWED_ORIGIN_PATTERNS"),
        ("https://zoo.example.org/", "Write https://zoo.example.org."),
        ("https://zoo.example.org/login?next=/", "Write https://zoo.example.org."),
        ("https://Zoo.Example.org", "Write https://zoo.example.org."),
        ("HTTPS://zoo.example.org", "Write https://zoo.example.org."),
        ("zoo.example.org", "Write https://zoo.example.org."),
        ("localhost:3000", "Write http://localhost:3000."),
        ("//zoo.example.org", "Write https://zoo.example.org."),
        ("https://zoo.example.org:443", "Write https://zoo.example.org."),
        ("http://zoo.example.org:80", "Write http://zoo.example.org."),
        ("https://zoo.example.org:", "Write https://zoo.example.org."),
        ("http://[0:0::1]:3000/", "Write http://[::1]:3000."),
        ("https://user@zoo.example.org", "Write https://zoo.example.org."),
        ("https://jardín.example.org", "Write https://xn--jardn-2sa.example.org."),
        ("https://zoo.example.org https://b.example.org", "Write https://app.example.org."),
        ("https://zoo.example.org:port", "Write https://app.example.org."),
        ("https://", "Write https://app.example.org."),
        ("https://[", "Write https://app.example.org."),
    ],
)
def test_what_no_browser_sends_is_told_with_the_cure(settings, origin: str, cure: str):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example.org", origin]

    [told] = checks.check_cors(None)

    assert (told.id, told.hint.startswith(cure)) == ("storage.E016", True), told.hint
    assert repr(origin) in told.msg


@pytest.mark.parametrize(
    ("pattern", "origin"),
    [
        ("https://*.example.app", "https://x.example.app"),
        ("https://*.example.app", "https://pr-12.example.app"),
        ("https://app-*-zoo.example.app", "https://app-7f3a-zoo.example.app"),
        ("https://*.*.example.app", "https://a.b.example.app"),
        ("http://*.dev.example.app:8080", "http://x.dev.example.app:8080"),
    ],
)
def test_a_pattern_matches_what_it_says(pattern: str, origin: str):
    assert re.match(pattern_regex(pattern), origin)


@pytest.mark.parametrize(
    "stranger",
    [
        "https://evil-example.app",
        "https://example.app",
        "https://.example.app",
        "https://x.example.app.evil.com",
        "https://x.example.app:8443",
        "https://x.example.app/",
        "https://x.example.app\n",
        "https://evil.com/.example.app",
        "https://evil.com?.example.app",
        "https://evil.com#x.example.app",
        "https://a@x.example.app",
        "https://a.b.example.app",
        "https://x.exampleXapp",
        "http://x.example.app",
        "xhttps://x.example.app",
        "https://" + "x" * 64 + ".example.app",
        "null",
        "",
    ],
)
def test_a_pattern_matches_no_stranger(stranger: str):
    assert not re.match(pattern_regex("https://*.example.app"), stranger)


@pytest.mark.parametrize(
    "pattern",
    [
        *("*", "https://*", "https://*.app", "https://example.*", "https://*example.app", "https://x.*.app"),
        *("*.example.app", "https://*.example.app/", "https://*.Example.app", "https://app.example.app"),
        *("https://*.example.app:*", "https://.*\\.example\\.app", "^https://.+$", "https://*..example.app"),
    ],
)
def test_a_pattern_that_is_none_or_matches_too_much_is_refused(pattern: str):
    with pytest.raises(
        ImproperlyConfigured, match=r"CORS_ALLOWED_ORIGIN_PATTERNS: .* https://\*\.example\.org"
    ):
        pattern_regex(pattern)
