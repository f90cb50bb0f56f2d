"""Who calls the store: `service` holds its key, `member` and `anon` a token of little use, `nobody` none."""

from typing import Any

import jwt
from django.conf import settings
from django.test import Client

PDF = b"%PDF-1.4 lab document\n"


def token(**claims: Any) -> str:
    """An access token of the project, good for ever."""
    return jwt.encode({"exp": 2**40, **claims}, settings.SUPABASE_JWT_SECRET, "HS256")


class Holder:
    """A client of the Storage protocol that sends this token."""

    def __init__(self, token: str | None) -> None:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        self.client = Client(headers=headers, raise_request_exception=False)

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """`body`: of the client, or what is sent as JSON. `body` of the answer: what it said to its end."""
        kind = options.pop("content_type", "application/json" if body is not None else "")
        sent = body if isinstance(body, str | bytes) else self.client._encode_json(body or {}, kind)
        headers = {name.replace("_", "-"): value for name, value in options.items()}
        answer: Any = self.client.generic(
            method, f"/storage/v1/{path}", sent, kind, headers=headers, CONTENT_TYPE=kind
        )
        answer.body = answer.getvalue()
        return answer

    def upload(self, path: str, content: bytes = PDF, **options: Any) -> Any:
        return self.ask("POST", f"object/{path}", content, **{"content_type": "application/pdf", **options})

    def bucket(self, name: str = "things", **fields: Any) -> str:
        """A new bucket."""
        answer = self.ask("POST", "bucket", {"name": name, **fields})
        assert answer.status_code == 200, answer.body
        return name

    def put(self, *paths: str, content: bytes = PDF, **options: Any) -> None:
        """Objects, each with its bucket."""
        for path in paths:
            answer = self.upload(path, content, **options)
            assert answer.status_code == 200, answer.body


service = Holder(token(role="service_role"))
anon = Holder(token(role="anon"))
member = Holder(token(role="authenticated", sub="aaaaaaaa-0000-4000-8000-00000000000a"))
expired = Holder(token(role="service_role", exp=1))
nobody = Holder(None)


def refusal(answer: Any) -> tuple[str, str]:
    """`statusCode` and `code` of a refusal, which must be whole."""
    assert answer.headers["Content-Type"] == "application/json", answer.body
    body = answer.json()
    assert body.keys() == {"statusCode", "error", "message", "code"}
    assert answer.status_code in (400, int(body["statusCode"]))
    return body["statusCode"], body["code"]
