"""The tokens of signed URLs: what is in them, and everything that opens nothing."""

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from django.conf import settings

from api.auth.development_tokens import development_token
from storage import tokens

BUCKET, KEY = "uploads", "0197/a b.pdf"


def signed(*, secret: str = "", algorithm: str = "HS256", headers: Any = None, **changes: Any) -> str:
    """A token for downloading KEY, changed; a claim that is None is left out."""
    claims = {
        "url": f"{BUCKET}/{KEY}",
        "scope": "download",
        "iat": int(time.time()),
        "exp": int(time.time()) + 60,
        **changes,
    }
    claims = {name: value for name, value in claims.items() if value is not None}
    secret = secret or settings.SUPABASE_JWT_SECRET
    return jwt.encode(claims, "" if algorithm == "none" else secret, algorithm, headers)


def hand_made(header: str, claims: str) -> str:
    """Signed rightly, whatever the two parts are."""
    parts = b".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=") for part in (header, claims))
    signature = hmac.new(settings.SUPABASE_JWT_SECRET.encode(), parts, hashlib.sha256).digest()
    return (parts + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


def refusal(token: str, scope: tokens.Scope = "download", bucket: str = BUCKET, key: str = KEY) -> str:
    with pytest.raises(tokens.InvalidToken) as refused:
        tokens.check(token, scope, bucket, key)
    return refused.value.code


@pytest.mark.parametrize(
    ("scope", "extra"), [("download", {}), ("upload", {"upsert": False})], ids=["download", "upload"]
)
def test_a_token_has_the_shape_of_the_protocol(scope, extra):
    before = int(time.time())

    token = tokens.mint(scope, BUCKET, KEY, 60)

    claims = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token) == {"alg": "HS256"}
    assert before <= claims["iat"] <= time.time()
    assert claims == {
        "url": f"{BUCKET}/{KEY}",
        "scope": scope,
        "iat": claims["iat"],
        "exp": claims["iat"] + 60,
        **extra,
    }
    assert tokens.expiry(token) == datetime.fromtimestamp(claims["exp"], UTC)


@pytest.mark.parametrize("scope", ["download", "upload"])
@pytest.mark.parametrize("upsert", [False, True])
def test_a_token_opens_its_object(scope, upsert):
    token = tokens.mint(scope, BUCKET, KEY, 60, upsert=upsert)

    grant = tokens.check(token, scope, BUCKET, KEY)

    assert grant == tokens.Grant(upsert and scope == "upload", tokens.expiry(token))


@pytest.mark.parametrize("upsert", [1, "true", "false", [True], None])
def test_only_true_allows_to_overwrite(upsert):
    assert tokens.check(signed(scope="upload", upsert=upsert), "upload", BUCKET, KEY).upsert is False


@pytest.mark.parametrize(("made_for", "used_for"), [("upload", "download"), ("download", "upload")])
def test_a_token_of_the_other_scope_opens_nothing(made_for, used_for):
    assert refusal(tokens.mint(made_for, BUCKET, KEY, 60), used_for) == "InvalidSignature"


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("documents", KEY),
        (BUCKET, "0197/other.pdf"),
        (BUCKET, KEY.upper()),
        (BUCKET, KEY + "/"),
        (BUCKET, f"../{BUCKET}/{KEY}"),
        (BUCKET, "0197%2Fa b.pdf"),
        (BUCKET, "0197/./a b.pdf"),
        (BUCKET, ""),
        (BUCKET.upper(), KEY),
    ],
)
def test_a_token_of_another_object_opens_nothing(bucket, key):
    assert refusal(tokens.mint("download", BUCKET, KEY, 60), "download", bucket, key) == "InvalidSignature"


@pytest.mark.parametrize(
    "claims",
    [{"upsert": False}, {"upsert": True}, {"upsert": 0}],
)
def test_an_older_token_without_scope_is_for_uploads_when_it_says_upsert(claims):
    token = signed(scope=None, **claims)

    assert tokens.check(token, "upload", BUCKET, KEY).upsert is (claims["upsert"] is True)
    assert refusal(token, "download") == "InvalidSignature"


def test_an_older_token_without_scope_is_for_downloads_otherwise():
    token = signed(scope=None)

    assert tokens.check(token, "download", BUCKET, KEY)
    assert refusal(token, "upload") == "InvalidSignature"


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 0},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"exp": "soon"},
        {"exp": [2**40]},
        {"exp": {}},
        {"exp": -1},
        {"nbf": 2**40},
        {"nbf": "later"},
        {"secret": "a-secret-of-somebody-else-with-40-characters"},
        {"algorithm": "none"},
        {"headers": {"crit": ["exp"]}},
        {"headers": {"b64": False}},
    ],
    ids=str,
)
def test_a_token_that_is_over_or_forged_opens_nothing(changes):
    assert refusal(signed(**changes)) == "InvalidJWT"


@pytest.mark.parametrize("scope", ["", "admin", "DOWNLOAD", ["download"], {"download": 1}, 1, False])
def test_a_scope_of_no_kind_opens_nothing(scope):
    assert refusal(signed(scope=scope)) == "InvalidSignature"
    assert refusal(signed(scope=scope), "upload") == "InvalidSignature"


@pytest.mark.parametrize("url", [None, "", [f"{BUCKET}/{KEY}"], 7, {"url": KEY}, f"/{BUCKET}/{KEY}"])
def test_a_url_claim_of_no_kind_opens_nothing(url):
    assert refusal(signed(url=url)) == "InvalidSignature"


def test_somebodys_access_token_opens_nothing():
    """It is signed with the same secret on stacks that share it."""
    assert refusal(development_token("alice@example.org")) == "InvalidSignature"
    assert refusal(development_token("curator@example.org", role="staff"), "upload") == "InvalidSignature"


@pytest.mark.parametrize("exp", [10**12, 10**15, 10**30, 1e300, str(2**33)])
def test_a_token_for_a_very_long_time_is_still_a_token(exp):
    assert tokens.check(signed(exp=exp), "download", BUCKET, KEY).expires_at > datetime.now(UTC)


def test_every_tampered_character_shows():
    token = tokens.mint("download", BUCKET, KEY, 60)
    header, _, signature = token.split(".")

    other = json.dumps({"url": f"{BUCKET}/other.pdf", "scope": "download", "exp": int(time.time()) + 60})
    changed = base64.urlsafe_b64encode(other.encode()).rstrip(b"=").decode()
    assert refusal(f"{header}.{changed}.{signature}", key="other.pdf") == "InvalidJWT"
    for place in range(0, len(token) - 1, 7):
        letter = "A" if token[place] != "A" else "B"
        assert refusal(token[:place] + letter + token[place + 1 :]) in ("InvalidJWT", "InvalidSignature")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "null",
        "undefined",
        "Bearer x",
        "ü.ü.ü",
        "🦆",
        "\0",
        "\ud800",
        "%00",
        "e30.e30.",
        "e30.e30.e30",
        "A" * 8000,
        "." * 8000,
        "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz",
        "' OR 1=1 --",
    ],
    ids=lambda token: ascii(token[:12]),
)
def test_garbage_opens_nothing(token):
    assert refusal(token) == "InvalidJWT"


GOOD = json.dumps({"url": f"{BUCKET}/{KEY}", "scope": "download", "exp": 2**40})
DEEP = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        (DEEP, GOOD),
        ('{"a":' * 50_000 + "1" + "}" * 50_000, GOOD),
        ('{"alg":"HS256"}', DEEP),
        ('{"alg":"none"}', GOOD),
        ('{"alg":"HS512"}', GOOD),
        ('{"alg":"RS256"}', GOOD),
        ('{"alg":"HS256"}', "[]"),
        ('{"alg":"HS256"}', '"text"'),
        ('{"alg":"HS256"}', "not json"),
        ('{"alg":"HS256"}', f'{{"exp": {"9" * 5000}}}'),
        ('{"alg":"HS256","kid":7}', GOOD),
        ('{"alg":["HS256"]}', GOOD),
        ('{"alg":null}', GOOD),
        ("[]", GOOD),
        ("7", GOOD),
        ('{"alg":"HS256"}', '{"exp": Infinity}'),
        ('{"alg":"HS256"}', '{"exp": NaN}'),
    ],
    ids=lambda part: part[:24],
)
def test_parts_that_are_no_claims_open_nothing(header, claims):
    assert refusal(hand_made(header, claims)) == "InvalidJWT"


def test_parts_that_are_right_open_the_object():
    """So that the table above shows what it says."""
    assert tokens.check(hand_made('{"alg":"HS256"}', GOOD), "download", BUCKET, KEY)


def test_a_refusal_does_not_repeat_the_token():
    token = tokens.mint("upload", BUCKET, KEY, 60)

    with pytest.raises(tokens.InvalidToken) as refused:
        tokens.check(token, "download", BUCKET, KEY)

    assert token not in str(refused.value)
