"""The description of the API is current, whole, and readable without the internet."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from api.catalog.views import EntryViewSet
from api.errors import ERROR_CODES
from api.models import Upload
from api.schema import EnglishSchemaGenerator
from api.schema_view import SchemaView, rendered_schema
from api.urls import router
from tests.api.catalog.test_catalog import bring, entry, picture
from tests.api.profiles.test_profiles import with_avatar
from tests.support.cast import Caller
from tests.support.routes import routes
from tests.support.server import ROOT

SCHEMA = yaml.safe_load((ROOT / "schema.yml").read_text())
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in SCHEMA["paths"].items()
    for method, operation in methods.items()
}
EXTERNAL = re.compile(r"""(?:src|href|url)\s*[=:(]\s*["']?\s*(?:[a-z]+:)?//""", re.IGNORECASE)


@pytest.fixture
def client() -> Client:
    return Client()


def contents(operation: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Each shape that is sent or answered: (where, media type, content)."""
    parts = {"request": operation.get("requestBody", {}), **operation["responses"]}
    for where, part in parts.items():
        for media_type, content in part.get("content", {}).items():
            yield where, media_type, content


def component(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or the component that it refers to."""
    found: dict[str, Any] = SCHEMA["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2])
    return found or schema


def properties(schema: dict[str, Any]) -> set[str]:
    shapes = [component(each) for each in component(schema).get("oneOf", [schema])]
    return {name for shape in shapes for name in shape["properties"]}


def described_codes(name: str, status: int) -> set[str]:
    """The codes of the problems that this operation may answer with."""
    schema = OPERATIONS[name]["responses"][str(status)]["content"]["application/problem+json"]["schema"]
    shapes = [component(each) for each in schema.get("oneOf", [schema])]
    return {code for shape in shapes for code in shape["properties"]["code"]["enum"]}


def fetched(client: Client, path: str) -> bytes:
    answer = client.get(path)
    assert answer.status_code == 200, path
    content: bytes = answer.getvalue()  # read to its end, the file is closed
    return content


# --- schema.yml -------------------------------------------------------------------------------------


def test_schema_yml_is_current():
    made = StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=made)

    assert made.getvalue().strip() == (ROOT / "schema.yml").read_text().strip(), "run `make schema`"


class CountingGenerator(EnglishSchemaGenerator):
    made = 0

    def get_schema(self, *args: Any, **options: Any) -> Any:
        CountingGenerator.made += 1
        return {"openapi": "3.1.0"}


@pytest.fixture
def generator(monkeypatch) -> Iterator[type[CountingGenerator]]:
    """The generator of a process that has made no schema yet."""
    monkeypatch.setattr(CountingGenerator, "made", 0)
    monkeypatch.setattr(SchemaView, "generator_class", CountingGenerator)
    rendered_schema.cache_clear()
    yield CountingGenerator
    rendered_schema.cache_clear()


def test_the_schema_is_made_once_however_many_ask_for_it_at_once(generator: type[CountingGenerator]):
    def ask(number: int) -> int:
        language = {"accept-language": "es"} if number % 2 else {}
        return Client().get("/api/schema/", {"version": number}, headers=language).status_code

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, range(24))) == {200}

    assert generator.made == 1


def test_a_client_that_has_the_schema_does_not_get_it_again(client: Client, generator):
    first = client.get("/api/schema/")
    etag = first.headers["ETag"]
    json_etag = client.get("/api/schema/", headers={"accept": "application/json"}).headers["ETag"]

    assert etag != json_etag
    assert first.headers["Cache-Control"] == "no-cache"
    assert first.headers["Vary"].lower().startswith("accept")
    assert "language" not in first.headers["Vary"].lower()
    assert first.headers["Content-Disposition"] == 'inline; filename="Vivarium.yaml"'
    for known in (etag, f"W/{etag}", f'"older", {etag}'):
        for language in ("en", "es"):
            again = client.get("/api/schema/", headers={"if-none-match": known, "accept-language": language})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", etag)
    for condition in ({"if-none-match": json_etag}, {"if-match": json_etag}):
        assert client.get("/api/schema/", headers=condition).content == first.content


def test_the_schema_that_is_served_is_the_one_in_the_file_in_english(client: Client):
    rendered_schema.cache_clear()

    answer = client.get("/api/schema/", {"lang": "es"}, headers={"accept-language": "es"})

    assert yaml.safe_load(answer.content) == SCHEMA


@pytest.mark.slow
@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json", "application/json"),
        ("application/vnd.oai.openapi+json", "application/vnd.oai.openapi+json"),
        ("*/*", "application/vnd.oai.openapi"),
        ("text/html", "application/vnd.oai.openapi"),
        ("image/png", "application/vnd.oai.openapi"),
    ],
)
def test_the_schema_is_served_whatever_is_accepted(client: Client, accept: str, expected: str):
    answer = client.get("/api/schema/", headers={"accept": accept})

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].split(";")[0] == expected
    assert yaml.safe_load(answer.content) == SCHEMA


def test_every_route_of_the_api_that_is_for_clients_is_described():
    described = {re.sub(r"\{\w+\}", "*", path) for path in SCHEMA["paths"]}

    paths = {re.sub(r"\{\w+\}", "*", path) for path, _view in routes()}
    assert len(paths) > 40
    for path in paths - {"webhooks/storage/"}:  # the storage calls this one
        assert f"/api/v1/{path}" in described


def test_every_operation_has_a_tag_that_is_explained_and_a_summary():
    explained = {tag["name"] for tag in SCHEMA["tags"]}

    for name, operation in OPERATIONS.items():
        assert operation["tags"], name
        assert set(operation["tags"]) <= explained, name
        assert operation["summary"], name


def test_every_shape_has_an_example_with_its_own_fields():
    for name, operation in OPERATIONS.items():
        for where, media_type, content in contents(operation):
            examples = content.get("examples", {})
            assert examples, (name, where, media_type)
            for example in examples.values():
                assert set(example["value"]) <= properties(content["schema"]), (name, where)


def test_every_refusal_is_a_problem_whose_codes_have_this_status():
    for name, operation in OPERATIONS.items():
        refusals = [status for status in operation["responses"] if status >= "400"]
        assert {"400", "500"} <= set(refusals), name
        for status in refusals:
            assert set(operation["responses"][status]["content"]) == {"application/problem+json"}, name
            for code in described_codes(name, int(status)):
                assert ERROR_CODES[code][0] == int(status), (name, code)


def test_every_code_occurs_in_some_operation():
    described = {
        code
        for name, operation in OPERATIONS.items()
        for status in operation["responses"]
        if status >= "400"
        for code in described_codes(name, int(status))
    }

    elsewhere = {
        "method_not_allowed",
        "signature_invalid",
    }  # of methods without an operation, and the webhook
    assert described == ERROR_CODES.keys() - elsewhere


@pytest.mark.parametrize(
    ("name", "status", "codes"),
    [
        ("GET /api/v1/species/", 404, {"not_found"}),
        (
            "GET /api/v1/species/",
            401,
            {"token_invalid", "token_expired", "anonymous_not_allowed", "client_not_allowed"},
        ),
        ("POST /api/v1/documents/", 409, {"resource_gone"}),
        ("POST /api/v1/documents/", 403, {"quota_exceeded"}),
        ("POST /api/v1/species/", 403, {"permission_denied"}),
        ("DELETE /api/v1/documents/{id}/", 412, {"precondition_failed"}),
        ("DELETE /api/v1/uploads/{id}/", 409, {"ticket_completed", "verification_in_progress"}),
        ("GET /api/v1/documents/{id}/download-url/", 404, {"not_found", "file_missing"}),
        ("GET /readyz", 503, {"not_ready", "storage_unavailable"}),
    ],
)
def test_the_codes_of_an_operation_are_those_that_it_may_answer_with(name: str, status: int, codes: set[str]):
    assert described_codes(name, status) == codes


def test_what_an_operation_cannot_answer_is_not_described():
    assert "401" not in OPERATIONS["GET /livez"]["responses"]
    assert "415" not in OPERATIONS["POST /api/v1/uploads/{id}/complete/"]["responses"]
    assert "429" not in OPERATIONS["GET /api/v1/documents/"]["responses"]
    assert "404" not in OPERATIONS["POST /api/v1/documents/"]["responses"]
    assert "not_authenticated" not in described_codes("GET /api/v1/exhibitions/{slug}/", 401)


def test_operations_are_named_as_methods_are():
    names = [operation["operationId"] for operation in OPERATIONS.values()]

    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z]+([A-Z][a-z]+)+", name) for name in names), names
    assert OPERATIONS["GET /api/v1/species/"]["operationId"] == "listSpecies"
    assert OPERATIONS["POST /api/v1/documents/{id}/upload-url/"]["operationId"] == "requestDocumentUpload"
    assert OPERATIONS["PATCH /api/v1/profiles/{id}/"]["operationId"] == "changeProfile"
    assert OPERATIONS["POST /api/v1/uploads/complete/"]["operationId"] == "completeUploads"


def test_every_member_of_a_response_is_required_unless_it_may_be_absent():
    absent = {
        "NotReadyProblem": {"part"},
        "StorageUnavailableProblem": {"part"},
    }

    for name, schema in SCHEMA["components"]["schemas"].items():
        if "properties" in schema and not name.endswith("Request"):
            created = {"ticket"} if name.startswith("Created") else set()
            assert set(schema["properties"]) - set(schema["required"]) == absent.get(name, created), name


def test_descriptions_are_for_people_who_use_the_api():
    for name, schema in SCHEMA["components"]["schemas"].items():
        assert not re.search(r"serializer|queryset|query|context|`_", schema.get("description", ""), re.I), (
            name
        )


def test_states_have_one_enum_with_all_values():
    schemas = SCHEMA["components"]["schemas"]

    assert schemas["UploadStateEnum"]["enum"] == Upload.State.values
    for name in ("Upload", "Ticket"):
        assert schemas[name]["properties"]["state"] == {"$ref": "#/components/schemas/UploadStateEnum"}


def test_the_answer_to_a_delete_has_no_body():
    for name, operation in OPERATIONS.items():
        if "204" in operation["responses"]:
            assert "content" not in operation["responses"]["204"], name


def test_every_operation_of_the_api_takes_the_bearer_and_the_catalogue_is_read_without():
    entries = [prefix for prefix, view, _ in router.registry if issubclass(view, EntryViewSet)]
    assert entries[:3] == ["species", "exhibitions", "educational-services"]
    for name, operation in OPERATIONS.items():
        bearer = [{"supabase": []}] if "/api/v1/" in name else []
        is_open = not bearer or re.match(
            f"GET /api/v1/({'|'.join(entries)}|upload-rules)/(?!.*original-url)", name
        )
        assert operation.get("security", []) == ([{}] if is_open and bearer else []) + bearer, name


def test_the_bearer_scheme_is_there_for_the_authorize_button():
    scheme = SCHEMA["components"]["securitySchemes"]["supabase"]

    assert (scheme["type"], scheme["scheme"], scheme["bearerFormat"]) == ("http", "bearer", "JWT")
    assert list(SCHEMA["components"]["securitySchemes"]) == ["supabase"]


def test_the_problems_of_the_examples_may_occur_there():
    for name, operation in OPERATIONS.items():
        for where, media_type, content in contents(operation):
            if media_type == "application/problem+json":
                for example in content["examples"].values():
                    value = example["value"]
                    assert ERROR_CODES[value["code"]][0] == value["status"]
                    assert where == str(value["status"])
                    assert value["code"] in described_codes(name, value["status"])


def test_an_answer_has_the_fields_that_the_schema_says(alice: Caller):
    document = alice.document_with_file()
    schemas = SCHEMA["components"]["schemas"]

    assert document.keys() == properties(schemas["Document"])
    assert alice.ticket(document).keys() == properties(schemas["Ticket"])
    assert alice.get("uploads/").json().keys() == properties(schemas["PaginatedUploadList"])
    assert alice.get("uploads/").json()["results"][0].keys() == properties(schemas["Upload"])
    assert alice.get("nowhere/").json().keys() == properties(schemas["Problem"])


def test_pictures_have_the_fields_that_the_schema_says(alice: Caller, curator: Caller):
    path = f"species/{entry('species', published=True).slug}/"
    bring(curator, path, picture())
    profile = with_avatar(alice)
    schemas = SCHEMA["components"]["schemas"]

    species = alice.get(path).json()
    assert species.keys() == properties(schemas["Species"])
    [shown] = alice.get(f"{path}pictures/").json()["results"]
    for image, name in ((species["image"], "Image"), (shown, "Picture"), (profile["avatar"], "Avatar")):
        assert image.keys() == properties(schemas[name]), name
        assert image["alt"].keys() == properties(schemas["Alt"])
        assert image["renditions"][0].keys() == properties(schemas["Rendition"])


def test_the_erasure_answers_what_the_schema_says(alice: Caller):
    alice.document_with_file()

    answer = alice.delete("profiles/me/")

    described = OPERATIONS["DELETE /api/v1/profiles/{id}/"]["responses"]
    assert {"200", "202"} == {status for status in described if status < "400"}
    assert answer.status_code == 200
    assert answer.json().keys() == properties(described["200"]["content"]["application/json"]["schema"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("documents/", {"title": 1}),
        ("documents/", {"title": True}),
        ("species/", {"common_name": "x", "scientific_name": "Spheniscus demersus", "published": 0}),
        ("species/", {"common_name": "x", "scientific_name": "Spheniscus demersus", "published": "no"}),
        ("educational-services/", {"title": "x", "capacity": "3"}),
        ("educational-services/", {"title": "x", "capacity": True}),
        ("educational-services/", {"title": "x", "price": True, "currency": "EUR"}),
        ("exhibitions/", {"title": "x", "species": [1]}),
    ],
)
def test_a_value_of_another_type_than_the_schema_says_is_refused(
    path: str, body: dict[str, Any], curator: Caller
):
    answer = curator.post(path, body)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["code"] in ("invalid", "blank")


# --- The pages --------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["/api/docs/", "/api/redoc/"])
def test_the_pages_need_nothing_from_elsewhere(client: Client, page: str):
    answer = client.get(page)
    html = answer.content.decode()

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert not EXTERNAL.search(html)
    assets = re.findall(r"""<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=["'](?!data:)([^"']+)""", html)
    assert assets
    for asset in [*assets, "/api/schema/"]:
        address = urljoin(f"http://testserver{page}", asset)
        assert urlsplit(address).netloc == "testserver"
        assert fetched(client, urlsplit(address).path)


@pytest.mark.parametrize("page", ["/api/docs/", "/api/redoc/"])
def test_the_styles_need_nothing_from_elsewhere(client: Client, page: str):
    for sheet in re.findall(r'href="([^"]+\.css)"', client.get(page).content.decode()):
        css = fetched(client, sheet).decode()
        assert not re.search(r"@import|url\(\s*[\"']?(?:https?:)?//", css)


def test_redoc_may_not_fetch_the_logo_that_its_script_asks_for(client: Client):
    html = client.get("/api/redoc/").content.decode()

    policy = re.search(r'<meta http-equiv="Content-Security-Policy" content="([^"]+)">', html)

    assert policy
    assert policy[1] == "img-src 'self' data:"
    assert html.index(policy[0]) < html.index("<script")


def test_swagger_ui_asks_no_validator_and_keeps_the_token(client: Client):
    html = client.get("/api/docs/").content.decode()

    assert "StandaloneLayout" not in html  # that one shows the badge of a validator elsewhere
    assert '"persistAuthorization": true' in html


def test_the_pages_are_read_without_a_token_and_with_any(client: Client):
    for page in ("/api/docs/", "/api/redoc/", "/api/schema/"):
        assert client.get(page, headers={"authorization": "Bearer rubbish"}).status_code == 200
