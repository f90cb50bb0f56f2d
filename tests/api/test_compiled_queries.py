"""Compiled queries: the same SQL and the same rows as Django's own, compiled once."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import connection, connections
from django.db.models.sql.compiler import SQLCompiler
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIRequestFactory, force_authenticate

from api.auth.principal import Principal
from api.compiled_queries import CompiledInsert, CompiledQuery, Parameter
from api.documents.views import DocumentViewSet
from api.models import Document, EducationalService, Exhibition, Profile, Species, Upload
from api.serializer_fields import ModelSerializer
from api.uploads import quotas
from api.urls import router
from tests.support.cast import Caller

COMPILED = {
    viewset.queryset.model: viewset
    for _, viewset, _ in router.registry
    if getattr(viewset, "_compiles_queries", False)
}


@pytest.fixture
def compilations(monkeypatch) -> list[str]:
    """The models whose queries were compiled."""
    compiled = []
    as_sql = SQLCompiler.as_sql

    def counted(self, *args, **options):
        compiled.append(self.query.model.__name__)
        return as_sql(self, *args, **options)

    monkeypatch.setattr(SQLCompiler, "as_sql", counted)
    return compiled


def plain(viewset):
    """The same viewset, with queries that Django compiles each time. It does not inherit the option."""
    return type(viewset.__name__, (viewset,), {"__module__": __name__})


def asked(viewset, action: str, user: Principal | None, lookup: str = "", **query: str):
    """The answer to a GET request, and its queries in one spelling."""
    request = APIRequestFactory().get("/", query)
    if user:
        force_authenticate(request, user, "token")
    lookups = {viewset.lookup_field: lookup} if lookup else {}
    with CaptureQueriesContext(connection) as queries:
        answer = viewset.as_view({"get": action})(request, **lookups)
        answer = answer.render() if hasattr(answer, "render") else answer
    return answer, [one_spelling(query["sql"]) for query in queries]


def rows_of(member: Principal) -> None:
    """A row of each model that everybody, or this member, may see."""
    owner = Profile.objects.create(id=member.id)
    document = Document.objects.create(owner=owner, title="A", visibility=Document.Visibility.AUTHENTICATED)
    Upload.objects.create(
        owner=member.id,
        content_type=ContentType.objects.get_for_model(Document),
        object_id=document.pk,
        field_name="file",
        declared={"filename": "a.pdf", "content_type": "application/pdf", "size": 5, "sha256": None},
        expires_at=timezone.now(),
    )
    for model in (Species, Exhibition, EducationalService):
        name = {"common_name": "Otter"} if model is Species else {"title": "Otters"}
        model.objects.create(slug="otter", published=True, **name)


def one_spelling(sql: str) -> str:
    """Without the parentheses around a parameter, the limits of `get`, the count's names and its subquery."""
    sql = re.sub(r"= \(('[^']*'(?:::\w+)?)\)", r"= \1", sql)
    sql = re.sub(r" LIMIT 21$", "", sql)
    counted = re.fullmatch(r"SELECT COUNT\(\*\) FROM \(SELECT .*? FROM (.*)\) counted", sql)
    return f"COUNT {counted[1]}" if counted else re.sub(r'SELECT COUNT\(\*\) AS "__count" FROM', "COUNT", sql)


USERS = {
    "member": Principal(uuid4()),
    "staff": Principal(uuid4(), is_staff=True),
    "visitor": None,
}


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
@pytest.mark.parametrize("viewset", COMPILED.values(), ids=[model.__name__ for model in COMPILED])
def test_the_sql_is_the_one_that_django_would_send(db, viewset, user: Principal | None):
    rows_of(USERS["member"])
    lookup = str(getattr(viewset.queryset.model.objects.get(), viewset.lookup_field))
    for action, found in (("retrieve", lookup), ("list", "")):
        answer, queries = asked(viewset, action, user, found)
        expected, django_queries = asked(plain(viewset), action, user, found)

        assert queries == django_queries
        assert (answer.status_code, answer.content) == (expected.status_code, expected.content)
        assert queries or answer.status_code == 401


def test_documents_and_tickets_and_the_catalogue_have_them():
    assert {model.__name__ for model in COMPILED} == {
        "Document",
        "Upload",
        "Species",
        "Exhibition",
        "EducationalService",
    }


def test_a_request_like_an_earlier_one_compiles_nothing(alice: Caller, bob: Caller, compilations: list[str]):
    for who in (alice, bob):
        documents = [who.document() for _ in range(3)]
        compilations.clear()
        assert who.get(f"documents/{documents[1]['id']}/").json()["id"] == documents[1]["id"]
        assert who.get("documents/").json()["count"] == 3
        assert who.get("documents/", page_size=1).json()["results"] == [documents[2]]

    assert compilations == []


def test_each_caller_gets_the_own_rows(alice: Caller, bob: Caller, curator: Caller):
    private, shared = alice.document(), alice.document(visibility="authenticated")
    own = bob.document()

    def seen(who: Caller) -> set[str]:
        return {each["id"] for each in who.get("documents/").json()["results"]}

    for _ in range(2):  # compiled, and compiled before
        assert seen(alice) == {private["id"], shared["id"]}
        assert seen(bob) == {shared["id"], own["id"]}
        assert seen(curator) == {private["id"], shared["id"], own["id"]}
        assert bob.get(f"documents/{private['id']}/").status_code == 404
        assert bob.get(f"documents/{shared['id']}/").status_code == 200
        assert curator.get(f"documents/{private['id']}/").status_code == 200


def test_every_page_has_its_rows(alice: Caller):
    ids = [alice.document()["id"] for _ in range(7)][::-1]

    for size in (2, 3, 7, 8):
        pages = [
            alice.get("documents/", page=number, page_size=size).json()
            for number in range(1, -(-7 // size) + 1)
        ]
        assert [each["id"] for page in pages for each in page["results"]] == ids
        assert {page["count"] for page in pages} == {7}
        assert (pages[0]["previous"], pages[-1]["next"]) == (None, None)
    assert alice.get("documents/", page=4, page_size=3).status_code == 404


def test_a_filter_an_order_and_a_search_still_decide(alice: Caller):
    alice.document(title="B", category="food")
    alice.document(title="A", category="care")
    alice.get("documents/")

    def titles(**query: str) -> list[str]:
        return [each["title"] for each in alice.get("documents/", **query).json()["results"]]

    assert titles(ordering="-title") == ["B", "A"]
    assert titles(ordering="title") == ["A", "B"]
    assert titles(category="food") == ["B"]
    assert titles(search="a", page="1") == ["A"]
    assert titles(cursor="") == ["A", "B"]


@pytest.mark.parametrize("malformed", ["x", "{}", "0" * 33, "é"])
def test_a_malformed_id_is_not_found(alice: Caller, malformed: str):
    assert alice.get(f"documents/{malformed}/").status_code == 404


def test_what_may_not_decide_about_rows_cannot_be_read(db):
    class ByEmail(DocumentViewSet, compiles_queries=True):
        def get_queryset(self):
            return super().get_queryset().filter(title=self.request.user.email)

    with pytest.raises(AttributeError, match="email"):
        asked(ByEmail, "list", Principal(uuid4()))


def test_a_caller_who_sees_nothing_gets_an_empty_list(db):
    class ForStaff(DocumentViewSet, compiles_queries=True):
        def get_queryset(self):
            rows = super().get_queryset()
            return rows if self.request.user.is_staff else rows.none()

    for _ in range(2):
        assert asked(ForStaff, "list", Principal(uuid4()))[0].data["count"] == 0
        assert asked(ForStaff, "retrieve", Principal(uuid4()), str(uuid4()))[0].status_code == 404


def test_a_subclass_compiles_nothing_by_itself(db, compilations: list[str]):
    class OfToday(DocumentViewSet):
        def get_queryset(self):
            return super().get_queryset().filter(created_at__gte=timezone.now() - timedelta(days=1))

    for _ in range(2):
        compilations.clear()
        assert asked(OfToday, "list", Principal(uuid4()))[0].status_code == 200
        assert "Document" in compilations


# --- Without a view -----------------------------------------------------------------------------------


def test_a_query_is_used_by_many_threads_at_once(transactional_db):
    names = [f"Member {number}" for number in range(8)]
    Profile.objects.bulk_create(Profile(id=uuid4(), display_name=name) for name in names)
    name = Parameter("name", Profile._meta.get_field("display_name"))
    query = CompiledQuery(Profile.objects.filter(display_name=name))

    def found(name: str) -> list[str]:
        try:
            return [each.display_name for each in query.rows({"name": name})]
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(found, names * 5)) == [[name] for name in names] * 5


def test_what_is_prefetched_is_loaded(db, django_assert_num_queries):
    species = Species.objects.create(common_name="Otter", scientific_name="Lutra lutra")
    rows = Species.objects.prefetch_related("exhibitions").filter(pk=Parameter("id", Species._meta.pk))
    query = CompiledQuery(rows)

    with django_assert_num_queries(2):
        [found] = query.rows({"id": species.pk})
        assert list(found.exhibitions.all()) == []


def test_rows_with_the_same_related_row_share_its_object(db, django_assert_num_queries):
    alice, bob = (Profile.objects.create(id=uuid4(), display_name=name) for name in ("Alice", "Bob"))
    for owner in (alice, bob, alice):
        Document.objects.create(owner=owner, title=owner.display_name)
    query = CompiledQuery(Document.objects.select_related("owner").order_by("created_at"))

    with django_assert_num_queries(2):
        first, other, second = query.rows({})
        [again, *_] = query.rows({})

    assert [row.owner.display_name for row in (first, other, second)] == ["Alice", "Bob", "Alice"]
    assert first.owner is second.owner
    assert first.owner is not again.owner, "Each response has its own."


def test_a_value_is_checked_as_by_the_field(db):
    query = CompiledQuery(Document.objects.filter(pk=Parameter("id", Document._meta.pk)))

    assert query.rows({"id": str(uuid4())}) == []
    with pytest.raises(ValidationError):
        query.rows({"id": "x"})


def test_an_insert_stores_what_save_would(db):
    values = {
        "owner": uuid4(),
        "content_type": ContentType.objects.get_for_model(Document),
        "object_id": uuid4(),
        "field_name": "file",
        "declared": {"filename": "ñ 'quoted' %s.pdf", "size": 5},
        "expires_at": timezone.now(),
        "held_key": "",
    }
    inserted = Upload(path="inserted", **values)
    CompiledInsert(Upload).save(inserted)
    saved = Upload.objects.create(path="saved", **values)

    def stored(upload: Upload) -> dict:
        own = ("id", "path", "created_at", "updated_at")
        found = Upload.objects.filter(pk=upload.pk).values().get()
        return {name: value for name, value in found.items() if name not in own}

    assert stored(inserted) == stored(saved)
    assert Upload.objects.get(pk=inserted.pk).created_at == inserted.created_at
    assert (inserted._state.adding, inserted._state.db) == (False, saved._state.db)
    inserted.state = Upload.State.CANCELLED
    inserted.save()
    assert Upload.objects.filter(path="inserted").count() == 1


# --- The fields of responses --------------------------------------------------------------------------


def test_fields_that_depend_on_the_caller_are_chosen_for_each_response(db):
    class ForStaff(ModelSerializer):
        class Meta:
            model = Species
            fields = ("common_name", "habitat")

        def get_field_names(self, *args):
            names = super().get_field_names(*args)
            return names if self.context["is_staff"] else names[:1]

    otter = Species(common_name="Otter", habitat="Secret")
    for is_staff, shown in ((True, 2), (False, 1), (True, 2)):
        assert len(ForStaff(otter, context={"is_staff": is_staff}).data) == shown


def test_a_lock_outside_of_a_transaction_is_refused(transactional_db):
    document = Document.objects.create(owner=Profile.objects.create(id=uuid4()), title="A")

    with pytest.raises(TransactionManagementError):
        quotas.lock(document.upload_file("file", uuid4()))


def test_the_database_that_a_router_chooses_is_asked(
    django_db_setup, django_db_blocker, settings, monkeypatch
):
    """Such as one of several replicas."""
    monkeypatch.setitem(connections.databases, "replica", connections.databases["default"])
    view = DocumentViewSet.as_view({"get": "retrieve"})

    def queries_of(alias: str) -> int:
        settings.DATABASE_ROUTERS = [SimpleNamespace(db_for_read=lambda model, **hints: alias)]
        request = APIRequestFactory().get("/")
        force_authenticate(request, USERS["member"], "token")
        with CaptureQueriesContext(connections[alias]) as queries:
            assert view(request, pk=str(uuid4())).status_code == 404
        return len(queries)

    with django_db_blocker.unblock():  # the fixture `db` allows one database
        try:
            assert [queries_of(alias) for alias in ("default", "replica", "default")] == [1, 1, 1]
        finally:
            connections["replica"].close()


def test_a_database_that_the_view_chooses_is_asked(django_db_setup, django_db_blocker, monkeypatch):
    monkeypatch.setitem(connections.databases, "archive", connections.databases["default"])

    class ArchiveViewSet(DocumentViewSet, compiles_queries=True):
        def get_queryset(self):
            return super().get_queryset().using("archive")

    request = APIRequestFactory().get("/")
    force_authenticate(request, USERS["member"], "token")
    with django_db_blocker.unblock():
        try:
            with CaptureQueriesContext(connections["archive"]) as queries:
                ArchiveViewSet.as_view({"get": "retrieve"})(request, pk=str(uuid4()))
        finally:
            connections["archive"].close()

    assert len(queries) == 1
