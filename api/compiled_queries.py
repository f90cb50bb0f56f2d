"""Queries that are compiled once, for views that send the same SQL with most requests.

Django compiles a query each time it runs. For one row that takes three times as long as to send the SQL and
to read the row.
"""

from collections.abc import Callable
from copy import copy
from types import SimpleNamespace
from typing import Any, ClassVar, Generic, TypeVar, cast

from django.core.exceptions import EmptyResultSet, ValidationError
from django.db import connections, models, router
from django.db.models import Expression, Field, QuerySet, UUIDField
from django.http import Http404, QueryDict
from rest_framework.request import Request
from rest_framework.response import Response

Row = TypeVar("Row", bound=models.Model)
Rows = QuerySet[Any]


class Parameter(Expression):
    """A value in a query that is given when the query runs."""

    def __init__(self, name: str, output_field: Field) -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        return "%s", [self]


class CompiledQuery(Generic[Row]):
    """The SQL of a queryset that has Parameters. It can be used by several threads."""

    def __init__(self, queryset: QuerySet[Row]) -> None:
        self._queryset: Any = queryset
        self._using = queryset.db
        self._compiler: Any = queryset.query.get_compiler(self._using)
        self.sql: str = ""
        self.parameters: Any = ()
        try:
            self.sql, self.parameters = self._compiler.as_sql()
        except EmptyResultSet:  # such as that of `none()`: there is no SQL
            return
        self._converters = self._compiler.get_converters([selected for selected, *_ in self._compiler.select])
        self._compiler.connection = None  # each call has that of its own thread

    def rows(self, values: dict[str, Any], limit: int | None = None) -> list[Row]:
        """Return the rows, at most `limit`, for these values of the Parameters.

        Raises ValidationError for a malformed value.
        """
        if not self.sql:
            return []
        query: Any = SimpleNamespace(get_compiler=lambda using: self._compiler_with(values, limit))
        queryset: Any = QuerySet(self._queryset.model, query, self._using)
        queryset._prefetch_related_lookups = self._queryset._prefetch_related_lookups
        return list(queryset)

    def count(self, values: dict[str, Any]) -> int:
        """Return the number of rows for these values. Raises as `rows` does."""
        if not self.sql:
            return 0
        connection = connections[self._using]
        with connection.cursor() as cursor:
            sql = f"SELECT COUNT(*) FROM ({self.sql}) counted"  # noqa: S608  (made by Django)
            cursor.execute(sql, self.parameters_for(connection, values))
            [number] = cursor.fetchone()
        return int(number)

    def _compiler_with(self, values: dict[str, Any], limit: int | None) -> Any:
        """Return a compiler that has compiled the query already."""
        compiler = copy(self._compiler)
        compiler.connection = connections[self._using]
        sql, parameters = self.sql, self.parameters_for(compiler.connection, values)
        if limit is not None:
            sql, parameters = f"{sql} LIMIT %s", (*parameters, limit)
        compiler.as_sql = lambda: (sql, parameters)
        compiler.klass_info = _sharing_related(self._compiler.klass_info)
        compiler.get_converters = lambda expressions: self._converters
        return compiler

    def parameters_for(self, connection: Any, values: dict[str, Any]) -> tuple[Any, ...]:
        """Return the parameters of the SQL, with these values of the Parameters."""
        return tuple(
            each.output_field.get_db_prep_value(values[each.name], connection)
            if isinstance(each, Parameter)
            else each
            for each in self.parameters
        )


class CompiledInsert:
    """The INSERT of a model, if there is a row of the query `source`, when that is given.

    It sends no signals, and returns nothing that the database would add.
    """

    def __init__(self, model: type[models.Model], source: CompiledQuery[Any] | None = None) -> None:
        self._fields: Any = model._meta.local_concrete_fields
        self._source = source
        self._using = router.db_for_write(model)
        quote: Any = connections[self._using].ops.quote_name
        columns = ", ".join(quote(field.column) for field in self._fields)
        values = ", ".join("%s" for _ in self._fields)
        rows = f"SELECT {values} FROM ({source.sql}) source" if source else f"VALUES ({values})"  # noqa: S608
        self.sql = f"INSERT INTO {quote(model._meta.db_table)} ({columns}) {rows}"

    def save(self, row: models.Model, values: dict[str, Any] | None = None) -> bool:
        """Insert a new row, which has a value for each field. `values` are those of the source's Parameters.

        Returns False if the source has no row. Raises IntegrityError.
        """
        connection = connections[self._using]
        parameters = [
            field.get_db_prep_save(field.pre_save(row, add=True), connection=connection)
            for field in self._fields
        ]
        if self._source:
            parameters += self._source.parameters_for(connection, values or {})
        with connection.cursor() as cursor:
            cursor.execute(self.sql, parameters)
            if not cursor.rowcount:
                return False
        row._state.adding, row._state.db = False, self._using
        return True


class CompiledRows:
    """The rows of a list as a Paginator takes them: it asks for their number, and for the first page."""

    def __init__(self, rows: CompiledQuery[Any], ids: CompiledQuery[Any], values: dict[str, Any]) -> None:
        self._rows, self._ids, self._values = rows, ids, values

    def count(self) -> int:
        return self._ids.count(self._values)

    def __getitem__(self, first_page: slice) -> list[Any]:
        assert not first_page.start
        return self._rows.rows(self._values, first_page.stop) if first_page.stop else []


class CompiledQueriesMixin:
    """A mixin for viewsets: a class with `compiles_queries=True` has its plain queries compiled once.

    These are the query of `get_object`, and those of the first page of a list without filters. The class must
    choose its rows by `self.action`, and by `id` and `is_staff` of `request.user`, alone: anything else that
    `get_queryset` or `visible_to` reads, such as the time, would be read only once. Its `lookup_field` is a
    column. Subclasses do not inherit the option.
    """

    _compiles_queries: ClassVar[bool] = False
    _compiled_queries: ClassVar[dict[Any, CompiledQuery[Any]]] = {}

    def __init_subclass__(cls, *, compiles_queries: bool = False, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._compiles_queries = compiles_queries
        cls._compiled_queries = {}

    def get_object(self) -> Any:
        if not self._compiles_queries:
            return super().get_object()  # type: ignore[misc]
        view: Any = self
        name = view.lookup_field
        looked_up = Parameter("looked_up", _field(view.queryset.model, name))
        query = self._compiled("one", lambda rows: rows.order_by().filter(**{name: looked_up}))
        try:
            found = query.rows({**self._values(), "looked_up": view.kwargs[view.lookup_url_kwarg or name]})
        except (TypeError, ValueError, ValidationError):  # as for `get_object_or_404` of DRF
            found = []
        if not found:
            raise Http404
        view.check_object_permissions(view.request, found[0])
        return found[0]

    def list(self, request: Request, *args: Any, **options: Any) -> Response:
        view: Any = self
        if not self._compiles_queries or request.query_params.keys() - {"page_size"}:
            return cast(Response, super().list(request, *args, **options))  # type: ignore[misc]
        ids = self._compiled("ids", lambda rows: rows.order_by().values("pk"))
        page = view.paginate_queryset(CompiledRows(self._compiled("list"), ids, self._values()))
        return cast(Response, view.get_paginated_response(view.get_serializer(page, many=True).data))

    def _compiled(self, name: str, change: Callable[[Rows], Rows] = lambda rows: rows) -> CompiledQuery[Any]:
        """Return the query of the rows of this action, changed so, for callers like this one."""
        view: Any = self
        user = view.request.user
        database = router.db_for_read(view.queryset.model)
        key = database, name, view.action, user.is_authenticated, user.is_staff
        if key not in self._compiled_queries:
            rows: Any = change(self._rows_of_any(user))
            self._compiled_queries[key] = CompiledQuery(rows if rows._db else rows.using(database))
        return self._compiled_queries[key]

    def _rows_of_any(self, user: Any) -> Rows:
        """Return the rows of a caller whose id is a Parameter, and who is else like this user."""
        view: Any = copy(self)
        id_ = Parameter("caller", UUIDField()) if user.is_authenticated else None
        caller = SimpleNamespace(id=id_, is_authenticated=user.is_authenticated, is_staff=user.is_staff)
        view.request = SimpleNamespace(user=caller, query_params=QueryDict())
        rows: Rows = view.filter_queryset(view.get_queryset())
        return rows

    def _values(self) -> dict[str, Any]:
        view: Any = self
        return {"caller": view.request.user.id}


class SharedRows:
    """Stands for a related model while rows are read: rows with the same key share its object.

    So it is with `prefetch_related`; `select_related` makes an object for each row.
    """

    def __init__(self, model: Any) -> None:
        self._meta = model._meta
        self._model = model
        self._found: dict[Any, Any] = {}

    def from_db(self, using: str, names: list[str], values: Any, **options: Any) -> Any:
        """Do the same as `Model.from_db`, once for each key. `options`: the `fetch_mode` of Django 6.1."""
        key = tuple(values[names.index(field.attname)] for field in self._meta.pk_fields)
        if key not in self._found:
            self._found[key] = self._model.from_db(using, names, values, **options)
        return self._found[key]


def _sharing_related(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what a compiler has found about the models of its columns, with SharedRows for related ones."""
    if not found or not found.get("related_klass_infos"):
        return found
    related = [
        {**cast(Any, _sharing_related(each)), "model": SharedRows(each["model"])}
        for each in found["related_klass_infos"]
    ]
    return {**found, "related_klass_infos": related}


def _field(model: type[models.Model], name: str) -> Any:
    return model._meta.pk if name == "pk" else model._meta.get_field(name)
