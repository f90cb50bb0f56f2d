"""Liveness and readiness probes for load balancers and orchestrators."""

from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
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
    @extend_schema(operation_id="checkLiveness", summary="Check that the process is running")
    def get(self, request: Request) -> Response:
        """The process answers requests. Does not use the database or the file storage."""
        return Response({"status": "ok"})


class ReadinessView(HealthView):
    problems = {"get": ["not_ready", "storage_unavailable"]}

    @extend_schema(operation_id="checkReadiness", summary="Check that the server can work")
    def get(self, request: Request) -> Response:
        """The database answers and is migrated, and the file storage answers. Nothing is written.

        A 503 says in `part` what is not ready: `database`, `migrations` or `storage`.
        """
        try:
            is_migrated = not pending_migrations()
        except AnyDatabaseError as error:
            detail = gettext("The database does not answer.")
            raise Refused("not_ready", detail, retry_after=5, part="database") from error
        if not is_migrated:
            detail = gettext("The database is not migrated: run `manage.py migrate`.")
            raise Refused("not_ready", detail, retry_after=5, part="migrations")
        try:
            incoming_store().check_ready()
        except StorageUnavailable as error:
            raise Refused("storage_unavailable", retry_after=5, part="storage") from error
        return Response({"status": "ok"})


def pending_migrations() -> list[Any]:
    """Return the migrations that the database lacks, as `migrate --check` does. Raises `django.db.Error`."""
    executor = MigrationExecutor(connection)
    return executor.migration_plan(executor.loader.graph.leaf_nodes())
