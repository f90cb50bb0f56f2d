"""What is wrong with the settings of Supabase is told at start-up, with an id and the cure."""

import time
from typing import Any

import jwt
import pytest
from django.core.checks import CheckMessage, Error, Warning

from api import checks as api_checks
from storage import checks

REF, OTHER = "abcdefghijklmnopqrst", "tsrqponmlkjihgfedcba"
HOSTED = f"https://{REF}.supabase.co"
SECRET = "sb_secret_Zu9k3BfPq7Xw1Tn5Lm2R"
PUBLISHABLE = "sb_publishable_Hc3Jd6Fg1Ms5PaEoUiQt"


def legacy(role: str, **claims: Any) -> str:
    """A key as older projects have them."""
    known = {"iss": "supabase", "ref": REF, "role": role, "iat": 1700000000, "exp": 2015000000}
    return jwt.encode({**known, **claims}, "a-secret-of-32-characters-or-more", algorithm="HS256")


@pytest.fixture
def hosted(settings) -> Any:
    """Well configured for a hosted project."""
    settings.STORAGE = "supabase"
    settings.SUPABASE_URL = HOSTED
    settings.SUPABASE_JWT_SECRET = ""
    settings.SUPABASE_JWT_ISSUER = f"{HOSTED}/auth/v1"
    settings.SUPABASE_JWKS_URL = f"{HOSTED}/auth/v1/.well-known/jwks.json"
    settings.SUPABASE_SECRET_KEY = SECRET
    settings.SUPABASE_PUBLISHABLE_KEY = PUBLISHABLE
    return settings


def told() -> list[CheckMessage]:
    """Each with a cure, and no key."""
    found = [*checks.check_settings(None), *checks.check_supabase(None), *api_checks.check_issuer(None)]
    for each in found:
        assert each.hint
        assert isinstance(each, Error if ".E" in str(each.id) else Warning)
        assert not any(key in f"{each.msg} {each.hint}" for key in ("eyJ", SECRET, PUBLISHABLE, "hush"))
    return found


def ids() -> list[str | None]:
    return [each.id for each in told()]


def test_a_well_configured_project_has_nothing_to_be_told(hosted):
    assert ids() == []

    hosted.SUPABASE_SECRET_KEY, hosted.SUPABASE_PUBLISHABLE_KEY = legacy("service_role"), legacy("anon")
    assert ids() == []


def test_a_stack_of_ones_own_has_nothing_to_be_told(hosted):
    hosted.SUPABASE_URL = "https://supabase.zoo.example.org:8443"
    hosted.SUPABASE_JWT_ISSUER = "https://supabase.zoo.example.org:8443/auth/v1"
    hosted.SUPABASE_JWKS_URL = ""
    hosted.SUPABASE_SIGNING = "secret"
    hosted.SUPABASE_JWT_SECRET = "a-secret-of-32-characters-or-more"
    hosted.SUPABASE_SECRET_KEY = legacy("service_role", ref=None)

    assert ids() == []


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("abcdefghijklmnopqrst", "storage.E007"),
        ("postgresql://postgres:hush@db.abcdefghijklmnopqrst.supabase.co:5432/postgres", "storage.E007"),
        ("https://user:hush@stack.example.org", "storage.E007"),
        ("https://stack.example.org?apikey=hush", "storage.E007"),
        ("https://stack.example.org:port", "storage.E007"),
        ("https://stack.example.org:99999", "storage.E007"),
        ("https://[", "storage.E007"),
        ("https://", "storage.E007"),
        ("https://two words", "storage.E007"),
        (f"https://supabase.com/dashboard/project/{REF}", "storage.E007"),
        ("https://stack.example.org/storage/v1", "storage.E008"),
        ("https://stack.example.org/auth/v1", "storage.E008"),
        ("https://stack.example.org/stack", "storage.E008"),
        (f"{HOSTED}/rest/v1", "storage.E008"),
        (f"http://{REF}.supabase.co", "storage.E009"),
        ("http://stack.example.org", "storage.W009"),
        ("http://192.168.1.5:8000", "storage.W009"),
        ("http://127.0.0.1:54321", None),
        ("http://[::1]:54321", None),
        ("http://localhost:54321", None),
    ],
)
def test_the_address(hosted, url: str, expected: str | None):
    hosted.SUPABASE_URL = url

    assert ids() == ([expected] if expected else [])


@pytest.mark.parametrize(("prefix", "expected"), [("/vivarium", []), ("", ["storage.E008"])])
def test_the_local_store_has_the_prefix_of_its_server(settings, prefix: str, expected: list[str]):
    settings.SUPABASE_URL, settings.FORCE_SCRIPT_NAME = "https://zoo.example.org/vivarium", prefix

    assert [each.id for each in checks.check_supabase(None)] == expected


def test_development_in_a_house_network_may_do_without_certificates(hosted):
    hosted.DEBUG, hosted.SUPABASE_URL = True, "http://192.168.1.5:8000"

    assert ids() == []


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (PUBLISHABLE.replace("H", "h"), ["storage.E010"]),
        (legacy("anon"), ["storage.E010"]),
        (legacy("authenticated"), ["storage.E010"]),
        ("of two words", ["storage.E010"]),
        ("ключ", ["storage.E010"]),
        ("nonsense", ["storage.W010"]),
        (legacy("postgres"), ["storage.W010"]),
        ("sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz", ["storage.E011"]),
        (legacy("service_role", iss="supabase-demo", ref=None), ["storage.E011"]),
        (legacy("service_role", ref=OTHER), ["storage.E012"]),
        (legacy("service_role", exp=int(time.time()) - 60), ["storage.E013"]),
        (legacy("anon", ref=OTHER, exp=1), ["storage.E010", "storage.E012", "storage.E013"]),
        ("", []),
    ],
)
def test_the_secret_key(hosted, key: str, expected: list[str]):
    hosted.SUPABASE_SECRET_KEY = key

    assert ids() == expected


def test_the_jwt_secret_is_no_api_key(hosted):
    hosted.SUPABASE_SECRET_KEY = hosted.SUPABASE_JWT_SECRET = "a-secret-of-32-characters-or-more"

    assert ids() == ["storage.E010"]


@pytest.mark.parametrize("key", [SECRET, "sb_secret_another", legacy("service_role")])
def test_a_secret_key_is_not_to_be_published(hosted, key: str):
    hosted.SUPABASE_PUBLISHABLE_KEY = key

    [problem] = told()

    assert problem.id == "storage.E014"
    assert "revoke" in str(problem.hint)


@pytest.mark.parametrize("key", [PUBLISHABLE, legacy("anon")])
def test_a_publishable_key_in_both_places_is_told_once_and_need_not_be_revoked(hosted, key: str):
    hosted.SUPABASE_SECRET_KEY = hosted.SUPABASE_PUBLISHABLE_KEY = key

    [problem] = told()

    assert problem.id == "storage.E010"
    assert "SUPABASE_SECRET_KEY" in problem.msg
    assert "revoke" not in f"{problem.msg} {problem.hint}"


def test_a_key_of_no_known_form_in_both_places_is_a_secret(hosted):
    hosted.SUPABASE_SECRET_KEY = hosted.SUPABASE_PUBLISHABLE_KEY = "nonsense"

    assert ids() == ["storage.W010", "storage.E014"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH", "storage.E011"),
        (legacy("anon", iss="supabase-demo", ref=None), "storage.E011"),
        (legacy("anon", ref=OTHER), "storage.E012"),
    ],
)
def test_the_publishable_key(hosted, key: str, expected: str):
    hosted.SUPABASE_PUBLISHABLE_KEY = key

    assert ids() == [expected]


def test_demo_keys_are_for_a_stack_on_this_machine(hosted):
    hosted.SUPABASE_SECRET_KEY = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"
    hosted.SUPABASE_URL, hosted.DEBUG = "http://127.0.0.1:54321", True
    assert ids() == []

    hosted.DEBUG = False
    assert ids() == ["storage.E011"]


def test_nobody_but_the_project_signs_for_a_hosted_one(hosted):
    hosted.SUPABASE_SIGNING = "secret"

    assert ids() == ["storage.E015"]


@pytest.mark.parametrize(
    ("issuer", "expected"),
    [
        (f"{HOSTED}/auth/v1/", "api.E002"),
        (HOSTED, "api.E002"),
        (f"http://{REF}.supabase.co/auth/v1", "api.E002"),
        (f"https://{OTHER}.supabase.co/auth/v1", "api.E003"),
        ("https://auth.zoo.example.org/auth/v1/", "api.W002"),
        ("http://localhost:54321/auth/v1", "api.W004"),
        ("https://auth.zoo.example.org/auth/v1", None),
        ("https://[", None),
    ],
)
def test_the_issuer(hosted, issuer: str, expected: str | None):
    hosted.SUPABASE_JWT_ISSUER = issuer

    assert sorted({*ids()}) == ([expected] if expected else [])


def test_the_keys_of_another_project_verify_nothing(hosted):
    hosted.SUPABASE_JWKS_URL = f"https://{OTHER}.supabase.co/auth/v1/.well-known/jwks.json?apikey=hush"

    [problem] = told()

    assert problem.id == "api.E003"
    assert "SUPABASE_JWKS_URL" in problem.msg


def test_the_issuer_of_a_hosted_project_goes_with_a_store_of_ones_own(settings):
    settings.SUPABASE_JWT_ISSUER = f"{HOSTED}/auth/v1"
    settings.SUPABASE_JWKS_URL = f"{HOSTED}/auth/v1/.well-known/jwks.json"

    assert ids() == []
