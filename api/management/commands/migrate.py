"""Django's `migrate`, with what PostgreSQL needs besides. With --wait it waits for the database to start.

The schema DATABASE_SCHEMA and the function for search are created first if they do not exist, and the
indexes for search last. No migration has those, because they need an extension that the database user may not
be allowed to create.
"""

import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.core.management.commands import migrate
from django.db import DatabaseError, OperationalError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from api.search import create_function, create_indexes

#: Asked first, because CREATE SCHEMA IF NOT EXISTS needs the right to create schemas in any case.
SCHEMA_EXISTS = "SELECT 1 FROM pg_namespace WHERE nspname = %s"
WITHOUT_INDEXES = (
    "Searches read every row, because their indexes could not be created. "
    "Have a superuser run CREATE EXTENSION pg_trgm in this database, then run migrate again. PostgreSQL said:"
)


class Command(migrate.Command):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        help_text = "how long to wait for the database to start (0)"
        parser.add_argument("--wait", type=int, default=0, metavar="SECONDS", help=help_text)

    def handle(self, *args: Any, **options: Any) -> None:
        connection = connections[options["database"]]
        self._wait(connection, options["wait"])
        if settings.DATABASE_SCHEMA and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(SCHEMA_EXISTS, [settings.DATABASE_SCHEMA])
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE SCHEMA {connection.ops.quote_name(settings.DATABASE_SCHEMA)}")
        changes_database = connection.vendor == "postgresql" and not (
            options["plan"] or options["check_unapplied"]
        )
        if changes_database:
            create_function(connection)
        super().handle(*args, **options)
        if changes_database:
            try:
                create_indexes(connection)
            except DatabaseError as error:
                self.stderr.write(self.style.WARNING(f"{WITHOUT_INDEXES}\n{error}".rstrip()))

    def _wait(self, connection: BaseDatabaseWrapper, seconds: int) -> None:
        """Raise OperationalError if there is no connection after so many seconds."""
        until = time.monotonic() + seconds
        while True:
            try:
                return connection.ensure_connection()
            except OperationalError:
                if time.monotonic() >= until:
                    raise
                self.stderr.write("The database does not answer: trying again.")
                time.sleep(1)
