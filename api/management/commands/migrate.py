"""Django's `migrate`; the schema that DATABASE_SCHEMA names is made first, if it is not there."""

from typing import Any

from django.conf import settings
from django.core.management.commands import migrate
from django.db import connections

FIND = "SELECT 1 FROM pg_namespace WHERE nspname = %s"  # asked first: who may not create one may have it


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        if settings.DATABASE_SCHEMA and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(FIND, [settings.DATABASE_SCHEMA])
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE SCHEMA {connection.ops.quote_name(settings.DATABASE_SCHEMA)}")
        super().handle(*args, **options)
