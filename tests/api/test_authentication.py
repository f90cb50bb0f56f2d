"""Who asks: every way in which a token may be wrong is a 401, and only a server makes somebody staff."""

import hmac
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as project
from django.test import Client
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.authentication import principal
from api.development_tokens import development_token, member_id
from storage import tokens
from tests.cast import Caller, code

SUB = "6c1f9a52-6f0a-5d7e-9b7e-2f6a3c0d9b11"
SECRET = project.SUPABASE_JWT_SECRET
ISSUER = project.SUPABASE_JWT_ISSUER
ABSENT = object()
HOUR = 3600
CLIENT = Client(raise_request_exception=False)  # one for all: a new one loads the middleware anew


class WhoAmI(APIView):
    def get(self, request: Request) -> Response:
        return Response({"id": request.user.pk, "is_staff": request.user.is_staff})


class Public(APIView):
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        return Response({"id": request.user.pk})


urlpatterns = [path("whoami", WhoAmI.as_view()), path("public", Public.as_view())]


@pytest.fixture(autouse=True)
def _routes(settings) -> None:
    settings.ROOT_URLCONF = __name__


def ask(authorization: str | None = None, where: str = "/whoami") -> Any:
    headers = {} if authorization is None else {"authorization": authorization}
    return CLIENT.get(where, headers=headers)


def claims(**changes: Any) -> dict[str, Any]:
    """Those of a member, as Supabase Auth writes them."""
    now = int(time.time())
    usual = {
        "iss": ISSUER,
        "aud": "authenticated",
        "sub": SUB,
        "role": "authenticated",
        "iat": now,
        "exp": now + HOUR,
        "email": "alice@example.org",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {},
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}],
        "session_id": "0b0d7b5e-1f7a-4a39-9a55-6a8a2d6f6a01",
        "is_anonymous": False,
    }
    return {name: value for name, value in {**usual, **changes}.items() if value is not ABSENT}


def encoded(part: Any) -> str:
    text = part if isinstance(part, str) else json.dumps(part)
    return urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def signed(payload: Any, *, header: Any = None, secret: str = SECRET, digest: str = "sha256") -> str:
    """A token as no library would make it: any header, any payload, any key."""
    message = f"{encoded(header or {'alg': 'HS256', 'typ': 'JWT'})}.{encoded(payload)}"
    signature = hmac.new(secret.encode(), message.encode(), digest).digest()
    return f"{message}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def token(**changes: Any) -> str:
    return signed(claims(**changes))


def unsigned(algorithm: Any) -> str:
    return f"{encoded({'alg': algorithm, 'typ': 'JWT'})}.{encoded(claims())}."


def raw(**texts: str) -> str:
    """A token whose payload holds what Python's json would not write."""
    text = json.dumps(claims(**{name: f"@{name}@" for name in texts}))
    for name, value in texts.items():
        text = text.replace(f'"@{name}@"', value)
    return signed(text)


def flipped(good: str) -> str:
    """The same token with one bit of its payload changed."""
    header, payload, signature = good.split(".")
    middle = len(payload) // 2
    other = "A" if payload[middle] != "A" else "B"
    return f"{header}.{payload[:middle]}{other}{payload[middle + 1 :]}.{signature}"


def test_a_members_token_is_accepted():
    answer = ask(f"Bearer {token()}")

    assert answer.status_code == 200
    assert answer.json() == {"id": SUB, "is_staff": False}


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["authenticated"]},
        {"aud": ["something-else", "authenticated"]},
        {"sub": SUB.upper()},
        {"email": "", "phone": ""},
        {"email": ABSENT, "phone": ABSENT, "app_metadata": ABSENT, "user_metadata": ABSENT},
        {"app_metadata": None},
        {"is_anonymous": ABSENT},
    ],
    ids=lambda changes: ",".join(f"{name}={str(value)[:20]}" for name, value in changes.items()),
)
def test_what_a_genuine_token_may_look_like(changes: dict[str, Any]):
    answer = ask(f"Bearer {token(**changes)}")

    assert answer.status_code == 200, answer.content
    assert answer.json()["id"] == SUB


@pytest.mark.parametrize(
    ("name", "seconds"), [("nbf", -HOUR), ("iat", 10), ("exp", -5), ("exp", HOUR + 0.5)], ids=str
)
def test_two_clocks_may_differ_by_some_seconds(name: str, seconds: float):
    assert ask(f"Bearer {token(**{name: int(time.time()) + seconds})}").status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   ", "  Bearer "])
def test_the_scheme_is_read_as_http_has_it(scheme: str):
    assert ask(f"{scheme}{token()}").status_code == 200


LATER = int(time.time()) + 10 * HOUR
BAD_TOKENS: dict[str, tuple[str, Callable[[], str]]] = {
    # --- The signature
    "forged: another secret": ("token_invalid", lambda: signed(claims(), secret="x" * 40)),
    "forged: an empty secret": ("token_invalid", lambda: signed(claims(), secret="")),
    "forged: changed payload": ("token_invalid", lambda: flipped(token())),
    "forged: signature cut off": ("token_invalid", lambda: token()[:-4]),
    "forged: no signature": ("token_invalid", lambda: token().rpartition(".")[0] + "."),
    "HS384 with the right secret": (
        "token_invalid",
        lambda: signed(claims(), header={"alg": "HS384"}, digest="sha384"),
    ),
    "HS512 with the right secret": (
        "token_invalid",
        lambda: signed(claims(), header={"alg": "HS512"}, digest="sha512"),
    ),
    "ES256 while there are no public keys": (
        "token_invalid",
        lambda: signed(claims(), header={"alg": "ES256", "kid": "a"}),
    ),
    **{
        f"algorithm {algorithm!r}": ("token_invalid", lambda algorithm=algorithm: unsigned(algorithm))
        for algorithm in ("none", "None", "NONE", "nOnE", "", None, "none ", "HS256", ["HS256"], {"a": 1}, 0)
    },
    "algorithm none, with a good signature": (
        "token_invalid",
        lambda: signed(claims(), header={"alg": "none"}),
    ),
    "algorithm in lower case": ("token_invalid", lambda: signed(claims(), header={"alg": "hs256"})),
    "no algorithm": ("token_invalid", lambda: signed(claims(), header={"typ": "JWT"})),
    "unknown critical extension": (
        "token_invalid",
        lambda: signed(claims(), header={"alg": "HS256", "crit": ["exp2"], "exp2": 1}),
    ),
    "detached payload": (
        "token_invalid",
        lambda: signed("", header={"alg": "HS256", "b64": False, "crit": ["b64"]}),
    ),
    # --- The times
    "expired": ("token_expired", lambda: token(exp=int(time.time()) - 60)),
    "expired in 1970": ("token_expired", lambda: token(exp=0)),
    "expires before time began": ("token_expired", lambda: token(exp=-1)),
    "no expiry": ("token_invalid", lambda: token(exp=ABSENT)),
    "expiry null": ("token_invalid", lambda: token(exp=None)),
    "expiry in words": ("token_invalid", lambda: token(exp="tomorrow")),
    "expiry a list": ("token_invalid", lambda: token(exp=[LATER])),
    "expiry 1e999": ("token_invalid", lambda: raw(exp="1e999")),
    "expiry Infinity": ("token_invalid", lambda: raw(exp="Infinity")),
    "expiry NaN": ("token_invalid", lambda: raw(exp="NaN")),
    "expiry of 5,000 digits": ("token_invalid", lambda: raw(exp="9" * 5000)),
    "issued in the future": ("token_invalid", lambda: token(iat=LATER, exp=LATER + HOUR)),
    "issued at no time": ("token_invalid", lambda: token(iat=ABSENT)),
    "issued at words": ("token_invalid", lambda: token(iat="now")),
    "issued at 1e999": ("token_invalid", lambda: raw(iat="1e999")),
    "not before later": ("token_invalid", lambda: token(nbf=LATER)),
    "not before words": ("token_invalid", lambda: token(nbf="later")),
    # --- The issuer and the audience
    "issuer with a slash": ("token_invalid", lambda: token(iss=f"{ISSUER}/")),
    "issuer of another project": ("token_invalid", lambda: token(iss="https://evil.supabase.co/auth/v1")),
    "issuer absent": ("token_invalid", lambda: token(iss=ABSENT)),
    "issuer null": ("token_invalid", lambda: token(iss=None)),
    "issuer a list": ("token_invalid", lambda: token(iss=[ISSUER])),
    "issuer the beginning of ours": ("token_invalid", lambda: token(iss=ISSUER[:-1])),
    "issuer in capitals": ("token_invalid", lambda: token(iss=ISSUER.upper())),
    "audience another": ("token_invalid", lambda: token(aud="anon")),
    "audience absent": ("token_invalid", lambda: token(aud=ABSENT)),
    "audience null": ("token_invalid", lambda: token(aud=None)),
    "audience an empty list": ("token_invalid", lambda: token(aud=[])),
    "audience a list of others": ("token_invalid", lambda: token(aud=["anon", "authenticated2"])),
    "audience a list with a number": ("token_invalid", lambda: token(aud=["authenticated", 1])),
    "audience an object": ("token_invalid", lambda: token(aud={"authenticated": True})),
    # --- The subject and the role
    "subject absent": ("token_invalid", lambda: token(sub=ABSENT)),
    "subject null": ("token_invalid", lambda: token(sub=None)),
    "subject empty": ("token_invalid", lambda: token(sub="")),
    "subject no UUID": ("token_invalid", lambda: token(sub="alice")),
    "subject a number": ("token_invalid", lambda: token(sub=1)),
    "subject a list": ("token_invalid", lambda: token(sub=[SUB])),
    "subject in braces": ("token_invalid", lambda: token(sub=f"{{{SUB}}}")),
    "subject a URN": ("token_invalid", lambda: token(sub=f"urn:uuid:{SUB}")),
    "subject without dashes": ("token_invalid", lambda: token(sub=SUB.replace("-", ""))),
    "subject with a line break": ("token_invalid", lambda: token(sub=f"{SUB}\n")),
    "role absent": ("token_invalid", lambda: token(role=ABSENT)),
    "role null": ("token_invalid", lambda: token(role=None)),
    "role a list": ("token_invalid", lambda: token(role=["authenticated"])),
    "role anon": ("token_invalid", lambda: token(role="anon")),
    "role service_role": ("token_invalid", lambda: token(role="service_role")),
    "role in capitals": ("token_invalid", lambda: token(role="Authenticated")),
    # --- What else is signed with the same key
    "the anon key": (
        "token_invalid",
        lambda: signed({"iss": "supabase", "ref": "abc", "role": "anon", "iat": 1, "exp": LATER}),
    ),
    "the service_role key": (
        "token_invalid",
        lambda: signed({"iss": "supabase", "ref": "abc", "role": "service_role", "iat": 1, "exp": LATER}),
    ),
    "a service token of our own issuer": ("token_invalid", lambda: development_token("", service=True)),
    "an ID token": ("token_invalid", lambda: token(aud="0d8c8a7e-client", role=ABSENT, nonce="x")),
    "a download URL's token": ("token_invalid", lambda: tokens.mint("download", "documents", "a.pdf", 300)),
    "an upload URL's token": ("token_invalid", lambda: tokens.mint("upload", "uploads", "a.pdf", 300)),
    # --- What is no token
    "one part": ("token_invalid", lambda: "abc"),
    "two parts": ("token_invalid", lambda: ".".join(token().split(".")[:2])),
    "four parts": ("token_invalid", lambda: f"{token()}.e30"),
    "five parts": ("token_invalid", lambda: "eyJhbGciOiJkaXIifQ..a.b.c"),
    "only dots": ("token_invalid", lambda: ".."),
    "two tokens": ("token_invalid", lambda: f"{token()} {token()}"),
    "two tokens with a comma": ("token_invalid", lambda: f"{token()},{token()}"),
    "in quotes": ("token_invalid", lambda: f'"{token()}"'),
    "garbage": ("token_invalid", lambda: "%00%ff';--"),
    "not ASCII": ("token_invalid", lambda: "tökén.ümläut.çédille"),
    "a NUL in it": ("token_invalid", lambda: token().replace(".", "\0", 1)),
    "header no JSON": ("token_invalid", lambda: signed(claims(), header="{")),
    "header a list": ("token_invalid", lambda: signed(claims(), header='["HS256"]')),
    "header null": ("token_invalid", lambda: signed(claims(), header="null")),
    "header deeply nested": ("token_invalid", lambda: signed(claims(), header='{"a":' + "[" * 5000)),
    "header deeply nested and whole": (
        "token_invalid",
        lambda: signed(claims(), header='{"a":' + "[" * 2000 + "]" * 2000 + "}"),
    ),
    "payload no JSON": ("token_invalid", lambda: signed("{")),
    "payload a list": ("token_invalid", lambda: signed("[]")),
    "payload a text": ("token_invalid", lambda: signed('"alice"')),
    "payload deeply nested": ("token_invalid", lambda: signed('{"a":' + "[" * 5000)),
    "oversized": ("token_invalid", lambda: token(user_metadata={"note": "x" * 8000})),
    "oversized garbage": ("token_invalid", lambda: "a" * 100_000),
}


@pytest.mark.parametrize(("expected", "make"), BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
def test_a_bad_token_is_401_wherever_it_is_shown(expected: str, make: Callable[[], str]):
    bad = make()
    for where in ("/whoami", "/public"):
        answer = ask(f"Bearer {bad}", where)

        assert answer.status_code == 401
        assert code(answer) == expected
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="vivarium", error="invalid_token"'
        assert len(bad) < 8 or bad not in answer.content.decode()


@pytest.mark.parametrize(
    "header",
    ["", " ", "Bearer", "Bearer ", "Bearer    ", "Basic YWxpY2U6c2VjcmV0", "Token abc", "Digest a=b", "é"],
)
def test_another_scheme_or_none_is_401_too(header: str):
    for where in ("/whoami", "/public"):
        answer = ask(header, where)

        assert answer.status_code == 401
        assert code(answer) == "token_invalid"
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_a_good_token_without_its_scheme_is_401():
    assert code(ask(token())) == "token_invalid"
    assert code(ask(f"Bearer\t{token()}")) == "token_invalid"
    assert code(ask(f"Bearer{token()}")) == "token_invalid"


def test_a_token_is_taken_from_the_header_and_from_nowhere_else():
    client = Client()
    client.cookies["access_token"] = client.cookies["sb-access-token"] = token()

    assert code(client.get("/whoami", {"access_token": token(), "token": token()})) == "not_authenticated"
    assert code(client.get("/whoami", headers={"apikey": token()})) == "not_authenticated"


def test_a_visitor_is_asked_to_sign_in_and_may_read_what_is_public():
    refused = ask()

    assert refused.status_code == 401
    assert code(refused) == "not_authenticated"
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="vivarium"'
    assert ask(where="/public").json() == {"id": None}


def test_bad_tokens_are_401_on_the_real_routes(db, settings):
    settings.ROOT_URLCONF = "backend.urls"

    for path_ in ("documents/", "uploads/", f"documents/{SUB}/", "documents/download-urls/"):
        stranger = Client(headers={"authorization": f"Bearer {flipped(token())}"})
        assert code(stranger.get(f"/api/v1/{path_}")) == "token_invalid"
        assert (
            code(stranger.post(f"/api/v1/{path_}", "{", content_type="application/json")) == "token_invalid"
        )


# --- Anonymous sign-ins and OAuth clients -----------------------------------------------------------


def test_an_anonymous_sign_in_is_admitted_only_by_its_setting(settings):
    anonymous = f"Bearer {token(is_anonymous=True)}"
    assert code(ask(anonymous)) == "anonymous_not_allowed"
    assert ask(anonymous).headers["WWW-Authenticate"].startswith("Bearer ")
    assert code(ask(anonymous, "/public")) == "anonymous_not_allowed"

    settings.SUPABASE_ALLOW_OAUTH_CLIENTS = True
    assert code(ask(anonymous)) == "anonymous_not_allowed"

    settings.SUPABASE_ALLOW_ANONYMOUS = True
    assert ask(anonymous).json() == {"id": SUB, "is_staff": False}


def test_a_token_of_an_oauth_client_is_admitted_only_by_its_setting(settings):
    client = f"Bearer {token(client_id='9a1b')}"
    assert code(ask(client)) == "client_not_allowed"
    assert ask(client).headers["WWW-Authenticate"].startswith("Bearer ")
    assert code(ask(client, "/public")) == "client_not_allowed"

    settings.SUPABASE_ALLOW_ANONYMOUS = True
    assert code(ask(client)) == "client_not_allowed"

    settings.SUPABASE_ALLOW_OAUTH_CLIENTS = True
    assert ask(client).json() == {"id": SUB, "is_staff": False}


@pytest.mark.parametrize("odd", ["true", "false", 1, [True]])
def test_what_is_oddly_anonymous_is_taken_for_anonymous(odd: Any):
    assert code(ask(f"Bearer {token(is_anonymous=odd)}")) == "anonymous_not_allowed"


# --- Staff ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["staff", "admin"])
def test_staff_is_who_a_server_says_is_staff(role: str):
    assert ask(f"Bearer {token(app_metadata={'role': role})}").json()["is_staff"] is True


@pytest.mark.parametrize(
    "changes",
    [
        {"app_metadata": {"role": "Staff"}},
        {"app_metadata": {"role": "staf"}},
        {"app_metadata": {"role": "staff,admin"}},
        {"app_metadata": {"role": "staff "}},
        {"app_metadata": {"role": ""}},
        {"app_metadata": {"role": None}},
        {"app_metadata": {"role": True}},
        {"app_metadata": {"role": ["staff"]}},
        {"app_metadata": {"role": {"staff": True}}},
        {"app_metadata": {"roles": ["staff"]}},
        {"app_metadata": ["staff"]},
        {"app_metadata": "staff"},
        {"app_metadata": [["role", "staff"]]},
        {"app_metadata": None},
        {"user_metadata": {"role": "staff", "is_staff": True}},
        {"email": "staff"},
        {"is_staff": True, "is_superuser": True},
        {"user_role": "staff", "groups": ["staff"]},
    ],
    ids=str,
)
def test_nothing_else_makes_staff(changes: dict[str, Any]):
    answer = ask(f"Bearer {token(**changes)}")

    assert answer.status_code == 200
    assert answer.json()["is_staff"] is False


@pytest.mark.parametrize("changes", [{"is_anonymous": True}, {"client_id": "9a1b"}], ids=str)
def test_neither_an_anonymous_sign_in_nor_an_app_is_ever_staff(settings, changes: dict[str, Any]):
    settings.SUPABASE_ALLOW_ANONYMOUS = settings.SUPABASE_ALLOW_OAUTH_CLIENTS = True

    answer = ask(f"Bearer {token(app_metadata={'role': 'admin'}, **changes)}")

    assert answer.json() == {"id": SUB, "is_staff": False}


def test_the_roles_of_staff_are_a_setting(settings):
    settings.SUPABASE_STAFF_ROLES = ["keeper"]

    assert ask(f"Bearer {token(app_metadata={'role': 'keeper'})}").json()["is_staff"] is True
    assert ask(f"Bearer {token(app_metadata={'role': 'staff'})}").json()["is_staff"] is False


def test_the_audience_and_the_issuer_are_settings(settings):
    settings.SUPABASE_JWT_AUDIENCE = "zoo"
    settings.SUPABASE_JWT_ISSUER = "https://auth.example.org"

    assert ask(f"Bearer {token(aud='zoo', iss='https://auth.example.org')}").status_code == 200
    assert code(ask(f"Bearer {token()}")) == "token_invalid"


# --- What it costs, and what it leaves --------------------------------------------------------------


def test_a_token_is_verified_without_the_database_and_the_network(socket_disabled):
    """No `db` here: a query would fail, and so would a connection."""
    assert ask(f"Bearer {token()}").status_code == 200
    assert ask(f"Bearer {flipped(token())}").status_code == 401


def test_a_principal_does_not_show_its_claims():
    shown = repr(principal(claims(email="secret@example.org")))

    assert SUB in shown
    assert "secret@example.org" not in shown


def test_the_same_member_is_the_same_owner_however_the_subject_is_written(db, settings):
    settings.ROOT_URLCONF = "backend.urls"
    alice = Caller("alice@example.org")
    alice.document()
    shouting = Client(headers={"authorization": f"Bearer {token(sub=str(member_id(alice.email)).upper())}"})

    answer = shouting.get("/api/v1/documents/", {"owner": "me"})

    assert answer.json()["count"] == 1
    assert UUID(answer.json()["results"][0]["owner"]) == alice.id
