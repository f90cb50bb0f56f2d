"""docs/upgrading.md: the version that still runs works on the tables of the next one."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from django.apps.registry import Apps
from django.core.management import call_command
from django.db import connection, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.utils import DatabaseError
from django.test import override_settings
from django_migration_linter import MigrationLinter

from tests.support.released import exceptions, released_migrations

APPS = ["api", "storage"]

on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql",
    reason="the statements of PostgreSQL are looked at: make test-postgresql",
)


def lint(app: str, name: str, accepted: list[str], capsys: pytest.CaptureFixture) -> str:
    """Return what django-migration-linter has against a migration, empty if nothing."""
    linter = MigrationLinter(
        no_cache=True, all_warnings_as_errors=True, quiet=["ok", "ignore"], exclude_migration_tests=accepted
    )
    capsys.readouterr()
    linter.lint_migration(linter.migration_loader.get_migration(app, name))
    said = capsys.readouterr().out
    return said if linter.has_errors else ""


@on_postgresql
def test_migrations_since_the_last_release_are_safe(
    transactional_db: None, capsys: pytest.CaptureFixture
):  # in no transaction, because there no index can be created concurrently
    accepted = exceptions()["migrations"]
    present = set(MigrationLoader(connection).disk_migrations)
    new = sorted(key for key in present - released_migrations() if key[0] in APPS)

    said = [lint(app, name, codes(accepted, name), capsys) for app, name in new]

    assert released_migrations() <= present, "a migration that was released is neither renamed nor removed"
    assert not "".join(said), "".join(said) + "See docs/upgrading.md."
    assert {name.split()[0] for name in accepted} <= {name for _, name in new}
    assert all(accepted.values()), "each exception has its reason"


def codes(accepted: dict[str, str], name: str) -> list[str]:
    """Return the codes of the linter that exceptions.toml accepts for this migration."""
    return [code for migration, code in map(str.split, accepted) if migration == name]


@on_postgresql
@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("0003_without_default", "NOT NULL constraint on columns"),
        ("0004_set_not_null", "NOT NULL constraint on columns"),
        ("0005_rename_column", "RENAMING columns (table: unsafe_zoo, column: name)"),
        ("0006_remove_column", "DROPPING columns (table: unsafe_zoo, column: motto)"),
        ("0007_change_type", "ALTERING columns"),
        ("0008_add_unique", "ADDING unique constraint"),
        ("0009_add_index", "CREATE INDEX locks table"),
        ("0010_rename_table", "RENAMING tables"),
        ("0011_remove_table", "DROPPING table"),
        ("0012_irreversible", "RunPython data migration is not reversible"),
    ],
)
def test_an_unsafe_migration_is_named(name: str, what: str, db: None, capsys: pytest.CaptureFixture):
    with override_settings(INSTALLED_APPS=["tests.unsafe"]):
        said = lint("unsafe", name, [], capsys)

    assert f"(unsafe, {name})... ERR" in said
    assert what in said


@on_postgresql
@pytest.mark.parametrize("name", ["0001_initial", "0002_safe"])
def test_a_safe_migration_is_accepted(name: str, db: None, capsys: pytest.CaptureFixture):
    with override_settings(INSTALLED_APPS=["tests.unsafe"]):
        assert lint("unsafe", name, [], capsys) == ""


@on_postgresql
def test_an_exception_is_for_one_code_of_one_migration(db: None, capsys: pytest.CaptureFixture):
    accepted = {"0009_add_index CREATE_INDEX": "a small table", "0003_without_default NOT_NULL": "…"}

    with override_settings(INSTALLED_APPS=["tests.unsafe"]):
        assert lint("unsafe", "0009_add_index", codes(accepted, "0009_add_index"), capsys) == ""
        assert lint("unsafe", "0004_set_not_null", codes(accepted, "0004_set_not_null"), capsys) != ""


# --- The code of the last release on the tables of this version ------------------------------------------


@pytest.fixture
def released_apps() -> Apps:
    """The models as they were at the last release."""
    loader = MigrationLoader(connection)
    theirs = [key for key in loader.disk_migrations if key[0] not in APPS]
    state: Any = loader.project_state([*theirs, *released_migrations()])
    return state.apps


def work_with_every_model(apps: Apps) -> list[str]:
    """Insert, read, change and delete a row of each model. Return the models that were used."""
    rows: dict[type[models.Model], models.Model] = {}
    chosen = [
        model for app in APPS if app in apps.app_configs for model in apps.get_app_config(app).get_models()
    ]
    for model in chosen:
        new_row(model, rows)
    for model, row in rows.items():
        assert model._default_manager.values().get(pk=row.pk)
        row.save(force_update=True)
    for row in reversed(list(rows.values())):
        row.delete()
    return [model._meta.label for model in chosen]


def new_row(model: Any, rows: dict[Any, models.Model]) -> models.Model:
    """Return a row with a value in each field that must have one, and the rows that it refers to."""
    if model not in rows:
        row = model(**dict(values(model, rows)))
        row.save(force_insert=True)
        rows[model] = row
    return rows[model]


def values(model: Any, rows: dict[Any, models.Model]) -> Iterator[tuple[str, Any]]:
    for field in model._meta.concrete_fields:
        if isinstance(field, models.ForeignKey | models.OneToOneField) and not field.null:
            yield field.name, new_row(field.related_model, rows)
        elif not (field.null or field.has_default() or field.auto_created or field.empty_strings_allowed):
            yield field.name, SAMPLES[field.get_internal_type()]
        elif field.unique and not field.primary_key:
            yield field.name, "sample"


SAMPLES: dict[str, Any] = {
    "BooleanField": False,
    "DateField": date(2026, 1, 1),
    "DateTimeField": datetime(2026, 1, 1, tzinfo=UTC),
    "DecimalField": 1,
    "IntegerField": 1,
    "JSONField": {},
    "PositiveIntegerField": 1,
    "PositiveSmallIntegerField": 1,
    "UUIDField": UUID(int=1),
}


def test_the_code_of_the_last_release_works_on_the_present_tables(db: None, released_apps: Apps):
    used = work_with_every_model(released_apps)

    assert {"api.Document", "api.Upload", "api.Profile", "api.SpeciesPicture"} <= set(used)


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE api_document RENAME COLUMN category TO kind",
        "ALTER TABLE api_upload DROP COLUMN field_name",
        "CREATE UNIQUE INDEX once ON api_document (category)",
        pytest.param("ALTER TABLE api_profile ADD COLUMN zoo integer NOT NULL", marks=on_postgresql),
    ],
)
def test_a_change_that_breaks_the_last_release_is_noticed(statement: str, db: None, released_apps: Apps):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement)
        if "UNIQUE" in statement:
            new_row(released_apps.get_model("api", "Document"), {})
        with pytest.raises(DatabaseError), transaction.atomic():
            work_with_every_model(released_apps)
        transaction.set_rollback(True)


def test_every_change_of_a_model_has_its_migration(db: None):
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)
