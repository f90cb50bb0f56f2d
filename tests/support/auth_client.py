"""A client of the local Auth server: it sends what supabase-js sends, and nothing else."""

from typing import Any

import jwt
from django.http import HttpResponse
from django.test import Client

PASSWORD = "correct horse"
VERSION = "2024-01-01"


class Answer:
    """A response: `error` is its code, which must be said in each place where clients look for it."""

    def __init__(self, response: HttpResponse) -> None:
        self.response, self.status, self.headers = response, response.status_code, response.headers
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "X-Supabase-Api-Version" in response.headers["Access-Control-Expose-Headers"]

    @property
    def json(self) -> dict[str, Any]:
        assert self.headers["Content-Type"] == "application/json", self.response.content
        return self.response.json()

    @property
    def error(self) -> tuple[int, str]:
        assert {"code", "message"} <= self.json.keys(), self.json
        assert self.headers["X-Supabase-Api-Version"] == VERSION
        assert self.headers["x-sb-error-code"] == self.json["code"]
        return self.status, self.json["code"]


class AuthClient:
    """Somebody at the server, with the session that was answered last, or none."""

    def __init__(self, session: dict[str, Any] | None = None, **headers: str) -> None:
        self.session = session
        self.http = Client(
            headers={"apikey": "any-key", "X-Supabase-Api-Version": VERSION, **headers},
            raise_request_exception=False,
        )

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        bearer = self.session["access_token"] if self.session else "any-key"
        headers = {"Authorization": f"Bearer {bearer}", **headers}
        more = {} if body is None else {"data": body, "content_type": "application/json"}
        return Answer(getattr(self.http, method.lower())(f"/auth/v1/{path}", headers=headers, **more))

    def sign_up(self, email: str = "", password: str = PASSWORD, **data: Any) -> Answer:
        given = {"email": email, "password": password} if email else {}
        return self._keep(self.send("POST", "signup", {**given, "data": data}))

    def sign_in(self, email: str, password: str = PASSWORD) -> Answer:
        body = {"email": email, "password": password, "gotrue_meta_security": {}}
        return self._keep(self.send("POST", "token?grant_type=password", body))

    def refresh(self, refresh_token: str = "") -> Answer:
        body = {"refresh_token": refresh_token or self.refresh_token}
        return self._keep(self.send("POST", "token?grant_type=refresh_token", body))

    def user(self) -> Answer:
        return self.send("GET", "user")

    def update(self, **changes: Any) -> Answer:
        return self.send("PUT", "user", changes)

    def sign_out(self, scope: str = "") -> Answer:
        return self.send("POST", f"logout?scope={scope}" if scope else "logout")

    @property
    def refresh_token(self) -> str:
        assert self.session is not None
        return str(self.session["refresh_token"])

    @property
    def claims(self) -> dict[str, Any]:
        assert self.session is not None
        return jwt.decode(self.session["access_token"], options={"verify_signature": False})

    def api(self) -> Client:
        """A client of the API with the same access token."""
        assert self.session is not None
        return Client(headers={"authorization": f"Bearer {self.session['access_token']}"})

    def _keep(self, answer: Answer) -> Answer:
        if answer.status == 200:
            self.session = answer.json
        return answer
