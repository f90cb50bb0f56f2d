"""500 generated names: each is refused, or an object inside the root that comes back as it went."""

from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as any_of

from storage import keys
from storage.keys import InvalidKey
from storage.local.objects import LocalObjects
from tests.support.storage_cast import refusal, service

PIECES = [
    ".",
    "..",
    "/",
    "//",
    "\\",
    "%2e",
    "%2F",
    "%00",
    "\0",
    "a",
    "A",
    "é",
    "\n",
    " ",
    "~",
    ":",
    "+",
    "?",
    "#",
]
NAMES = any_of.one_of(
    any_of.lists(any_of.sampled_from(PIECES), min_size=1, max_size=12).map("".join),
    any_of.text(min_size=1, max_size=40),
    any_of.from_regex(keys.LEGAL, fullmatch=True),
    any_of.integers(200, 1100).map("a".__mul__),
    any_of.integers(100, 600).map("a/".__mul__),
)


@pytest.fixture
def outside() -> Path:
    """A neighbour of the root, whom no name may reach."""
    folder = Path(django_settings.MEDIA_ROOT).parent
    (folder / "secret").write_bytes(b"secret")
    service.bucket("things")
    return folder


def untouched(outside: Path) -> bool:
    media = Path(django_settings.MEDIA_ROOT)
    return (
        {each.name for each in outside.iterdir()} == {"media", "secret"}
        and (outside / "secret").read_bytes() == b"secret"
        and {each.name for each in media.iterdir()} <= {"things", ".objects"}
    )


@pytest.mark.slow
@given(name=NAMES)
@example(name="../../secret")
@example(name="..%2f..%2fsecret")
@example(name="/etc/passwd")
@settings(
    max_examples=250,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_by_http_a_name_is_refused_or_kept(outside, name):
    path = f"object/things/{quote(name, safe='')}"
    content = name.encode()

    sent = service.ask("PUT", path, content, content_type="text/plain")
    back = service.ask("GET", path)

    if sent.status_code == 200:
        assert (back.body, sent.json()["Key"]) == (content, f"things/{name}")
        assert service.ask("DELETE", path).status_code == 200
    else:
        assert refusal(sent) == ("400", "InvalidKey")
        assert refusal(back)[1] in ("InvalidKey", "NoSuchKey")
    assert untouched(outside)


@pytest.mark.slow
@given(name=NAMES)
@example(name="../../secret")
@example(name="\ud800")
@settings(
    max_examples=250,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_in_the_store_a_name_is_refused_or_kept(outside, name):
    objects = LocalObjects("things")
    content = name.encode(errors="replace")

    if keys.is_legal(name):
        objects.write(name, [content], content_type="text/plain", cache_control="no-cache")
        with objects.open(name)[0] as file:
            assert file.read() == content
        assert list(objects.walk()) == [name]
        objects.remove(name)
    else:
        with pytest.raises(InvalidKey):
            objects.write(name, [content], content_type="text/plain", cache_control="no-cache")
    assert list(objects.walk()) == []
    assert untouched(outside)
