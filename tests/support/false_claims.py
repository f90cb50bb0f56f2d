"""What a token may say that no token may say. Each is signed genuinely, by either family of keys."""

import json
from collections.abc import Callable
from typing import Any

from tests.support.access_tokens import (
    ABSENT,
    HOUR,
    ISSUER,
    LATER,
    SUB,
    claims,
    issued,
    sealed,
    signed,
    text_of,
    token,
)

Attacks = dict[str, Callable[[], str]]

CLAIMS: dict[str, dict[str, Any]] = {
    # --- The times
    "no expiry": {"exp": ABSENT},
    "expiry null": {"exp": None},
    "expiry in words": {"exp": "tomorrow"},
    "expiry a number in quotes": {"exp": str(LATER)},
    "expiry a list": {"exp": [LATER]},
    "issued in the future": {"iat": LATER, "exp": LATER + HOUR},
    "issued at no time": {"iat": ABSENT},
    "issued at words": {"iat": "now"},
    "issued at true": {"iat": True},
    "issued at a number in quotes": {"iat": "1"},
    "not before later": {"nbf": LATER},
    "not before words": {"nbf": "later"},
    "not before null": {"nbf": None},
    # --- The issuer and the audience
    "issuer with a slash": {"iss": f"{ISSUER}/"},
    "issuer of another project": {"iss": "https://evil.supabase.co/auth/v1"},
    "issuer absent": {"iss": ABSENT},
    "issuer null": {"iss": None},
    "issuer a list": {"iss": [ISSUER]},
    "issuer the beginning of ours": {"iss": ISSUER[:-1]},
    "issuer in capitals": {"iss": ISSUER.upper()},
    "audience another": {"aud": "anon"},
    "audience a client's": {"aud": "0d8c8a7e-client"},
    "audience absent": {"aud": ABSENT},
    "audience null": {"aud": None},
    "audience an empty list": {"aud": []},
    "audience a list of others": {"aud": ["anon", "authenticated2"]},
    "audience a list with a number": {"aud": ["authenticated", 1]},
    "audience an object": {"aud": {"authenticated": True}},
    # --- The subject and the role
    "subject absent": {"sub": ABSENT},
    "subject null": {"sub": None},
    "subject empty": {"sub": ""},
    "subject no UUID": {"sub": "alice"},
    "subject a number": {"sub": 1},
    "subject a list": {"sub": [SUB]},
    "subject in braces": {"sub": f"{{{SUB}}}"},
    "subject a URN": {"sub": f"urn:uuid:{SUB}"},
    "subject without dashes": {"sub": SUB.replace("-", "")},
    "subject with a line break": {"sub": f"{SUB}\n"},
    "subject with a NUL": {"sub": f"{SUB}\0"},
    "subject with a NUL instead of a dash": {"sub": SUB.replace("-", "\0")},
    "role absent": {"role": ABSENT},
    "role null": {"role": None},
    "role a list": {"role": ["authenticated"]},
    "role anon": {"role": "anon"},
    "role service_role": {"role": "service_role"},
    "role in capitals": {"role": "Authenticated"},
    # --- What else is signed with the same key
    "an ID token": {"aud": "0d8c8a7e-client", "role": ABSENT, "nonce": "x"},
    "an anonymous API key with a subject": {"aud": ABSENT, "role": "anon"},
}
#: Payloads as no library would write them.
PAYLOADS: dict[str, str | bytes] = {
    "expiry 1e999": text_of(exp="1e999"),
    "expiry Infinity": text_of(exp="Infinity"),
    "expiry NaN": text_of(exp="NaN"),
    "expiry of 5,000 digits": text_of(exp="9" * 5000),
    "issued at 1e999": text_of(iat="1e999"),
    "no JSON": "{",
    "nothing": "",
    "a list": "[]",
    "a text": '"alice"',
    "null": "null",
    "deeply nested": '{"a":' + "[" * 5000,
    "deeply nested and whole": '{"a":' + "[" * 2000 + "]" * 2000 + "}",
    "invalid UTF-8": json.dumps(claims(email="@")).encode().replace(b"@", b"\xff\xfe"),
    "in UTF-16": json.dumps(claims()).encode("utf-16"),
    "a subject twice": text_of(sub=f'"{SUB}", "sub": "{SUB}"'),
    "a role twice": text_of(role='"anon", "role": "authenticated"'),
    "an issuer twice": text_of(iss=f'"https://evil.example.org", "iss": "{ISSUER}"'),
    "a role of staff behind another": text_of(app_metadata='{"role": "member", "role": "staff"}'),
}

WRONG_CLAIMS: Attacks = {
    f"{name}, {by}": lambda make=make, changes=changes: make(**changes)
    for name, changes in CLAIMS.items()
    for by, make in {"by the secret": token, "by a key": issued}.items()
}
WRONG_PAYLOADS: Attacks = {
    f"payload: {name}, {by}": lambda make=make, payload=payload: make(payload)
    for name, payload in PAYLOADS.items()
    for by, make in {"by the secret": signed, "by a key": sealed}.items()
}
