"""Whether the process lives, and whether it can work. For load balancers and orchestrators."""

from typing import Any

from django.db import DatabaseError, connection
from django.utils.translation import gettext
from drf_spectacular.utils import OpenApiExample, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from api.exceptions import Refused
from storage.base import incoming_store
from storage.errors import StorageUnavailable

STATUS = inline_serializer("Status", {"status": serializers.CharField()})
NO_STORE = {"Cache-Control": "no-store"}


@extend_schema(tags=["health"], responses=STATUS, examples=[OpenApiExample("ok", {"status": "ok"})])
class Probe(APIView):
    authentication_classes: Any = ()
    permission_classes: Any = (AllowAny,)


class Live(Probe):
    @extend_schema(summary="Ask whether the process lives")
    def get(self, request: Request) -> Response:
        """The process answers. Asks nothing of anybody."""
        return Response({"status": "ok"}, headers=NO_STORE)


class Ready(Probe):
    @extend_schema(summary="Ask whether it can work")
    def get(self, request: Request) -> Response:
        """Database and store answer. Writes nothing."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError as error:
            raise Refused("not_ready", gettext("The database does not answer."), retry_after=5) from error
        try:
            incoming_store().check_ready()
        except StorageUnavailable as error:
            raise Refused("storage_unavailable", retry_after=5) from error
        return Response({"status": "ok"}, headers=NO_STORE)
