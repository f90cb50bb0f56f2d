"""AddIndexConcurrently, an operation for migrations that does not stop the writes of a running site."""

from typing import Any

from django.contrib.postgres import operations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations import AddIndex
from django.db.migrations.state import ProjectState


class AddIndexConcurrently(operations.AddIndexConcurrently):
    """As Django's on PostgreSQL, and as AddIndex on SQLite. The migration has `atomic = False`.

    An index that was left invalid by an interrupted migration is dropped first, so that it can be run again.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        arguments: Any = (app_label, schema_editor, from_state, to_state)
        if schema_editor.connection.vendor != "postgresql":
            return AddIndex.database_forwards(self, *arguments)
        name = schema_editor.quote_name(self.index.name)
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        super().database_forwards(*arguments)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        arguments: Any = (app_label, schema_editor, from_state, to_state)
        if schema_editor.connection.vendor != "postgresql":
            return AddIndex.database_backwards(self, *arguments)
        super().database_backwards(*arguments)
