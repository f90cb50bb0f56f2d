"""A setting may be in a file, which `NAME_FILE` names."""

import os
from pathlib import Path

import pytest

from tests.backend.test_settings import PRODUCTION, python, read, refusal

KEY = "zK8v!q2Lx-Rw7Tn4Yb9Hc3Jd6Fg1Ms5PaEoUiQtZkXyVbNmWe%Ap0^Sl2"
SERVICE_KEY = "sb_secret_zK8vTn4Yb9Hc3Jd6Fg1Ms5PaEo"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a secret"


@pytest.mark.parametrize("value", [KEY, f"${KEY}", rf"\${KEY}", f"ñ{KEY}"])
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_setting_is_read_from_its_file(file: Path, value: str, ending: str):
    file.write_bytes((value + ending).encode())

    environment = {**PRODUCTION, "SECRET_KEY": "", "SECRET_KEY_FILE": str(file)}

    assert read("SECRET_KEY", **environment) == [value]


def test_settings_with_several_names_lists_and_urls(file: Path, tmp_path: Path):
    file.write_text(SERVICE_KEY)
    (database := tmp_path / "database").write_text("postgres://zoo:p%40ss$w@db:5432/zoo\n")
    (hosts := tmp_path / "hosts").write_text("zoo.example.org, api.example.org\n")
    (cache := tmp_path / "cache").write_text("redis://cache:6379/0\n")
    environment = {
        **{name: value for name, value in PRODUCTION.items() if name not in ("ALLOWED_HOSTS", "CACHE_URL")},
        "SUPABASE_SERVICE_KEY_FILE": str(file),
        "DATABASE_URL_FILE": str(database),
        "ALLOWED_HOSTS_FILE": str(hosts),
        "CACHE_URL_FILE": str(cache),
    }

    names = ["SUPABASE_SECRET_KEY", "DATABASES", "ALLOWED_HOSTS", "CACHES"]
    key, databases, allowed, caches = read(*names, **environment)

    assert key == SERVICE_KEY
    assert (databases["default"]["HOST"], databases["default"]["PASSWORD"]) == ("db", "p@ss$w")
    assert allowed == ["zoo.example.org", "api.example.org"]
    assert caches["default"]["LOCATION"] == "redis://cache:6379/0"


def test_the_name_of_the_file_may_be_in_the_file_env(file: Path, tmp_path: Path):
    file.write_text(KEY)
    (dotenv := tmp_path / ".env").write_text(f"SECRET_KEY_FILE={file}\n")
    environment = {**PRODUCTION, "SECRET_KEY": ""}

    assert read("SECRET_KEY", **{**environment, "ENV_FILE": str(dotenv)}) == [KEY]


@pytest.mark.parametrize(
    "name", ["SECRET_KEY", "DATABASE_URL", "CACHE_URL", "THREADS", "SUPABASE_SECRET_KEY"]
)
def test_a_missing_file_is_named_with_its_setting(file: Path, name: str):
    environment = {**PRODUCTION, name: "", f"{name}_FILE": str(file)}

    assert refusal(**environment) == f"{name}_FILE: there is no file {file}."


def test_a_file_without_a_value_is_named(file: Path, tmp_path: Path):
    environment = {**PRODUCTION, "SECRET_KEY": "", "SECRET_KEY_FILE": str(file)}

    file.write_text(" \n")
    assert refusal(**environment) == f"SECRET_KEY_FILE: {file} is empty."
    file.write_bytes(b"\xff\xfe")
    assert refusal(**environment) == f"SECRET_KEY_FILE: {file} is not a text in UTF-8."
    folder = {**environment, "SECRET_KEY_FILE": str(tmp_path)}
    assert refusal(**folder) == (
        f"SECRET_KEY_FILE: user {os.getuid()} cannot read {tmp_path}: Is a directory."
    )


def test_a_setting_is_given_once(file: Path):
    file.write_text(KEY)

    environment = {**PRODUCTION, "SECRET_KEY_FILE": str(file)}

    assert refusal(**environment) == "Set SECRET_KEY or SECRET_KEY_FILE, not both."


def test_an_invalid_value_of_a_file_is_not_shown(file: Path):
    file.write_text("hunter2")

    said = refusal(**{**PRODUCTION, "THREADS_FILE": str(file)})

    assert said == "THREADS has an invalid value."


def test_files_of_other_programs_are_not_read():
    environment = {**PRODUCTION, "SSL_CERT_FILE": "/nowhere/cert.pem", "PGPASSFILE": "/nowhere"}

    assert read("DEBUG", **environment) == [False]


def test_a_command_says_what_is_wrong(file: Path):
    done = python("manage.py", "check", **{**PRODUCTION, "SECRET_KEY": "", "SECRET_KEY_FILE": str(file)})

    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].endswith(f"SECRET_KEY_FILE: there is no file {file}.")
