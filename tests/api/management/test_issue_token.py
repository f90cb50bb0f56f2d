"""The command for development that makes a token for anybody."""

import subprocess
import sys
import time
from io import StringIO
from secrets import token_hex
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client

from tests.support.cast import Caller, code
from tests.support.server import ROOT


def run(command: str, *arguments: str) -> str:
    printed = StringIO()
    call_command(command, *arguments, stdout=printed)
    return printed.getvalue()


def issue(*arguments: str) -> str:
    return run("issue_token", *arguments).strip()


def said(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


@pytest.fixture
def debug(settings) -> None:
    settings.DEBUG = True


# --- issue_token ------------------------------------------------------------------------------------


def test_issue_token_prints_a_token_and_nothing_else(debug):
    printed = run("issue_token", "alice@example.org")

    assert printed.endswith("\n")
    assert printed.count("\n") == 1
    assert len(printed.strip().split(".")) == 3
    assert said(printed.strip())["email"] == "alice@example.org"


def test_an_issued_token_opens_the_api(debug, db):
    client = Client(headers={"authorization": f"Bearer {issue('alice@example.org')}"})

    assert client.get("/api/v1/documents/").status_code == 200


def test_the_same_address_is_always_the_same_member(debug):
    subjects = {said(issue(form))["sub"] for form in ("alice@example.org", "Alice@Example.ORG")}

    assert subjects == {str(Caller("alice@example.org").id)}
    assert said(issue("bob@example.org"))["sub"] not in subjects


def test_the_role_goes_where_only_servers_write(debug):
    claims = said(issue("curator@example.org", "--role", "staff"))

    assert claims["app_metadata"]["role"] == "staff"
    assert claims["role"] == "authenticated"
    assert claims["user_metadata"] == {}
    assert "role" not in said(issue("curator@example.org"))["app_metadata"]


def test_the_subject_and_the_lifetime_may_be_chosen(debug, db):
    wanted = uuid4()
    claims = said(issue("alice@example.org", "--sub", str(wanted), "--ttl", "60"))

    assert UUID(claims["sub"]) == wanted
    assert claims["exp"] - claims["iat"] == 60
    assert abs(claims["iat"] - time.time()) < 60
    usual = said(issue("alice@example.org"))
    assert usual["exp"] - usual["iat"] == 3600
    expired = issue("alice@example.org", "--ttl", "-60")
    refused = Client(headers={"authorization": f"Bearer {expired}"}).get("/api/v1/documents/")
    assert code(refused) == "token_expired"


def test_a_service_token_is_nobody_to_the_api(debug, db):
    service = issue("alice@example.org", "--service-role")

    assert said(service)["role"] == "service_role"
    assert "sub" not in said(service)
    refused = Client(headers={"authorization": f"Bearer {service}"}).get("/api/v1/documents/")
    assert code(refused) == "token_invalid"


@pytest.mark.parametrize("address", ["alice", "", "@example.org", "alice@", "a b@example.org", "--role"])
def test_what_is_no_address_gets_no_token(debug, address: str):
    with pytest.raises(CommandError):
        run("issue_token", address)


@pytest.mark.parametrize("option", [["--sub", "alice"], ["--sub", ""], ["--ttl", "long"], ["--ttl", "1.5"]])
def test_what_is_no_subject_and_no_lifetime_gets_no_token(debug, option: list[str]):
    with pytest.raises(CommandError):
        run("issue_token", "alice@example.org", *option)


def test_without_debug_no_token_is_issued():
    for options in ([], ["--service-role"], ["--role", "staff"]):
        with pytest.raises(CommandError, match="DEBUG=true"):
            run("issue_token", "alice@example.org", *options)


def test_in_production_no_token_is_issued(tmp_path):
    secrets = {"SECRET_KEY": token_hex(30), "SUPABASE_JWT_SECRET": token_hex(30)}

    done = subprocess.run(
        [sys.executable, "manage.py", "issue_token", "alice@example.org"],
        cwd=ROOT,
        env={"ENV_FILE": str(tmp_path / "none"), **secrets},
        capture_output=True,
        text=True,
    )

    assert done.returncode != 0
    assert done.stdout == ""
    assert "DEBUG=true" in done.stderr
    assert not any(secret in done.stderr for secret in secrets.values())
