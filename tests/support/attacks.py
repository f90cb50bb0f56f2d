"""Attacks: tokens that somebody made up, by name. Not one of them may open anything."""

import json
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.auth.development_tokens import development_token
from storage import tokens
from tests.support.access_tokens import (
    ABSENT,
    EC,
    EC2,
    ED,
    KEYS,
    LATER,
    RSA,
    SECRET,
    base64,
    claims,
    encoded,
    flipped,
    issued,
    jwk,
    sealed,
    signed,
    token,
    unsigned,
)
from tests.support.false_claims import WRONG_CLAIMS, WRONG_PAYLOADS, Attacks

OCTETS = "a shared secret that stands in the key set by mistake"
EVIL = "https://evil.example.org/jwks.json"

#: Key ids of every type, and with every trick. The last one is too long to be anybody's.
KEY_IDS: list[Any] = [
    "",
    None,
    0,
    True,
    ["ES256"],
    {"ES256": 1},
    1.5,
    "unknown",
    "es256",
    "ES256 ",
    "ES256\0",
    "../../dev/null",
    "/proc/self/environ",
    "' or 1=1 --",
    "| sleep 9",
    EVIL,
    "file:///etc/passwd",
    "ＥＳ２５６",
    "\ud800",
    "a" * 5000,
]
#: Headers of which a careless reader would take a key, or an order to look away.
HEADERS: dict[str, dict[str, Any]] = {
    "jku": {"jku": EVIL},
    "x5u": {"x5u": EVIL},
    "jwk": {"jwk": jwk("ES256", EC2)},
    "x5c": {"x5c": [base64(b"certificate")]},
    "a key id that is a URL": {"kid": EVIL},
}
EXTENDED: dict[str, dict[str, Any]] = {
    "an unknown critical extension": {"crit": ["exp2"], "exp2": 1},
    "critical: an empty list": {"crit": []},
    "critical: no list": {"crit": "exp"},
    "critical: null": {"crit": None},
    "critical: a known name": {"crit": ["alg"]},
    "payload as it is": {"b64": False, "crit": ["b64"]},
    "payload as it is, not critical": {"b64": False},
    "payload encoded, but critical": {"b64": True, "crit": ["b64"]},
    "payload encoded by the number 0": {"b64": 0},
}


def public_texts() -> dict[str, bytes]:
    """Every form in which a published key might be taken for a shared secret."""
    forms = {}
    for name, key in KEYS.items():
        public, published = key.public_key(), jwk(name, key)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        forms |= {
            f"{name} PEM": pem,
            f"{name} PEM without its last line break": pem.strip(),
            f"{name} PEM in one line": b"".join(pem.splitlines()[1:-1]),
            f"{name} DER": der,
            f"{name} JWK": json.dumps(published).encode(),
            f"{name} JWK, compact": json.dumps(published, separators=(",", ":")).encode(),
            f"{name} coordinate": str(published.get("x") or published["n"]).encode(),
            f"{name} key id": name.encode(),
        }
    forms["RSA PKCS1"] = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    return forms


def confused(secret: bytes, algorithm: str = "HS256", kid: str = "ES256") -> str:
    return signed(claims(), header={"alg": algorithm, "typ": "JWT", "kid": kid}, secret=secret)


def mislabelled(algorithm: str, said: str, kid: str) -> str:
    """Signed with one algorithm, said to be of another."""
    key = {"EdDSA": ED, "ES256": EC}.get(algorithm, RSA)
    return sealed(claims(), key=key, algorithm=algorithm, header={"alg": said, "kid": kid})


def named(kid: Any) -> str:
    header = {"alg": "ES256", "typ": "JWT"} if kid is ABSENT else {"alg": "ES256", "kid": kid}
    return sealed(claims(), header=header)


FORGED: Attacks = {
    "another secret": lambda: signed(claims(), secret="x" * 40),
    "an empty secret": lambda: signed(claims(), secret=""),
    "another key": lambda: issued("ES256", EC2),
    "a key of another family": lambda: mislabelled("RS256", "ES256", "ES256"),
    "the key of another id": lambda: issued("ES256", header={"kid": "RS256"}),
    "the key of another id, RSA": lambda: issued("RS256", header={"kid": "ES256"}),
    "a changed payload, by the secret": lambda: flipped(token()),
    "a changed payload, by a key": lambda: flipped(issued()),
    "a signature cut off": lambda: token()[:-4],
    "a signature cut off, by a key": lambda: issued()[:-4],
    "a signature of zeros": lambda: f"{issued().rpartition('.')[0]}.{base64(bytes(64))}",
    "no signature": lambda: f"{token().rpartition('.')[0]}.",
    "no signature, by a key": lambda: f"{issued().rpartition('.')[0]}.",
    "the signature of another token": lambda: (
        f"{token().rpartition('.')[0]}.{token(sub='a').rpartition('.')[2]}"
    ),
    "a signature of padded base64": lambda: f"{token()}=",
    "a signature of padded base64, by a key": lambda: f"{issued()}==",
    "a signature padded too much": lambda: f"{token()}==",
    "a signature with what base64 has not": lambda: f"{issued()}!!!!",
    "a header of padded base64": lambda: signed(claims(), header='{"alg":"HS256"}').replace(".", "=.", 1),
    "HS384 with the right secret": lambda: signed(claims(), header={"alg": "HS384"}, digest="sha384"),
    "HS512 with the right secret": lambda: signed(claims(), header={"alg": "HS512"}, digest="sha512"),
    "RS512 with the right key": lambda: mislabelled("RS512", "RS512", "RS256"),
    "PS256 with the right key": lambda: mislabelled("PS256", "PS256", "RS256"),
    "ES384 with the right key": lambda: mislabelled("ES256", "ES384", "ES256"),
    "ES256 by the secret": lambda: signed(claims(), header={"alg": "ES256", "kid": "ES256"}),
    "RS256 by the secret": lambda: signed(claims(), header={"alg": "RS256", "kid": "RS256"}),
    "EdDSA said of an EC key": lambda: mislabelled("ES256", "EdDSA", "ES256"),
    "ES256 said of an Ed25519 key": lambda: mislabelled("EdDSA", "ES256", "EdDSA"),
    "a secret in the key set, HS256": lambda: confused(OCTETS.encode(), kid="oct"),
    "a secret in the key set, ES256": lambda: confused(OCTETS.encode(), "ES256", kid="oct"),
    "a key meant for encryption": lambda: issued("ES256", EC2, header={"kid": "encryption"}),
    "the secret, in base64": lambda: signed(claims(), secret=base64(SECRET.encode())),
    "the algorithm in lower case": lambda: signed(claims(), header={"alg": "hs256"}),
    "no algorithm": lambda: signed(claims(), header={"typ": "JWT"}),
    "none, with a good signature": lambda: signed(claims(), header={"alg": "none"}),
    "an algorithm twice": lambda: signed(claims(), header='{"alg": "none", "alg": "HS256"}'),
    "a key id twice": lambda: sealed(claims(), header='{"alg": "ES256", "kid": "x", "kid": "ES256"}'),
    **{
        f"algorithm {algorithm!r}, no signature": lambda algorithm=algorithm: unsigned(algorithm)
        for algorithm in (
            "none",
            "None",
            "NONE",
            "nOnE",
            "",
            None,
            "none ",
            " none",
            "none\0",
            "ｎｏｎｅ",
            "HS256",
            "ES256",
            ["HS256"],
            {"a": 1},
            0,
            True,
        )
    },
    **{
        f"the public key as a secret: {name}": lambda text=text: confused(text)
        for name, text in public_texts().items()
    },
    "key id absent": lambda: named(ABSENT),
    **{f"key id {kid!r:.30}": lambda kid=kid: named(kid) for kid in KEY_IDS},
    **{
        f"{name} of another's": lambda more=more: issued("ES256", EC2, header=more)
        for name, more in HEADERS.items()
    },
    **{
        f"{name}, {by}": lambda make=make, more=more: make(more)
        for name, more in EXTENDED.items()
        for by, make in {
            "by the secret": lambda more: signed(claims(), header={"alg": "HS256", **more}),
            "by a key": lambda more: issued(header=more),
        }.items()
    },
    "a payload that is not in the token": lambda: signed(
        "", header={"alg": "HS256", "b64": False, "crit": ["b64"]}
    ),
}
STRANGERS: Attacks = {
    "the anon key": lambda: signed({"iss": "supabase", "ref": "abc", "role": "anon", "iat": 1, "exp": LATER}),
    "the service_role key": lambda: signed(
        {"iss": "supabase", "ref": "abc", "role": "service_role", "iat": 1, "exp": LATER}
    ),
    "a publishable key": lambda: "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH",
    "a secret key": lambda: "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz",
    "a service token of our own issuer": lambda: development_token("", service=True),
    "a download URL's token": lambda: tokens.mint("download", "documents", "a.pdf", 300),
    "an upload URL's token": lambda: tokens.mint("upload", "uploads", "a.pdf", 300),
    "the secret itself": lambda: SECRET,
}
NO_TOKENS: Attacks = {
    "one part": lambda: "abc",
    "two parts": lambda: token().rpartition(".")[0],
    "four parts": lambda: f"{token()}.e30",
    "five parts": lambda: "eyJhbGciOiJkaXIifQ..a.b.c",
    "empty": lambda: "",
    "only dots": lambda: "..",
    "two tokens": lambda: f"{token()} {token()}",
    "two tokens with a comma": lambda: f"{token()},{token()}",
    "in quotes": lambda: f'"{token()}"',
    "garbage": lambda: "%00%ff';--",
    "not ASCII": lambda: "tökén.ümläut.çédille",
    "a NUL in it": lambda: token().replace(".", "\0", 1),
    "a NUL at its end": lambda: f"{token()}\0",
    "a line break in it": lambda: token().replace(".", "\n.", 1),
    "header no JSON": lambda: signed(claims(), header="{"),
    "header a list": lambda: signed(claims(), header='["HS256"]'),
    "header a text": lambda: signed(claims(), header='"HS256"'),
    "header null": lambda: signed(claims(), header="null"),
    "header a number": lambda: signed(claims(), header="1"),
    "header invalid UTF-8": lambda: signed(claims(), header=b'{"alg": "HS256", "kid": "\xff"}'),
    "header deeply nested": lambda: signed(claims(), header='{"a":' + "[" * 5000),
    "header deeply nested and whole": lambda: signed(
        claims(), header='{"a":' + "[" * 2000 + "]" * 2000 + "}"
    ),
    "header of standard base64": lambda: token().replace(encoded({"alg": "HS256", "typ": "JWT"}), "+/+/"),
    "long garbage": lambda: "a" * 16_000,
    "dots without end": lambda: "." * 8000,
}
ATTACKS = WRONG_CLAIMS | WRONG_PAYLOADS | FORGED | STRANGERS | NO_TOKENS
