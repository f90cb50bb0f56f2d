"""A private and a public page that say who asks, and touch neither database nor store."""

from typing import Any

from django.test import Client
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from tests.support.access_tokens import issued
from tests.support.cast import code

CLIENT = Client(raise_request_exception=False)  # one for all: a new one loads the middleware anew


class WhoAmI(APIView):
    def get(self, request: Request) -> Response:
        return Response({"id": request.user.pk, "is_staff": request.user.is_staff})


class Public(APIView):
    permission_classes = (AllowAny,)

    def get(self, request: Request) -> Response:
        return Response({"id": request.user.pk})


urlpatterns = [path("whoami", WhoAmI.as_view()), path("public", Public.as_view())]


def ask(authorization: str | None = None, where: str = "/whoami") -> Any:
    headers = {} if authorization is None else {"authorization": authorization}
    return CLIENT.get(where, headers=headers)


def opens(algorithm: str = "ES256", **options: Any) -> bool:
    """Whether a token of a published key is accepted; a refusal must be the token's own fault."""
    answer = ask(f"Bearer {issued(algorithm, **options)}")
    assert answer.status_code == 200 or code(answer) == "token_invalid"
    return answer.status_code == 200


def keys_are_unavailable() -> bool:
    answer = ask(f"Bearer {issued()}")
    return answer.status_code == 503 and code(answer) == "keys_unavailable"
