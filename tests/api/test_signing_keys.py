"""Public keys come from a real key server: fetched once, confused with nothing, and missed honestly."""

import json
import socket
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api import signing_keys
from tests.api.test_authentication import ABSENT, ask, claims, signed, token
from tests.cast import code

pytestmark = pytest.mark.usefixtures("_routes")

EC, EC2 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
ED = ed25519.Ed25519PrivateKey.generate()
KEYS = {"ES256": EC, "RS256": RSA, "EdDSA": ED}


@pytest.fixture
def _routes(settings) -> None:
    settings.ROOT_URLCONF = "tests.api.test_authentication"


def jwk(algorithm: str, key: Any, **more: Any) -> dict[str, Any]:
    public = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**public, "kid": algorithm, "alg": algorithm, "use": "sig", "key_ops": ["verify"], **more}


class KeyServer:
    """A JWKS endpoint on loopback that counts who asks. What it answers may be changed at any time."""

    def __init__(self) -> None:
        self.status, self.headers = 200, {"Content-Type": "application/json"}
        self.body = json.dumps({"keys": [jwk(name, key) for name, key in KEYS.items()]}).encode()
        self.asked: list[dict[str, str]] = []
        self.wait = threading.Event()
        self.wait.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(dict(self.headers))
                outer.wait.wait(10)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # A path of its own: a port may be used again, and what was read from it is kept.
        self.url = f"http://127.0.0.1:{self.http.server_port}/{uuid4()}/jwks.json"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def hits(self) -> int:
        return len(self.asked)

    def keys(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()

    def stop(self) -> None:
        self.wait.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def key_server(settings) -> Iterator[KeyServer]:
    server = KeyServer()
    settings.SUPABASE_JWKS_URL = server.url
    yield server
    server.stop()


def issued(algorithm: str = "ES256", key: Any = None, header: Any = None, **changes: Any) -> str:
    """What Supabase Auth issues with this family of keys."""
    named = {"kid": algorithm, **(header or {})}
    return jwt.encode(claims(**changes), key or KEYS[algorithm], algorithm=algorithm, headers=named)


@pytest.mark.parametrize("algorithm", KEYS)
def test_a_token_signed_with_a_published_key_is_accepted(key_server: KeyServer, algorithm: str):
    assert ask(f"Bearer {issued(algorithm)}").status_code == 200
    assert code(ask(f"Bearer {issued(algorithm)[:-8]}AAAAAAAA")) == "token_invalid"


def test_both_families_are_accepted_while_a_project_changes_over(key_server: KeyServer):
    assert ask(f"Bearer {issued('ES256')}").status_code == 200
    assert ask(f"Bearer {token()}").status_code == 200


def test_without_a_secret_only_the_published_keys_count(key_server: KeyServer, settings):
    settings.SUPABASE_JWT_SECRET = ""

    assert ask(f"Bearer {issued('ES256')}").status_code == 200
    for secret in ("", "x" * 40, "super-secret-jwt-token-with-at-least-32-characters-long"):
        assert code(ask(f"Bearer {signed(claims(), secret=secret)}")) == "token_invalid"


def test_without_a_key_server_only_the_secret_counts(key_server: KeyServer, settings):
    settings.SUPABASE_JWKS_URL = ""

    assert ask(f"Bearer {token()}").status_code == 200
    assert code(ask(f"Bearer {issued('ES256')}")) == "token_invalid"
    assert key_server.hits == 0


def test_staff_is_staff_with_either_family(key_server: KeyServer):
    assert ask(f"Bearer {issued(app_metadata={'role': 'staff'})}").json()["is_staff"] is True


@pytest.mark.parametrize(
    ("expected", "changes"),
    [
        ("token_expired", {"exp": int(time.time()) - 60}),
        ("token_invalid", {"exp": ABSENT}),
        ("token_invalid", {"iat": ABSENT}),
        ("token_invalid", {"iat": int(time.time()) + 3600}),
        ("token_invalid", {"iss": "https://evil.supabase.co/auth/v1"}),
        ("token_invalid", {"iss": ABSENT}),
        ("token_invalid", {"aud": "0d8c8a7e-client"}),
        ("token_invalid", {"aud": ABSENT}),
        ("token_invalid", {"sub": ABSENT}),
        ("token_invalid", {"sub": "alice"}),
        ("token_invalid", {"role": "service_role"}),
        ("token_invalid", {"role": ABSENT}),
        ("anonymous_not_allowed", {"is_anonymous": True}),
        ("client_not_allowed", {"client_id": "9a1b"}),
    ],
)
def test_what_a_token_says_is_checked_just_as_strictly(
    key_server: KeyServer, expected: str, changes: dict[str, Any]
):
    answer = ask(f"Bearer {issued(**changes)}")

    assert answer.status_code == 401
    assert code(answer) == expected


# --- Confusion --------------------------------------------------------------------------------------


def public_texts() -> list[str]:
    """Every form in which a published key might be taken for a shared secret."""
    forms = []
    for key in (EC.public_key(), RSA.public_key()):
        for shape in (PublicFormat.SubjectPublicKeyInfo, *([PublicFormat.PKCS1] if key_is_rsa(key) else [])):
            pem = key.public_bytes(Encoding.PEM, shape).decode()
            forms += [pem, pem.strip(), "".join(pem.splitlines()[1:-1])]
    for name, key in KEYS.items():
        forms += [json.dumps(jwk(name, key)), next(iter(jwk(name, key).values()))]
        forms += [str(value) for value in jwk(name, key).values()]
    return forms


def key_is_rsa(key: Any) -> bool:
    return isinstance(key, rsa.RSAPublicKey)


@pytest.mark.parametrize("secret_is_set", [True, False])
def test_a_public_key_is_never_taken_for_a_secret(key_server: KeyServer, settings, secret_is_set: bool):
    if not secret_is_set:
        settings.SUPABASE_JWT_SECRET = ""
    assert ask(f"Bearer {issued()}").status_code == 200

    for text in public_texts():
        for kid in KEYS:
            confused = signed(claims(), header={"alg": "HS256", "typ": "JWT", "kid": kid}, secret=text)
            assert code(ask(f"Bearer {confused}")) == "token_invalid"


def test_a_shared_secret_that_is_published_by_mistake_is_not_used(key_server: KeyServer, settings):
    settings.SUPABASE_JWT_SECRET = ""
    secret = "a secret that stands in the key set" * 2
    octets = urlsafe_b64encode(secret.encode()).rstrip(b"=").decode()
    key_server.keys({"kty": "oct", "k": octets, "kid": "h", "alg": "HS256"}, jwk("ES256", EC))

    for algorithm in ("HS256", "ES256"):
        assert (
            code(ask(f"Bearer {signed(claims(), header={'alg': algorithm, 'kid': 'h'}, secret=secret)}"))
            == "token_invalid"
        )


@pytest.mark.parametrize(
    "bad",
    [
        lambda: issued("ES256", EC2),
        lambda: issued("ES256", header={"kid": "RS256"}),
        lambda: issued("RS256", header={"kid": "ES256"}),
        lambda: issued("ES256", header={"kid": "unknown"}),
        lambda: issued("ES256", header={"kid": ""}),
        lambda: issued("ES256", header={"kid": "../../etc/passwd"}),
        lambda: issued("ES256", header={"kid": "' or 1=1 --"}),
        lambda: signed(claims(), header={"alg": "ES256"}),
        lambda: signed(claims(), header={"alg": "ES256", "kid": None}),
        lambda: signed(claims(), header={"alg": "ES256", "kid": ["ES256"]}),
        lambda: signed(claims(), header={"alg": "ES256", "kid": 0}),
        lambda: signed(claims(), header={"alg": "ES256", "kid": "ES256"}),
        lambda: signed(claims(), header={"alg": "PS256", "kid": "RS256"}),
        lambda: signed(claims(), header={"alg": "ES384", "kid": "ES256"}),
        lambda: signed("{", header={"alg": "ES256", "kid": "ES256"}),
        lambda: issued("ES256", EC2, header={"jwk": jwk("ES256", EC2)}),
        lambda: f"{issued().rpartition('.')[0]}.",
    ],
    ids=lambda make: None,
)
def test_no_other_key_opens(key_server: KeyServer, bad: Any):
    answer = ask(f"Bearer {bad()}")

    assert answer.status_code == 401
    assert code(answer) == "token_invalid"


@pytest.mark.parametrize("header", ["jku", "x5u", "kid", "iss"])
def test_a_token_cannot_name_the_server_of_its_own_keys(key_server: KeyServer, header: str):
    evil = KeyServer()
    evil.keys(jwk("ES256", EC2))

    refused = ask(f"Bearer {issued('ES256', EC2, header={header: evil.url})}")
    evil.stop()

    assert code(refused) == "token_invalid"
    assert evil.hits == 0


def test_a_key_for_encryption_signs_nothing(key_server: KeyServer):
    key_server.keys(jwk("ES256", EC, use="enc"), jwk("ES256", EC2, kid="other"))

    assert code(ask(f"Bearer {issued()}")) == "token_invalid"


# --- The network ------------------------------------------------------------------------------------


def test_the_key_server_is_asked_once(key_server: KeyServer, settings):
    settings.SUPABASE_PUBLISHABLE_KEY = "sb_publishable_of_this_test"

    for _ in range(20):
        for algorithm in KEYS:
            assert ask(f"Bearer {issued(algorithm)}").status_code == 200

    assert key_server.hits == 1
    assert key_server.asked[0]["User-Agent"] == "vivarium"
    assert {name.lower(): value for name, value in key_server.asked[0].items()}["apikey"] == (
        "sb_publishable_of_this_test"
    )


def test_tokens_of_the_secret_do_not_ask_the_key_server(key_server: KeyServer):
    assert ask(f"Bearer {token()}").status_code == 200
    assert ask(f"Bearer {signed(claims(), secret='x' * 40)}").status_code == 401

    assert key_server.hits == 0


def test_a_flood_of_unknown_keys_does_not_reach_the_key_server(key_server: KeyServer):
    assert ask(f"Bearer {issued()}").status_code == 200

    for number in range(50):
        assert ask(f"Bearer {issued(header={'kid': f'made up {number}'})}").status_code == 401

    assert key_server.hits <= 2
    assert ask(f"Bearer {issued()}").status_code == 200


def test_known_keys_outlive_their_server(key_server: KeyServer):
    assert ask(f"Bearer {issued()}").status_code == 200

    key_server.stop()

    assert ask(f"Bearer {issued()}").status_code == 200


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b"{}"),
        (404, b'{"message": "no such project"}'),
        (401, b'{"message": "No API key found in request"}'),
        (429, b"slow down"),
        (302, b""),
        (200, b""),
        (200, b"<html>Maintenance</html>"),
        (200, b"\xff\xfe"),
        (200, b'{"keys": ["'),
        (200, b'{"keys": [{"kty": "a kind that is not invented yet", "kid": "ES256"}]}'),
    ],
)
def test_a_key_server_in_trouble_is_our_trouble_and_not_the_tokens(
    key_server: KeyServer, status: int, body: bytes
):
    key_server.status, key_server.body = status, body
    key_server.headers["Location"] = "http://127.0.0.1:9/elsewhere"

    for where in ("/whoami", "/public"):
        answer = ask(f"Bearer {issued()}", where)
        assert answer.status_code == 503
        assert code(answer) == "keys_unavailable"
        assert int(answer.headers["Retry-After"]) > 0
        assert "WWW-Authenticate" not in answer.headers


def test_a_key_server_that_is_gone_is_503_and_the_secret_still_opens(key_server: KeyServer):
    key_server.stop()

    assert code(ask(f"Bearer {issued()}")) == "keys_unavailable"
    assert ask(f"Bearer {token()}").status_code == 200
    assert ask(where="/public").status_code == 200


def test_a_key_server_that_hangs_is_given_up(key_server: KeyServer, monkeypatch):
    monkeypatch.setattr(signing_keys, "TIMEOUT", 0.2)
    key_server.wait.clear()

    assert code(ask(f"Bearer {issued()}")) == "keys_unavailable"


def test_a_key_server_that_hangs_up_is_503(settings):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(10)  # not all of it: closing then resets the connection
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        settings.SUPABASE_JWKS_URL = f"http://127.0.0.1:{listener.getsockname()[1]}/{uuid4()}"
        answer = ask(f"Bearer {issued()}")
        thread.join()

    assert code(answer) == "keys_unavailable"


def test_after_trouble_the_keys_are_fetched_again(key_server: KeyServer):
    good, key_server.body = key_server.body, b"<html>Maintenance</html>"
    assert code(ask(f"Bearer {issued()}")) == "keys_unavailable"

    key_server.body = good

    assert ask(f"Bearer {issued()}").status_code == 200
