"""Django's `migrate`, which first creates the PostgreSQL schema DATABASE_SCHEMA if it does not exist."""

from typing import Any

from django.conf import settings
from django.core.management.commands import migrate
from django.db import connections

#: Asked first, because CREATE SCHEMA IF NOT EXISTS needs the right to create schemas in any case.
SCHEMA_EXISTS = "SELECT 1 FROM pg_namespace WHERE nspname = %s"


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if settings.DATABASE_SCHEMA and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(SCHEMA_EXISTS, [settings.DATABASE_SCHEMA])
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE SCHEMA {connection.ops.quote_name(settings.DATABASE_SCHEMA)}")
        super().handle(*args, **options)
