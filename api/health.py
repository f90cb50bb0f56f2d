"""Liveness and readiness probes for load balancers and orchestrators."""

from typing import Any

from django.db import DatabaseError, connection
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.views.decorators.cache import cache_control
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


@method_decorator(cache_control(no_store=True), name="dispatch")
@extend_schema(tags=["health"], responses=STATUS, examples=[OpenApiExample("ok", {"status": "ok"})])
class HealthView(APIView):
    authentication_classes: Any = ()
    permission_classes: Any = (AllowAny,)


class LivenessView(HealthView):
    @extend_schema(summary="Check that the process is running")
    def get(self, request: Request) -> Response:
        """The process answers requests. Does not use the database or the file storage."""
        return Response({"status": "ok"})


class ReadinessView(HealthView):
    @extend_schema(summary="Check that the server can work")
    def get(self, request: Request) -> Response:
        """The database and the file storage answer. Nothing is written."""
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError as error:
            raise Refused("not_ready", gettext("The database does not answer."), retry_after=5) from error
        try:
            incoming_store().check_ready()
        except StorageUnavailable as error:
            raise Refused("storage_unavailable", retry_after=5) from error
        return Response({"status": "ok"})
