"""Search without regard to case, accents, apostrophes and Unicode normal form.

Each searched model has a generated column `search_text` with its folded texts. The database computes it, so
every write keeps it current, also one without Django. The SQL function VIVARIUM_FOLD is `fold` itself on
SQLite, and the same in SQL on PostgreSQL. Whoever changes `fold` also writes a migration that creates the
function and the columns again.
"""

import re
import unicodedata
from itertools import chain
from typing import Any

from django.apps import apps
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import F, Field, Func, GeneratedField, Model, TextField, Value
from django.db.models.functions import Concat
from django.db.models.lookups import Contains

from api.text import IGNORABLE

#: What `fold` drops, as a character class for the regular expressions of Python and of PostgreSQL. The marks
#: of other scripts stay, because they make other letters, for example the vowels of Devanagari.
DROPPED = (
    "["
    r"\u0027\u0060\u02b9-\u02bf\u2018-\u201b\u2032\ua78c"  # apostrophes
    r"\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"  # accents
    r"\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew points
    r"\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u08ca-\u08ff"  # harakat
    rf"{IGNORABLE}]"
)
#: Characters without a decomposition, in lower case.
REPLACED = {
    **{"ı": "i", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "ŧ": "t", "ŋ": "n", "ς": "σ", "×": "x"},
    **{"ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"},
    **dict.fromkeys("\u2010\u2012\u2013\u2014\u2015\u2212\u05be", "-"),
}

TABLES_WITHOUT_INDEX = """
    SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relname = ANY(%s) AND pg_table_is_visible(pg_class.oid) AND attname = 'search_text'
    AND to_regclass(relname || '_search') IS NULL
"""
#: Supabase has a schema for extensions. Without one, this is the first schema of the search path.
CREATE_TRIGRAMS = """
    DO $$ BEGIN
        IF to_regnamespace('extensions') IS NULL THEN CREATE EXTENSION IF NOT EXISTS pg_trgm;
        ELSE CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA extensions;
        END IF;
    END $$
"""
TRIGRAM_SCHEMA = "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'pg_trgm'"

_dropped = re.compile(DROPPED)
_replaced = str.maketrans(REPLACED)


def fold(text: str) -> str:
    """Return the text without what search disregards: `Ñandú común` becomes `nandu comun`."""
    decomposed = unicodedata.normalize("NFKD", text.replace("\u00b4", ""))  # an accent used as an apostrophe
    return _dropped.sub("", decomposed).lower().translate(_replaced)


def create_function(connection: BaseDatabaseWrapper) -> None:
    """Create VIVARIUM_FOLD on PostgreSQL if it does not exist.

    A migration does so too, but Django may run those of other apps with a `search_column` before.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regproc('vivarium_fold')")
        if cursor.fetchone()[0] is None:
            cursor.execute(fold_in_sql())


def fold_in_sql() -> str:
    """Return the statement that creates VIVARIUM_FOLD on PostgreSQL.

    The collation is named because `lower` would otherwise depend on that of the database.
    """
    letters = {key: value for key, value in REPLACED.items() if len(value) == 1}
    sql = f"lower(regexp_replace(normalize(replace($1, '\u00b4', ''), NFKD), '{DROPPED}', '', 'g')"
    sql = f"translate({sql} COLLATE \"und-x-icu\"), '{''.join(letters)}', '{''.join(letters.values())}')"
    for key, value in REPLACED.items():
        if key not in letters:
            sql = f"replace({sql}, '{key}', '{value}')"
    return (
        "CREATE OR REPLACE FUNCTION vivarium_fold(text) RETURNS text"
        f" LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = '' AS $$SELECT {sql}$$"
    )


def add_fold(connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Add VIVARIUM_FOLD to a new connection to SQLite. PostgreSQL has it from a migration."""
    if connection.vendor == "sqlite":
        connection.connection.create_function(Fold.function, 1, _fold_or_null, deterministic=True)


def _fold_or_null(value: Any) -> str | None:
    return None if value is None else fold(str(value))


class FoldedTextField(TextField):
    """Folded text, which `icontains` searches for other text after folding that too."""


class FoldedContains(Contains):
    def get_prep_lookup(self) -> str:
        return fold(str(self.rhs))

    def as_sqlite(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, list[Any]]:
        """Return SQL without LIKE, for which SQLite limits the length of the pattern."""
        lhs, params = self.process_lhs(compiler, connection)
        return f"INSTR({lhs}, %s) > 0", [*params, self.rhs]


# The default lookup of search fields, with the SQL of `contains`, because both sides are folded.
FoldedTextField.register_lookup(FoldedContains, "icontains")


class Fold(Func):
    function = "VIVARIUM_FOLD"
    arity = 1
    output_field = FoldedTextField()


def folded(*expressions: Any) -> Fold:
    """Return the folded texts of these fields or expressions, one a line: no phrase spans two of them."""
    values = (F(each) if isinstance(each, str) else each for each in expressions)
    lines = chain.from_iterable((Value("\n"), value) for value in values)
    return Fold(Concat(*lines, output_field=TextField()))


def search_column(*fields: str) -> GeneratedField:
    """Return the generated column for the searches of a model."""
    return GeneratedField(expression=folded(*fields), output_field=FoldedTextField(), db_persist=True)


def searched_fields(model: type[Model]) -> list[str]:
    """Return the columns that searches of this model look at: `search_text`, if it is a `search_column`."""
    return [field.name for field in model._meta.local_fields if _is_searched(field)]


def _is_searched(field: Field) -> bool:
    return isinstance(field, GeneratedField) and isinstance(field.output_field, FoldedTextField)


def create_indexes(connection: BaseDatabaseWrapper) -> None:
    """Create the trigram indexes that are missing on PostgreSQL, and the extension `pg_trgm` for them.

    Raises DatabaseError if the extension cannot be created or used. Searches then read every row.
    """
    with transaction.atomic(connection.alias), connection.cursor() as cursor:
        cursor.execute(TABLES_WITHOUT_INDEX, [_searched_tables()])
        tables = [table for (table,) in cursor.fetchall()]
        if tables:
            cursor.execute(CREATE_TRIGRAMS)
            cursor.execute(TRIGRAM_SCHEMA)
            schema = cursor.fetchone()[0]
        for table in tables:  # without a list of pending entries, which searches would have to read
            gin = f"gin (search_text {schema}.gin_trgm_ops) WITH (fastupdate = off)"
            cursor.execute(f"CREATE INDEX {table}_search ON {table} USING {gin}")


def _searched_tables() -> list[str]:
    return [model._meta.db_table for model in apps.get_models() if searched_fields(model)]
