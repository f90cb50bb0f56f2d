"""check_supabase: each line of the doctor, seen on a project that has what the line is about."""

import datetime
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from io import StringIO
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.core.management import call_command

from api.doctor import run_checks
from storage.findings import Finding, ok
from storage.keys import STAGING_FOLDER
from storage.supabase import configuration, transport
from storage.supabase.doctor import http
from storage.supabase.doctor import leftovers as doctor_of_leftovers
from storage.supabase.doctor.round_trip import FOLDER
from storage.supabase.doctor.steps import Step, run_steps
from tests.support.access_tokens import SUPABASE_START
from tests.support.project import Project
from tests.support.proxy import Passing, Proxy
from tests.support.server import ROOT, Server

HTML = {"Content-Type": "text/html; charset=utf-8"}
JSON = {"Content-Type": "application/json"}
ORIGINS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "PUT, GET",
    "Access-Control-Allow-Headers": "cache-control, Content-Type, x-upsert",
}
MIB = 1024 * 1024
LEGS = ["sign_upload", "put", "describe", "sign_download", "get", "delete"]
SECRET = "sb_secret_Zu9k3BfPq7Xw1Tn5Lm2R"


class Report:
    """What the doctor found, which must have no secret in it."""

    def __init__(self, printed: str, code: int) -> None:
        self.printed, self.code = printed, code
        told = json.loads(printed)
        assert told.keys() == {"ok", "findings"}
        assert told["ok"] is (code == 0)
        self.findings = [Finding(**each) for each in told["findings"]]
        for each in self.findings:
            assert bool(each.cure) == (each.level in ("warning", "problem")), each

    def named(self, name: str) -> Finding:
        [found] = [each for each in self.findings if each.name == name]
        return found

    def of(self, *levels: str) -> list[str]:
        return [each.name for each in self.findings if each.level in levels]


@pytest.fixture
def check(project: Project, settings) -> Any:
    """Run the command, and search all that it printed for everything that is secret."""
    settings.STORAGE = "supabase"
    settings.SUPABASE_JWKS_URL = ""

    def run() -> Report:
        printed, code = StringIO(), 0
        try:
            call_command("check_supabase", "--json", stdout=printed, stderr=printed)
        except SystemExit as ended:
            code = ended.code
        secrets = [
            settings.SUPABASE_SECRET_KEY,
            settings.SUPABASE_JWT_SECRET,
            settings.SECRET_KEY,
            project.key,
        ]
        for secret in [*filter(None, secrets), "eyJ", "token=", "sb_secret_Z", "hush"]:
            assert secret not in printed.getvalue()
        assert project.keys("uploads", FOLDER) == [], "nothing is left"
        return Report(printed.getvalue(), code)

    return run


# --- All is well ------------------------------------------------------------------------------------


def test_a_project_that_is_well(check, project: Project, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.zoo.example.org"]

    report = check()

    assert report.code == 0
    assert [each.name for each in report.findings] == [
        *("store", "url", "reachable", "storage", "key", "clock"),
        *(f"bucket.{name}" for name in ("media", "uploads", "documents", "user-profiles", "originals")),
        *(f"bucket.{name}" for name in ("species", "exhibitions", "educational-services")),
        *("leftovers", "signing", "jwks", "issuer", *(f"round_trip.{leg}" for leg in LEGS), "cors"),
    ]
    assert {each.level for each in report.findings} == {"ok"}
    for name in ("reachable", "key", *(f"round_trip.{leg}" for leg in LEGS)):
        assert 0 < report.named(name).ms < 1000
    assert report.named("bucket.species").what.startswith("public, 10 MiB, image/jpeg")


@pytest.mark.slow
def test_each_finding_is_a_line_with_its_cure_in_a_process_of_its_own(server: Server, project: Project):
    project.change("species", public=False)
    environment = {**server.environment, "STORAGE": "supabase", "SUPABASE_URL": server.url}

    done = subprocess.run(
        [sys.executable, "manage.py", "check_supabase"],
        cwd=ROOT,
        env={**environment, "SUPABASE_SECRET_KEY": project.key},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert (done.returncode, done.stderr) == (1, "")
    lines = done.stdout.splitlines()
    assert (
        "problem  bucket.species: bucket 'species': public is no, and should be yes. "
        "→ Run `manage.py setup_supabase`." in lines
    )
    assert any(line.startswith("ok       round_trip.get: The same bytes came back. (") for line in lines)
    assert lines[-1] == "1 problems, 0 warnings"
    assert "eyJ" not in done.stdout


def test_with_secrets_of_its_own_the_server_signs_without_asking(check, settings):
    settings.SUPABASE_SIGNING = "secret"

    report = check()

    assert report.of("problem", "warning") == []
    assert "SUPABASE_JWT_SECRET" in report.named("signing").what


# --- The address ------------------------------------------------------------------------------------


def test_a_site_that_still_runs_on_the_local_store(check, settings):
    settings.STORAGE = "local"

    report = check()

    assert report.code == 0
    assert report.named("store").level == "warning"


@pytest.mark.parametrize("url", ["https://user:hush@stack.example.org", "stack.example.org", "https://["])
def test_what_is_no_address_is_not_asked(check, settings, url: str):
    settings.SUPABASE_URL = url

    report = check()

    assert report.code == 1
    assert report.named("url").id == "storage.E007"
    assert report.of("skipped") == ["reachable", "key", "clock", "buckets", "leftovers", "round_trip", "cors"]
    assert "url" in report.named("reachable").what


def test_a_path_in_the_address(check, project: Project, settings):
    settings.SUPABASE_URL = f"{project.url}/storage/v1"

    assert check().named("url").id == "storage.E008"


def test_nobody_listens(check, settings):
    settings.SUPABASE_URL = "http://127.0.0.1:9"

    report = check()

    assert (
        report.named("reachable").what
        == "http://127.0.0.1:9/storage/v1/status refused the connection: no server listens there."
    )
    assert report.of("skipped") == ["key", "clock", "buckets", "leftovers", "round_trip", "cors"]


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("https://nowhere.invalid", "Correct the host name"),
        ("https://abcdefghijklmnopqrst.supabase.co", "paused or deleted"),
    ],
)
def test_a_host_without_an_address(check, settings, monkeypatch, url: str, cure: str):
    """The name server is the one thing that is not asked for true: there may be none."""

    def unknown(*arguments: Any, **options: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    settings.SUPABASE_URL = url
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = [each for each in run_checks() if each.name == "reachable"]

    assert "cannot be resolved (DNS)" in found[0].what
    assert cure in found[0].cure


def test_a_server_without_tls(check, project: Project, settings):
    settings.SUPABASE_URL = project.url.replace("http:", "https:")

    assert "does not speak TLS" in check().named("reachable").what


def test_a_certificate_that_nobody_vouches_for(check, settings, tmp_path: Path):
    with self_signed(tmp_path) as port:
        settings.SUPABASE_URL = f"https://127.0.0.1:{port}"

        assert "is not trusted" in check().named("reachable").what


def test_somebody_who_speaks_something_else(check, settings, tmp_path: Path):
    with self_signed(tmp_path) as port:
        settings.SUPABASE_URL = f"http://127.0.0.1:{port}"

        assert "did not send a valid HTTP response" in check().named("reachable").what


class self_signed:  # noqa: N801  (reads as what it is)
    """A server that has made its certificate itself."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
        file = folder / "server.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(file)

    def __enter__(self) -> int:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self.socket.getsockname()[1]

    def serve(self) -> None:
        try:
            while True:
                connection, _ = self.socket.accept()
                with connection:
                    try:
                        self.context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        pass
        except OSError:
            pass

    def __exit__(self, *error: Any) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(5)


def test_somebody_who_takes_the_call_and_is_silent(check, front: Proxy, monkeypatch):
    monkeypatch.setattr(transport, "REQUEST_SECONDS", 0.2)
    front.on("GET", "/status", delay=0.6)

    report = check()

    assert "did not answer within" in report.named("reachable").what


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"body": b"<html>Welcome to nginx</html>", "headers": HTML}, "is not Supabase Storage: 200"),
        ({"status": 404, "body": b"{}", "headers": JSON}, "is not Supabase Storage: 404"),
        ({"status": 502, "body": b"<html>Bad gateway</html>", "headers": HTML}, "it answered 502"),
        ({"status": 540}, "The project is paused"),
        (
            {"status": 308, "headers": {"Location": "https://u:hush@x.example.org/storage/v1/status?a=hush"}},
            "redirects",
        ),
    ],
    ids=["html", "404", "502", "540", "308"],
)
def test_somebody_else_answers(check, front: Proxy, how: dict[str, Any], said: str):
    front.on("GET", "/storage/v1/status", **how)

    report = check()

    assert report.named("reachable").level == "ok"
    assert said in report.named("storage").what
    assert report.of("skipped") == ["key", "buckets", "leftovers", "round_trip", "cors"]


def test_where_we_are_sent_is_the_cure(check, front: Proxy):
    front.on("GET", "/status", status=301, headers={"Location": "https://x.example.org/storage/v1/status"})

    assert (
        check().named("storage").cure
        == "Set SUPABASE_URL to the target of the redirect: https://x.example.org."
    )


def test_a_gateway_that_wants_a_key_first_is_one(check, front: Proxy):
    front.on("GET", "/status", status=401, body=b'{"message":"No API key found in request"}', headers=JSON)

    assert check().of("problem") == []


def test_a_slow_project_is_told_call_by_call(check, front: Proxy, project: Project, monkeypatch):
    monkeypatch.setattr(http, "SLOW_MS", 200)
    front.on("GET", "/status", delay=0.25, times=1)
    front.on("GET", "/object/sign/", delay=0.25, forwards=True, body=lambda content: content)

    report = check()

    assert report.of("warning") == ["reachable", "round_trip.get"]
    assert "It is slow" in report.named("round_trip.get").what
    assert report.named("round_trip.get").ms >= 250
    assert report.code == 0


# --- The key ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "said", "check_id"),
    [
        ("", "is not set", ""),
        ("sb_publishable_Hc3Jd6Fg1Ms5PaEoUiQt", "is a publishable key", "storage.E010"),
        ("sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz", "is a demo key", "storage.E011"),
        (SECRET, "refuses SUPABASE_SECRET_KEY", ""),
    ],
)
def test_a_key_that_opens_nothing(check, settings, key: str, said: str, check_id: str):
    settings.SUPABASE_SECRET_KEY = key

    report = check()

    assert said in report.named("key").what
    assert report.named("key").id == check_id
    assert report.of("skipped") == ["buckets", "leftovers", "round_trip"]
    assert report.code == 1


@pytest.mark.slow
def test_a_new_key_on_a_stack_that_knows_none(check, settings):
    settings.SUPABASE_SECRET_KEY = SECRET

    assert "service_role JWT" in check().named("key").cure


def test_a_new_key_and_the_gateway_that_knows_it(check, front: Proxy, project: Project, settings):
    settings.SUPABASE_SECRET_KEY = SECRET
    front.keys = {SECRET: project.key}
    assert check().of("problem") == []

    front.keys = {"sb_secret_of_another_project": project.key}
    assert "refuses SUPABASE_SECRET_KEY" in check().named("key").what


def test_a_key_of_another_stack(check, settings):
    settings.SUPABASE_SECRET_KEY = jwt.encode(
        {"role": "service_role"}, "another-secret-" * 3, algorithm="HS256"
    )

    assert "refuses SUPABASE_SECRET_KEY" in check().named("key").what


def test_a_key_that_sees_nothing(check, project: Project, settings):
    """Of a role that nobody knows: the store lets it in, and shows it no bucket."""
    settings.SUPABASE_SECRET_KEY = jwt.encode(
        {"role": "postgres"}, settings.SUPABASE_JWT_SECRET, algorithm="HS256"
    )

    report = check()

    found = [each.what for each in report.findings if each.name == "key"]
    assert found[0].startswith("SUPABASE_SECRET_KEY is neither")
    assert found[1] == "SUPABASE_SECRET_KEY is accepted, but it lists no buckets."
    assert report.named("bucket.species").level == "problem"


def test_a_secret_key_that_is_given_to_browsers(check, settings):
    settings.SUPABASE_PUBLISHABLE_KEY = SECRET

    report = check()

    found = [each for each in report.findings if each.id == "storage.E014"]
    assert report.code == 1
    assert "revoke" in found[0].cure


def test_a_legacy_key_of_a_hosted_project(check, front: Proxy, settings, monkeypatch):
    """It works, and will not for long. The project's name leads to this machine."""
    monkeypatch.setattr(configuration, "HOSTED_SUFFIX", ".localhost")
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more)
    )
    settings.SUPABASE_URL = front.url.replace("127.0.0.1", "abcdefghijklmnopqrst.localhost")

    found = check().named("key")

    assert found.level == "warning"
    assert "legacy key" in found.what
    assert "sb_secret_…" in found.cure


@pytest.mark.parametrize("status", [503, 500])
def test_trouble_with_the_list_of_buckets(check, front: Proxy, status: int):
    front.on("GET", "/bucket", status=status, headers={"Retry-After": "0"})

    assert "could not be listed" in check().named("key").what


# --- Clock ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "said"), [(90, "behind"), (-90, "ahead of")])
def test_a_clock_that_is_wrong(check, front: Proxy, offset: int, said: str):
    front.clock = lambda: formatdate(time.time() + offset, usegmt=True)

    found = check().named("clock")

    assert found.level == "problem"
    assert said in found.what
    assert 88 <= int("".join(filter(str.isdigit, found.what))) <= 92


def test_clocks_may_differ_a_little(check, front: Proxy):
    front.clock = lambda: formatdate(time.time() + 20, usegmt=True)

    assert check().named("clock").level == "ok"


def test_a_server_that_does_not_know_the_time(check, front: Proxy):
    front.clock = lambda: "noon"

    assert check().named("clock").level == "warning"


# --- Buckets ----------------------------------------------------------------------------------------


def test_a_bucket_that_is_missing(check, project: Project):
    project.drop("species")

    report = check()

    assert report.named("bucket.species").what == "bucket 'species' not found."
    assert "setup_supabase" in report.named("bucket.species").cure
    assert report.of("problem") == ["bucket.species"]
    assert report.of("skipped") == []


@pytest.mark.parametrize(("wanted", "there"), [("species", "Species"), ("Media", "media")])
def test_names_are_case_sensitive_in_both_directions(
    check, project: Project, settings, wanted: str, there: str
):
    if wanted == "species":
        project.drop("species")
        project.make("Species")
    else:
        default = {**settings.STORAGES["default"], "OPTIONS": {"bucket": "Media", "public": False}}
        settings.STORAGES = {**settings.STORAGES, "default": default}

    found = check().named(f"bucket.{wanted}")

    assert found.what == f"bucket {wanted!r} not found, but there is {there!r}: names are case-sensitive."
    assert found.level == "problem"


@pytest.mark.parametrize(
    ("bucket", "columns", "level", "said"),
    [
        ("documents", {"public": True}, "problem", "public is yes, and should be no"),
        ("species", {"public": False}, "problem", "public is no, and should be yes"),
        ("documents", {"file_size_limit": 1000}, "problem", "is 1000 bytes, and should be 50 MiB"),
        ("species", {"file_size_limit": None}, "warning", "is no limit, and should be 10 MiB"),
        ("species", {"allowed_mime_types": ["image/png"]}, "problem", "image/png, and should be image/jpeg"),
        ("species", {"allowed_mime_types": ["image/*"]}, "warning", "image/*, and should be image/jpeg"),
        ("species", {"allowed_mime_types": None}, "warning", "any type, and should be"),
    ],
)
@pytest.mark.slow
def test_a_bucket_that_is_not_as_it_should_be(
    check, project: Project, bucket: str, columns: dict[str, Any], level: str, said: str
):
    project.change(bucket, **columns)

    found = check().named(f"bucket.{bucket}")

    assert (found.level, said in found.what) == (level, True)


def test_without_a_place_to_arrive_nothing_is_sent(check, project: Project):
    project.drop("uploads")

    assert check().of("skipped") == ["round_trip"]


# --- Leftovers --------------------------------------------------------------------------------------


@pytest.fixture
def leave(server: Server, project: Project) -> Iterator[Callable[..., None]]:
    """Leaves objects of these ages in the staging folder of a bucket, as interrupted uploads do."""
    left: list[str] = []

    def make(bucket: str, *ages: datetime.timedelta) -> None:
        for age in ages:
            key = f"{STAGING_FOLDER}/{len(left)}"
            project.put(bucket, key, b"otter")
            left.append(f"{bucket}/{key}")
            os.utime(server.media / bucket / key, times=(time.time() - age.total_seconds(),) * 2)

    yield make
    for path in left:
        project.http.delete(f"object/{path}").raise_for_status()


HOUR = datetime.timedelta(hours=1)


def test_what_interrupted_uploads_have_left_is_named(check, leave):
    leave("documents", 25 * HOUR, HOUR, 72 * HOUR)
    leave("media", 49 * HOUR)

    report = check()

    found = [each for each in report.findings if each.name == "leftovers"]
    dates = [f"{datetime.datetime.now(datetime.UTC) - hours * HOUR:%Y-%m-%d}" for hours in (72, 49)]
    assert {each.what for each in found} == {
        f"Leftovers of interrupted uploads in documents: 2, the oldest of {dates[0]}.",
        f"Leftovers of interrupted uploads in media: 1, the oldest of {dates[1]}.",
    }
    assert {(each.level, each.cure) for each in found} == {
        ("warning", "Run `manage.py sweep` once a day: it deletes them.")
    }
    assert report.code == 0


def test_what_may_still_be_arriving_is_no_leftover(check, leave):
    leave("documents", 23 * HOUR)

    found = check().named("leftovers")

    assert found.level == "ok"
    assert found.what.endswith("Younger, and perhaps still arriving: 1.")


def test_of_leftovers_one_page_is_read_and_nothing_else_of_a_bucket(
    check, leave, front: Proxy, project: Project, monkeypatch
):
    monkeypatch.setattr(doctor_of_leftovers, "MAX_LISTED", 2)
    leave("documents", *[25 * HOUR] * 3)
    prefixes = []

    def remember(passing: Passing, body: bytes) -> None:
        prefixes.append(json.loads(body)["prefix"])
        passing.relay(passing.upstream(body))

    front.fail(remember, on="POST /object/list-v2")

    report = check()

    assert "in documents: 2 or more, the oldest" in report.named("leftovers").what
    assert prefixes == [f"{STAGING_FOLDER}/"] * 8  # once for each bucket


def test_a_staging_folder_that_cannot_be_listed(check, front: Proxy):
    front.on("POST", "/object/list-v2/species", status=500)

    report = check()

    found = report.named("leftovers")
    assert (found.level, found.cure) == ("warning", "Try again later.")
    assert found.what.startswith("The staging folder of species could not be listed: ")
    assert report.code == 0


# --- Access tokens ----------------------------------------------------------------------------------


@pytest.fixture
def auth(check, settings) -> Iterator[Proxy]:
    """The JWKS endpoint of a project without a shared secret."""
    with Proxy() as serving:
        settings.SUPABASE_JWKS_URL = f"{serving.url}/auth/v1/.well-known/jwks.json?apikey=hush"
        settings.SUPABASE_JWT_SECRET = ""
        yield serving


def jwks(*keys: Any) -> dict[str, Any]:
    """An answer with these keys."""
    algorithms: dict[type, tuple[Any, str]] = {
        ec.EllipticCurvePrivateKey: (jwt.algorithms.ECAlgorithm, "ES256"),
        rsa.RSAPrivateKey: (jwt.algorithms.RSAAlgorithm, "RS256"),
    }
    made = []
    for number, key in enumerate(keys):
        kind, name = next(value for cls, value in algorithms.items() if isinstance(key, cls))
        made.append({**kind.to_jwk(key.public_key(), as_dict=True), "kid": str(number), "alg": name})
    return {"body": json.dumps({"keys": made}).encode(), "headers": JSON}


def test_public_keys_and_their_algorithms(check, auth: Proxy):
    elliptic = ec.generate_private_key(ec.SECP256R1())
    auth.on("GET", "jwks", **jwks(elliptic, rsa.generate_private_key(65537, 2048)))

    found = check().named("jwks")

    assert (found.level, found.what) == ("ok", "The project has public keys: ES256, RS256.")
    assert found.ms > 0


def test_the_publishable_key_goes_with_the_question(check, auth: Proxy, settings):
    settings.SUPABASE_PUBLISHABLE_KEY = "sb_publishable_Hc3Jd6Fg1Ms5PaEoUiQt"
    auth.on("GET", "jwks", **jwks(ec.generate_private_key(ec.SECP256R1())))

    check()

    assert auth.asked[0][2]["apikey"] == settings.SUPABASE_PUBLISHABLE_KEY


@pytest.mark.parametrize("secret", ["", "a-shared-secret-of-32-characters-and-more"])
def test_a_project_without_public_keys_needs_the_shared_secret(check, auth: Proxy, settings, secret: str):
    settings.SUPABASE_JWT_SECRET = secret
    auth.on("GET", "jwks", **jwks())

    found = check().named("jwks")

    assert found.level == ("ok" if secret else "problem")
    assert secret or "Set SUPABASE_JWT_SECRET" in found.cure


def test_neither_keys_nor_secret(check, settings):
    settings.SUPABASE_JWT_SECRET = ""

    assert check().named("jwks").what == "SUPABASE_JWKS_URL is empty. No access token can be verified."


def test_the_published_key_of_supabase_start_is_a_problem_in_production(check, auth: Proxy, settings):
    auth.on("GET", "jwks", **jwks(SUPABASE_START, ec.generate_private_key(ec.SECP256R1())))

    found = check().named("jwks")
    settings.DEBUG = True

    assert (found.level, check().named("jwks").level) == ("problem", "ok")
    assert "the published key of `supabase start`" in found.what


def test_keys_of_an_algorithm_that_is_not_verified(check, auth: Proxy):
    auth.on("GET", "jwks", body=b'{"keys": [{"kty": "oct", "alg": "HS256", "k": "hush"}]}', headers=JSON)

    assert "None of the project's public keys" in check().named("jwks").what


@pytest.mark.parametrize("secret", ["", "a-shared-secret-of-32-characters-and-more"])
@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"status": 401, "body": b"{}", "headers": JSON}, "answered 401"),
        ({"status": 404}, "answered 404"),
        ({"body": b"<html>", "headers": HTML}, "a JSON Web Key Set"),
        ({"body": b"[]", "headers": JSON}, "a JSON Web Key Set"),
        ({"body": b'{"keys": 3}', "headers": JSON}, "a JSON Web Key Set"),
        ({"body": b'{"keys": ["hush"]}', "headers": JSON}, "a JSON Web Key Set"),
        ({"body": b"[" * 100_000, "headers": JSON}, "a JSON Web Key Set"),
    ],
    ids=["401", "404", "html", "list", "number", "texts", "deep"],
)
@pytest.mark.slow
def test_an_endpoint_that_gives_no_keys(auth: Proxy, settings, how: dict[str, Any], said: str, secret: str):
    """A problem, unless there is a shared secret that may be all that is needed."""
    settings.SUPABASE_JWT_SECRET = secret
    auth.on("GET", "jwks", **how)

    [found] = [each for each in run_checks() if each.name == "jwks"]

    assert said in found.what
    assert "hush" not in found.what
    assert found.level == ("warning" if secret else "problem")


def test_an_endpoint_that_is_down(check, settings):
    settings.SUPABASE_JWKS_URL, settings.SUPABASE_JWT_SECRET = "http://127.0.0.1:9/jwks.json", ""

    found = check().named("jwks")

    assert (found.level, found.what) == (
        "problem",
        "http://127.0.0.1:9/jwks.json refused the connection: no server listens there.",
    )


def test_an_issuer_that_no_token_has(check, settings):
    settings.SUPABASE_JWT_ISSUER = "https://abcdefghijklmnopqrst.supabase.co/auth/v1/"

    found = check().named("issuer")

    assert (found.level, found.id) == ("problem", "api.E002")
    assert "https://abcdefghijklmnopqrst.supabase.co/auth/v1," in found.cure


# --- The round trip ---------------------------------------------------------------------------------


def test_a_hosted_project_signs_itself(check, settings, monkeypatch):
    settings.SUPABASE_SIGNING = "secret"
    settings.SUPABASE_URL = "https://abcdefghijklmnopqrst.supabase.co"
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: (_ for _ in ()).throw(socket.gaierror()))

    [found] = [each for each in run_checks() if each.name == "signing"]

    assert found.id == "storage.E015"


def test_urls_that_are_signed_with_another_secret(check, settings):
    settings.SUPABASE_SIGNING = "secret"
    settings.SUPABASE_JWT_SECRET = "a-secret-of-another-stack-and-long-enough"

    report = check()

    assert report.named("round_trip.put").what == "Storage refuses a URL that was signed for it."
    assert "SUPABASE_JWT_SECRET" in report.named("round_trip.put").cure
    assert report.of("skipped") == [f"round_trip.{leg}" for leg in ("describe", "sign_download", "get")]
    assert report.named("round_trip.delete").level == "ok"


@pytest.mark.parametrize(
    ("leg", "method", "path", "how", "said"),
    [
        ("sign_upload", "POST", "/upload/sign/", {"status": 403}, "refuses the secret key"),
        ("sign_upload", "POST", "/upload/sign/", {"body": b"<html>", "headers": HTML}, "invalid response"),
        ("put", "PUT", "/upload/sign/", {"status": 413, "body": b"<html>", "headers": HTML}, "A gateway"),
        ("put", "PUT", "/upload/sign/", {"status": 403, "body": b"{}", "headers": JSON}, "refuses a URL"),
        ("put", "PUT", "/upload/sign/", {"status": 500, "forwards": True}, "answered 500"),
        ("describe", "GET", "/object/info/", {"status": 500}, "answered 500"),
        ("describe", "GET", "/object/info/", {"body": b"[]", "headers": JSON}, "invalid response"),
        ("sign_download", "POST", "/object/sign/", {"status": 403}, "refuses the secret key"),
        ("get", "GET", "/object/sign/", {"status": 502, "body": b"<html>", "headers": HTML}, "A gateway"),
        ("get", "GET", "/object/sign/", {"body": b"scanned, and clean"}, "bytes differ"),
    ],
)
@pytest.mark.slow
def test_a_leg_that_fails(
    check, front: Proxy, leg: str, method: str, path: str, how: dict[str, Any], said: str
):
    """The next are not tried, and what arrived is deleted all the same."""
    front.on(method, path, **how)

    report = check()

    assert said in report.named(f"round_trip.{leg}").what
    done, left = LEGS[: LEGS.index(leg)], LEGS[LEGS.index(leg) + 1 : -1]
    assert report.of("problem") == [f"round_trip.{leg}"]
    assert report.of("skipped") == [f"round_trip.{each}" for each in left]
    assert all(report.named(f"round_trip.{each}").level == "ok" for each in [*done, "delete"])


def test_what_does_not_arrive_whole(check, front: Proxy):
    def cut(content: bytes) -> bytes:
        return json.dumps({**json.loads(content), "size": 1000}).encode()

    front.on("GET", "/object/info/", forwards=True, body=cut, headers=JSON)

    assert check().named("round_trip.describe").what == "1000 of 1024 bytes arrived."


@pytest.mark.slow
def test_what_cannot_be_deleted_is_named(check, front: Proxy, project: Project, settings):
    front.on("DELETE", "/object/", status=500)

    printed = StringIO()
    with pytest.raises(SystemExit):
        call_command("check_supabase", "--json", stdout=printed)

    [left] = project.keys("uploads", FOLDER)
    project.http.delete(f"object/uploads/{FOLDER}/{left}").raise_for_status()
    found = Report(printed.getvalue(), 1).named("round_trip.delete")
    assert (found.level, found.cure) == ("problem", f"Delete uploads/{FOLDER}/{left} by hand.")


def test_upload_urls_that_live_too_short(check, settings):
    settings.SUPABASE_SIGNING, settings.UPLOAD_URL_TTL = "secret", 60

    report = check()

    [found] = [each for each in report.findings if each.level == "warning"]
    assert found.name == "round_trip.sign_upload"
    assert "too short" in found.what
    assert report.code == 0


def test_a_cache_that_is_down_does_not_stop_the_doctor(check, settings):
    redis = "django.core.cache.backends.redis.RedisCache"
    settings.CACHES = {"default": {"BACKEND": redis, "LOCATION": "redis://127.0.0.1:9/0"}}

    assert check().of("problem", "warning", "skipped") == []


# --- The global file size limit ---------------------------------------------------------------------


def allows_at_most(size: int) -> Callable[[Passing, bytes], None]:
    """Answers updates of buckets as a project with this global limit."""
    refusal = {"statusCode": "413", "error": "Payload too large", "message": "", "code": "EntityTooLarge"}

    def answer(passing: Passing, content: bytes) -> None:
        if json.loads(content)["file_size_limit"] > size:
            passing.answer(400, JSON, json.dumps(refusal).encode())
        else:
            passing.relay(passing.upstream(content))

    return answer


@pytest.mark.parametrize(
    ("size", "too_large"),
    [
        (50 * MIB, []),
        (50 * MIB - 1, ["uploads", "documents"]),
        (10 * MIB, ["uploads", "documents"]),
        (
            MIB,
            [
                *("uploads", "documents", "user-profiles", "originals"),
                *("species", "exhibitions", "educational-services"),
            ],
        ),
    ],
)
def test_a_global_limit_below_those_of_the_buckets(
    check, front: Proxy, project: Project, size: int, too_large: list[str]
):
    """The buckets were made before it was lowered."""
    before = project.buckets()
    front.fail(allows_at_most(size), on="^PUT /bucket/")

    report = check()

    assert report.of("problem") == [f"bucket.{name}" for name in too_large]
    for found in (each for each in report.findings if each.level == "problem"):
        assert "is above the global limit of the project." in found.what
        assert "Raise the global file size limit" in found.cure
    assert project.buckets() == before


@pytest.mark.slow
def test_a_global_limit_that_cannot_be_checked(check, front: Proxy):
    front.on("PUT", "/bucket/", status=503, headers={"Retry-After": "0"})

    report = check()

    assert (report.of("warning"), report.of("problem", "skipped")) == (["buckets"], [])


# --- Browsers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "missing"),
    [
        ({"status": 200}, "the origin, PUT, cache-control, content-type, x-upsert"),
        ({"status": 403, "headers": ORIGINS}, "the origin"),
        ({"headers": {**ORIGINS, "Access-Control-Allow-Origin": "https://other.example.org"}}, "the origin"),
        ({"headers": {**ORIGINS, "Access-Control-Allow-Methods": "GET, POST"}}, "PUT"),
        ({"headers": {**ORIGINS, "Access-Control-Allow-Headers": "content-type"}}, "cache-control, x-upsert"),
        ({"headers": ORIGINS}, ""),
        ({"headers": {**ORIGINS, "Access-Control-Allow-Origin": "https://app.zoo.example.org"}}, ""),
        ({"status": 204, "headers": {**ORIGINS, "Access-Control-Allow-Headers": "*"}}, ""),
    ],
)
@pytest.mark.slow
def test_what_browsers_ask_first(check, front: Proxy, settings, how: dict[str, Any], missing: str):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.zoo.example.org"]
    front.on("OPTIONS", "/object/upload/sign/uploads/", **how)

    found = check().named("cors")

    assert found.level == ("problem" if missing else "ok")
    assert found.what == (
        f"Browsers may not send files from https://app.zoo.example.org: {missing} not allowed."
        if missing
        else "Browsers may send files from https://app.zoo.example.org."
    )


def test_an_origin_that_no_browser_sends_is_told_and_not_tried(check, front: Proxy, settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://*.example.app"]

    found = check().named("cors")

    assert (found.level, found.id) == ("problem", "storage.E016")
    assert front.count("OPTIONS") == 0


def test_a_pattern_of_origins_is_tried_with_one_of_them(check, settings):
    settings.CORS_ALLOWED_ORIGINS = []
    settings.CORS_ALLOWED_ORIGIN_PATTERNS = ["https://*.example.app"]

    assert check().named("cors").what == "Browsers may send files from https://check.example.app."


def test_no_origin_is_told(check, settings):
    settings.CORS_ALLOWED_ORIGINS = []

    assert check().named("cors").level == "warning"


# --- The order --------------------------------------------------------------------------------------


def test_what_rests_on_something_skipped_is_skipped_too():
    def broken() -> Iterator[Finding]:
        yield ok("a.first", "fine")
        raise RuntimeError("token=hush")

    steps = [
        Step("a", broken),
        Step("b", lambda: iter([ok("b", "fine")]), needs=("a",)),
        Step("c", lambda: iter([ok("c", "fine")]), needs=("b",)),
        Step("d", lambda: iter([ok("d", "fine")]), needs=("a.first",)),
    ]

    found = list(run_steps(steps))

    assert [(each.name, each.level) for each in found] == [
        ("a.first", "ok"),
        ("a", "problem"),
        ("b", "skipped"),
        ("c", "skipped"),
        ("d", "ok"),
    ]
    assert found[1].what == "The check failed unexpectedly: RuntimeError."
