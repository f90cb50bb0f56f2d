"""Every setting is read once, named when it is wrong, and never printed."""

import ast
import os
import re
import runpy
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.support.server import ROOT

EXAMPLE = (ROOT / ".env.example").read_text()
PRODUCTION = {
    "SECRET_KEY": "zK8v!q2Lx$Rw7Tn4Yb9Hc3Jd6Fg1Ms5PaEoUiQtZkXyVbNmWe%Ap0^Sl2",
    "SUPABASE_JWT_SECRET": "f3a9c1d47e5b60829bd1e4f7a2c58360d94be17f",
    "ALLOWED_HOSTS": "zoo.example.org",
    "CACHE_URL": "redis://127.0.0.1:6379/0",
}
ADDRESSES = {"PUBLIC_URL": "https://api.zoo.example.org", "PUBLIC_SITE_URL": "https://zoo.example.org"}
WELL_KNOWN = {
    "SECRET_KEY": ["insecure-development-key-that-production-refuses-to-start-with"],
    "SUPABASE_JWT_SECRET": [
        "super-secret-jwt-token-with-at-least-32-characters-long",
        "your-super-secret-jwt-token-with-at-least-32-characters-long",
    ],
    "SUPABASE_SECRET_KEY": ["sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"],
    "SUPABASE_PUBLISHABLE_KEY": ["sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH"],
    "STORAGE_WEBHOOK_SECRET": ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
}


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"ENV_FILE": os.devnull, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def settings_of(**environment: str) -> dict[str, Any]:
    """The settings as a process with nothing but this environment reads them."""
    with patch.dict(os.environ, {"ENV_FILE": os.devnull, **environment}, clear=True):
        return runpy.run_path(str(ROOT / "backend" / "settings.py"))


def read(*names: str, **environment: str) -> list[Any]:
    values = settings_of(**environment)
    return [values[name] for name in names]


def refusal(**environment: str) -> str:
    """What a process with this environment dies of; nothing that happened on the way may be shown."""
    with pytest.raises(ImproperlyConfigured) as caught:
        settings_of(**environment)
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.count("Traceback") == 1, shown
    return str(caught.value)


# --- .env.example -----------------------------------------------------------------------------------


def read_by_settings() -> dict[str, list[str]]:
    """The settings that settings.py reads, each with the other names that it goes by."""
    names: dict[str, list[str]] = {}
    for node in ast.walk(ast.parse((ROOT / "backend" / "settings.py").read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        arguments = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        if called == "first_of":
            first, *others = arguments
            names[first] = others
        elif re.fullmatch(r"env\.\w+|rate", called) and called != "env.read_env" and arguments:
            names[arguments[0]] = []
    return names


def listed() -> dict[str, str]:
    """The settings of .env.example, each with the comment above it."""
    return {name: comment for comment, name in re.findall(r"((?:^#.*\n)+)([A-Z_]+)=", EXAMPLE, re.MULTILINE)}


def test_env_example_lists_exactly_what_is_read():
    names = re.findall(r"^([A-Z_]+)=", EXAMPLE, re.MULTILINE)

    assert len(names) == len(set(names))
    assert set(names) == set(read_by_settings())
    assert set(listed()) == set(names), "each setting has a comment above it"


def test_env_example_names_the_other_names_of_a_setting():
    for name, others in read_by_settings().items():
        for other in others:
            assert re.search(rf"\b{other}\b", listed()[name]), other


def test_env_example_sets_what_a_fresh_machine_needs_and_nothing_else():
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))

    assert {name: value for name, value in values.items() if value} == {"DEBUG": "true", "STORAGE": "local"}
    names = ("DEBUG", "PORT", "UPLOAD_URL_TTL", "SUPABASE_JWT_ISSUER", "DOCUMENT_TYPES")
    assert read(*names, ENV_FILE=str(ROOT / ".env.example")) == read(*names, DEBUG="true")


# --- Where a value comes from -----------------------------------------------------------------------


def test_with_debug_everything_has_a_default():
    assert read(
        "DEBUG", "PORT", "STORAGE", "SUPABASE_URL", "SUPABASE_JWT_ISSUER", "SUPABASE_JWKS_URL", DEBUG="true"
    ) == [True, 8000, "local", "http://127.0.0.1:8000", "http://127.0.0.1:8000/auth/v1", ""]


def test_the_defaults_follow_the_port_and_the_url():
    assert read("SUPABASE_URL", "SUPABASE_JWT_ISSUER", DEBUG="true", PORT="8123") == [
        "http://127.0.0.1:8123",
        "http://127.0.0.1:8123/auth/v1",
    ]
    assert read("SUPABASE_JWT_ISSUER", DEBUG="true", SUPABASE_URL="https://ref.supabase.co/") == [
        "https://ref.supabase.co/auth/v1"
    ]


def test_the_environment_beats_the_file_and_empty_means_unset(tmp_path: Path):
    file = tmp_path / "env"
    file.write_text("DEBUG=true\nPORT=7001\nTIME_ZONE=Europe/Lisbon\nLANGUAGE_CODE=es\nMEDIA_ROOT=\n")

    assert read("DEBUG", "PORT", "TIME_ZONE", "LANGUAGE_CODE", ENV_FILE=str(file), PORT="7002") == [
        True,
        7002,
        "Europe/Lisbon",
        "es",
    ]
    assert read("PORT", "TIME_ZONE", ENV_FILE=str(file), PORT="", TIME_ZONE="  ") == [7001, "Europe/Lisbon"]
    assert read("MEDIA_ROOT", ENV_FILE=str(file)) == [str(ROOT / "media")]


def test_a_file_that_is_not_there_is_no_error(tmp_path: Path):
    assert read("DEBUG", ENV_FILE=str(tmp_path / "none"), DEBUG="true") == [True]


def test_a_setting_is_found_under_each_of_its_names_and_its_own_comes_first():
    for alias in ("SUPABASE_SERVICE_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_KEY"):
        assert read("SUPABASE_SECRET_KEY", DEBUG="true", **{alias: "of-the-alias"}) == ["of-the-alias"]
    both = {"SUPABASE_KEY": "of-the-alias", "SUPABASE_SECRET_KEY": "its-own"}
    assert read("SUPABASE_SECRET_KEY", DEBUG="true", **both) == ["its-own"]
    assert read("SUPABASE_SECRET_KEY", DEBUG="true", **{**both, "SUPABASE_SECRET_KEY": ""}) == [
        "of-the-alias"
    ]
    assert read(
        "SUPABASE_PUBLISHABLE_KEY",
        "SUPABASE_STORAGE_BUCKET",
        DEBUG="true",
        SUPABASE_ANON_KEY="a",
        SUPABASE_BUCKET="b",
    ) == ["a", "b"]


@pytest.mark.parametrize(
    "value", ["$ECRET", "$HOME", "a$b$$c", r"\$a", r"a\b", "#a b#", "ümläut", "=a=", "'quoted'"]
)
def test_a_secret_is_taken_as_it_stands(value: str):
    names = ("SECRET_KEY", "SUPABASE_JWT_SECRET", "SUPABASE_SECRET_KEY")
    environment = dict.fromkeys(names, value)

    assert read(*names, DEBUG="true", HOME="/root", **environment) == [value, value, value]


def test_a_secret_in_the_file_may_begin_with_a_dollar(tmp_path: Path):
    (tmp_path / "env").write_text("DEBUG=true\nSECRET_KEY=$ECRET\nSUPABASE_JWT_SECRET='$HOME#x'\n")

    assert read("SECRET_KEY", "SUPABASE_JWT_SECRET", ENV_FILE=str(tmp_path / "env")) == ["$ECRET", "$HOME#x"]


def test_a_password_in_a_url_may_hold_a_dollar():
    url = "postgres://zoo:p$w%23d@db.example.org:6543/zoo"

    (databases,) = read("DATABASES", DEBUG="true", DATABASE_URL=url)
    assert databases["default"]["PASSWORD"] == "p$w#d"


def test_lists_may_be_written_with_spaces_and_stray_commas():
    assert read(
        "ALLOWED_HOSTS",
        "CORS_ALLOWED_ORIGINS",
        "SUPABASE_STAFF_ROLES",
        DEBUG="true",
        ALLOWED_HOSTS=" zoo.example.org , www.example.org,",
        CORS_ALLOWED_ORIGINS="https://zoo.example.org, https://app.example.org",
        SUPABASE_STAFF_ROLES=" keeper, , vet ,",  # an empty role would be the role of everybody without one
    ) == [
        ["zoo.example.org", "www.example.org"],
        ["https://zoo.example.org", "https://app.example.org"],
        ["keeper", "vet"],
    ]


def test_origins_may_be_given_by_patterns():
    (regexes,) = read(
        "CORS_ALLOWED_ORIGIN_REGEXES",
        CORS_ALLOWED_ORIGIN_PATTERNS="https://*.example.app, https://app-*.example.org",
        **PRODUCTION,
    )

    def is_allowed(origin: str) -> bool:
        return any(re.match(regex, origin) for regex in regexes)

    assert is_allowed("https://x.example.app")
    assert is_allowed("https://app-7.example.org")
    assert not is_allowed("https://x.example.app.evil.com")
    assert "https://*.example.org" in refusal(CORS_ALLOWED_ORIGIN_PATTERNS="https://*", **PRODUCTION)


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("1", True), ("false", False), ("0", False), ("", False)]
)
def test_what_admits_more_than_members_is_off_unless_it_is_on(value: str, expected: bool):
    names = ("SUPABASE_ALLOW_ANONYMOUS", "SUPABASE_ALLOW_OAUTH_CLIENTS")

    assert read(*names, DEBUG="true", **dict.fromkeys(names, value)) == [expected, expected]


# --- What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "eighty"),
        ("UPLOAD_URL_TTL", "30min"),
        ("DOWNLOAD_URL_TTL", "5.5"),
        ("DOCUMENT_MAX_BYTES", "50MB"),
        ("DOCUMENT_MAX_BYTES", "$OTHER"),
        ("CHECKSUM_MAX_BYTES", "1e9"),
        ("FORWARDED_ALLOW_IPS", "127.0.0.1,hush-hush"),
        ("DATABASE_URL", "hush-hush"),
        ("DATABASE_URL", "postgres://zoo:hush/hush@db.example.org/zoo"),
        ("CACHE_URL", "hush-hush"),
        ("CACHE_URL", "hush://zoo:hush@cache.example.org"),
    ],
)
def test_what_cannot_be_read_names_the_setting_and_never_its_value(name: str, value: str):
    told = refusal(DEBUG="true", **{name: value})

    assert told == f"{name} has an invalid value."


@pytest.mark.parametrize("value", ["0", "-1", "65536"])
def test_a_port_that_there_is_not_is_refused(value: str):
    assert refusal(DEBUG="true", PORT=value) == "PORT must be a number from 1 to 65535."


def test_an_unknown_store_is_refused_with_the_cure():
    told = refusal(DEBUG="true", STORAGE="s3")

    assert "STORAGE='s3'" in told
    assert "set local or supabase" in told


PROJECT = {
    "STORAGE": "supabase",
    "SUPABASE_URL": "https://ref.supabase.co",
    "SUPABASE_SECRET_KEY": "sb_secret_own",
}


def test_a_project_of_supabase_takes_three_settings():
    read_back = read("STORAGES", "SUPABASE_JWKS_URL", "SUPABASE_JWT_SECRET", DEBUG="true", **PROJECT)

    stores, keys, secret = read_back
    assert {store["BACKEND"] for name, store in stores.items() if name != "staticfiles"} == {
        "storage.supabase.SupabaseStorage"
    }
    assert keys == "https://ref.supabase.co/auth/v1/.well-known/jwks.json"
    assert secret == "", "the printed secret must not open a hosted project"


@pytest.mark.parametrize("name", ["SUPABASE_URL", "SUPABASE_SECRET_KEY"])
def test_a_project_of_supabase_is_not_guessed_even_with_debug(name):
    told = refusal(DEBUG="true", **{**PROJECT, name: ""})

    assert told == f"Set {name}: there is no default for this."


def test_who_signs_is_one_of_two():
    assert "SUPABASE_SIGNING" in refusal(DEBUG="true", SUPABASE_SIGNING="both")
    assert "SUPABASE_JWT_SECRET" in refusal(DEBUG="true", SUPABASE_SIGNING="secret", **PROJECT)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STORAGE_TIMEOUT", "0"),
        ("STORAGE_TIMEOUT", "-8"),
        ("STORAGE_TIMEOUT", "inf"),
        ("STORAGE_TIMEOUT", "nan"),
        ("STORAGE_TIMEOUT", "8s"),
        ("THREADS", "1"),
        ("THREADS", "0"),
        ("THREADS", "2.5"),
    ],
)
def test_a_limit_for_the_store_that_is_none_is_refused(name: str, value: str):
    assert refusal(DEBUG="true", **{name: value}).startswith(name)


def test_a_limit_for_the_store_may_be_a_part_of_a_second():
    limits = {"STORAGE_TIMEOUT": "0.5", "THREADS": "2"}

    assert read(*limits, DEBUG="true", **limits) == [0.5, 2]
    assert read(*limits, DEBUG="true") == [8, 16]


@pytest.mark.slow
def test_gunicorn_has_as_many_threads_as_the_limits_count():
    done = python("-m", "gunicorn", "--print-config", DEBUG="true", THREADS="5")

    assert re.search(r"^threads\s+= 5$", done.stdout, re.MULTILINE), done.stderr


@pytest.mark.slow
def test_gunicorn_leaves_tls_to_a_proxy():
    done = python("-m", "gunicorn", "--certfile", "README.md", "--keyfile", "README.md", DEBUG="true")

    assert done.returncode != 0
    assert "TLS is not supported: remove certfile and keyfile, and set up a proxy for it." in done.stderr


def test_a_language_that_there_is_not_is_refused_with_the_cure():
    told = refusal(DEBUG="true", LANGUAGE_CODE="pt")

    assert told == "LANGUAGE_CODE='pt' is not supported by this version: set en or es."


def test_production_starts_with_keys_of_its_own():
    assert read("DEBUG", **PRODUCTION) == [False]
    assert read("DEBUG", DEBUG="", **PRODUCTION) == [False]
    assert read("DEBUG", DEBUG="maybe", **PRODUCTION) == [False]


@pytest.mark.parametrize("name", ["SECRET_KEY", "SUPABASE_JWT_SECRET"])
@pytest.mark.parametrize("empty", [None, "", "   "])
def test_production_does_not_start_without_a_key(name: str, empty: str | None):
    environment = {**PRODUCTION, name: empty}

    told = refusal(**{key: value for key, value in environment.items() if value is not None})

    assert name in told
    assert not any(value in told for value in PRODUCTION.values())
    assert told.count("SECRET") == 1


def test_an_address_that_cannot_be_read_names_the_setting():
    told = refusal(
        DEBUG="true", STORAGE="supabase", SUPABASE_URL="https://user:hush@[", SUPABASE_SECRET_KEY="k"
    )

    assert told == "SUPABASE_URL has an invalid value."


def test_production_names_everything_that_is_missing():
    told = refusal()

    assert "SECRET_KEY and SUPABASE_JWT_SECRET" in told


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WELL_KNOWN.items() for value in values]
)
def test_production_does_not_start_with_a_key_that_is_printed_somewhere(name: str, value: str):
    told = refusal(**{**PRODUCTION, name: value})

    assert told.startswith(f"{name} holds a key that is printed in documentation")
    assert value not in told


def test_production_knows_a_printed_key_under_any_name():
    value = WELL_KNOWN["SUPABASE_SECRET_KEY"][0]

    for name, others in read_by_settings().items():
        for other in others if name in WELL_KNOWN else []:
            assert refusal(**PRODUCTION, **{other: value}).startswith(f"{name} holds")
    assert refusal(**{**PRODUCTION, "SECRET_KEY": value}).startswith("SECRET_KEY holds")


def test_production_does_not_start_with_a_secret_that_can_be_guessed():
    told = refusal(**{**PRODUCTION, "SUPABASE_JWT_SECRET": "short-and-hush"})

    assert told.startswith("SUPABASE_JWT_SECRET is shorter than 32 characters")
    assert "hush" not in told
    assert refusal(**{**PRODUCTION, "SECRET_KEY": "zK8v!q2Lx$Rw7Tn4Yb9Hc"}).startswith(
        "SECRET_KEY is shorter"
    )


def test_production_does_not_start_with_a_text_in_place_of_the_key_of_the_project():
    assert "neither a secret key" in refusal(**PRODUCTION, **{**PROJECT, "SUPABASE_SECRET_KEY": "of-another"})
    assert read("STORAGE", DEBUG="true", **{**PROJECT, "SUPABASE_SECRET_KEY": "of-another"}) == ["supabase"]


@pytest.mark.parametrize(
    "secret",
    ["whsec_", "whsec_!", "whsec_QUFBQQ", "whsec_MfKQ9r8G!KYqrTwjUPD8ILPZIo2LaLaSw", "two words", "llave-ñ"],
)
def test_a_webhook_secret_that_nobody_can_sign_with_is_refused(secret: str):
    told = refusal(DEBUG="true", STORAGE_WEBHOOK_SECRET=secret)

    assert told == (
        "STORAGE_WEBHOOK_SECRET must be whsec_ and base64, or other printable ASCII without spaces."
    )


@pytest.mark.parametrize("secret", ["whsec_" + "A" * 28, "whsec_QUFBQQ==", "x" * 23])
def test_production_refuses_a_webhook_secret_that_can_be_guessed(secret: str):
    told = refusal(**PRODUCTION, STORAGE_WEBHOOK_SECRET=secret)

    assert told == "STORAGE_WEBHOOK_SECRET is shorter than 24 bytes (Standard Webhooks)."
    assert read("STORAGE_WEBHOOK_SECRET", DEBUG="true", STORAGE_WEBHOOK_SECRET=secret) == [secret]


@pytest.mark.parametrize("secret", ["whsec_5WbX5kEWLlfzsGNjH64I8lOOqUB6e8FH", "zK8v!q2Lx$Rw7Tn4Yb9Hc3Jd"])
def test_production_starts_with_a_webhook_secret_of_24_bytes(secret: str):
    own, logging = read("STORAGE_WEBHOOK_SECRET", "LOGGING", **PRODUCTION, STORAGE_WEBHOOK_SECRET=secret)

    assert own == secret
    assert secret in logging["formatters"]["line"]["secrets"]


def test_the_local_store_reports_to_this_server_unless_told_otherwise():
    url = "https://api.zoo.example.org/api/v1/webhooks/storage/"

    assert read("STORAGE_WEBHOOK_URL", DEBUG="true", PORT="8123") == [
        "http://127.0.0.1:8123/api/v1/webhooks/storage/"
    ]
    assert read("STORAGE_WEBHOOK_URL", DEBUG="true", STORAGE_WEBHOOK_URL=url) == [url]
    for bad in ("hush", "https://api.zoo.example.org", "ftp://hush/x"):
        assert refusal(DEBUG="true", STORAGE_WEBHOOK_URL=bad).startswith("STORAGE_WEBHOOK_URL is not a URL")


@pytest.mark.parametrize("start", [("manage.py", "check"), ("-m", "gunicorn", "--check-config")], ids=str)
def test_neither_a_command_nor_the_server_starts_with_a_bad_key(start: tuple[str, ...]):
    """Nor does it print one: not the bad, and not the good."""
    bad = {**PRODUCTION, "SUPABASE_JWT_SECRET": WELL_KNOWN["SUPABASE_JWT_SECRET"][0]}

    done = python(*start, **bad)

    assert done.returncode != 0
    assert "SUPABASE_JWT_SECRET holds a key that is printed in documentation" in done.stderr
    assert not any(
        value in done.stdout + done.stderr for value in (bad["SECRET_KEY"], bad["SUPABASE_JWT_SECRET"])
    )


def test_production_trusts_no_origin_and_no_host_by_default():
    environment = {name: value for name, value in PRODUCTION.items() if name != "ALLOWED_HOSTS"}

    assert read("CORS_ALLOWED_ORIGINS", "ALLOWED_HOSTS", **environment) == [[], []]


# --- Checks -----------------------------------------------------------------------------------------


def check(**environment: str) -> subprocess.CompletedProcess[str]:
    database = {"DATABASE_URL": "sqlite://:memory:"}  # not that of whoever runs the tests
    return python("manage.py", "check", "--deploy", "--fail-level", "WARNING", **database, **environment)


@pytest.mark.slow
def test_a_well_configured_production_has_nothing_to_be_told():
    done = check(**PRODUCTION, **ADDRESSES)

    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout + done.stderr


@pytest.mark.slow
def test_a_cache_of_each_process_is_told_with_the_cure():
    done = check(**{**PRODUCTION, **ADDRESSES, "CACHE_URL": ""})

    assert done.returncode != 0
    assert done.stderr.count("(api.W001)") == 1
    assert "Set CACHE_URL=redis://" in done.stderr
    assert re.findall(r"\((\w+\.\w+)\)", done.stderr) == ["api.W001"]


def test_a_rate_that_is_none_is_told_with_the_cure():
    assert refusal(**PRODUCTION, THROTTLE_TICKETS="often").startswith("THROTTLE_TICKETS is not a rate")
    assert "300/min" in refusal(**PRODUCTION, THROTTLE_COMPLETE="10/fortnight")
    assert "THROTTLE_FILES" in refusal(**PRODUCTION, THROTTLE_FILES="0")


@pytest.mark.slow
def test_a_file_type_that_first_bytes_do_not_tell_is_told_with_the_cure():
    done = check(**PRODUCTION, DOCUMENT_TYPES="application/pdf, image/made-up")

    assert "(storage.E001)" in done.stderr
    assert "image/made-up" in done.stderr
    assert "HINT" in done.stderr


@pytest.mark.parametrize("bucket", ["../evil", "species", "uploads", "a/b", ".objects", "a b"])
def test_a_bucket_that_is_another_one_or_a_path_is_refused(bucket: str):
    assert "SUPABASE_STORAGE_BUCKET" in refusal(DEBUG="true", SUPABASE_STORAGE_BUCKET=bucket)


@pytest.mark.slow
def test_origins_that_never_match_are_told_once_with_the_cure():
    done = check(
        **PRODUCTION,
        **ADDRESSES,
        CORS_ALLOWED_ORIGINS="https://*.example.app, zoo.example.org, https://a.example/",
    )

    assert re.findall(r"\((\w+\.\w+)\)", done.stderr) == ["storage.E016"] * 3
    assert "Move it to CORS_ALLOWED_ORIGIN_PATTERNS" in done.stderr
    assert "Write https://zoo.example.org." in done.stderr


@pytest.mark.slow
def test_a_picture_type_that_nobody_opens_is_told_with_the_cure():
    done = check(**PRODUCTION, DOCUMENT_TYPES="application/pdf,image/tiff")

    assert "(api.E001)" in done.stderr
    assert "image/webp" in done.stderr


def test_heic_pictures_are_accepted_where_the_settings_say_so():
    assert read("IMAGE_TYPES", DEBUG="true") == [["image/jpeg", "image/png", "image/webp"]]
    assert read("IMAGE_TYPES", DEBUG="true", IMAGE_TYPES="image/jpeg,image/heic") == [
        ["image/jpeg", "image/heic"]
    ]


@pytest.mark.parametrize("types", ["image/gif", "image/jpeg,image/avif", "application/pdf", "jpeg"])
def test_an_image_type_that_is_not_known_is_refused_with_those_that_are(types: str):
    told = refusal(**PRODUCTION, IMAGE_TYPES=types)

    assert "IMAGE_TYPES" in told
    assert "image/webp, image/heic" in told


@pytest.mark.parametrize("heic", ["image/heic", "image/heif"])
def test_heic_pictures_need_a_package(heic: str, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)

    assert "pip install pillow-heif" in refusal(**PRODUCTION, IMAGE_TYPES=f"image/jpeg,{heic}")
    assert read("IMAGE_TYPES", DEBUG="true") == [["image/jpeg", "image/png", "image/webp"]]


@pytest.mark.parametrize("name", ["QUOTA_BYTES", "QUOTA_OPEN_TICKETS"])
@pytest.mark.parametrize(("value", "reason"), [("1 GiB", "invalid"), ("-5", "negative"), ("1.5", "invalid")])
def test_a_quota_is_a_whole_number_that_is_not_negative(name: str, value: str, reason: str):
    told = refusal(**PRODUCTION, **{name: value})

    assert name in told
    assert reason in told
    assert value not in told
    assert read(name, **PRODUCTION, **{name: "0"}) == [0]
