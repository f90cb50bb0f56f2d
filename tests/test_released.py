"""docs/upgrading.md: what a newer version may change."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import missing
from tests.support.released import (
    OASDIFF,
    breaches,
    comparable,
    exceptions,
    released_schema,
    schema,
    versions,
)

Schema = dict[str, Any]


def test_every_file_states_the_same_version():
    stated = versions()

    assert len(set(stated.values())) == 1, stated


@pytest.fixture(scope="module")
def oasdiff(npm: None) -> None:
    """It is for Linux on x64 only; npm installs it nowhere else."""
    if not OASDIFF.exists():
        missing("oasdiff is needed to compare schema.yml with the last release")


@pytest.fixture(scope="module")
def published() -> Schema:
    return comparable(schema())


@pytest.mark.slow
def test_no_client_of_the_last_release_breaks(oasdiff: None, published: Schema, tmp_path: Path):
    accepted = exceptions()["api"]

    found = breaches(released_schema(), published, tmp_path)

    assert set(found) == set(accepted), "see docs/upgrading.md"
    assert all(accepted.values()), "each exception has its reason"


# --- What is noticed -----------------------------------------------------------------------------------

DOCUMENTS = "/api/v1/documents/"
DOCUMENT = "/api/v1/documents/{id}/"


def remove_path(schemas: Schema, paths: Schema) -> None:
    del paths["/api/v1/documents/{id}/file/"]


def remove_operation(schemas: Schema, paths: Schema) -> None:
    del paths[DOCUMENT]["delete"]


def rename_operation(schemas: Schema, paths: Schema) -> None:
    paths[DOCUMENTS]["post"]["operationId"] = "makeDocument"


def rename_schema(schemas: Schema, paths: Schema) -> None:
    schemas["Form"] = schemas.pop("DocumentRequest")
    body = {"application/json": {"schema": {"$ref": "#/components/schemas/Form"}}}
    paths[DOCUMENT]["put"]["requestBody"]["content"] = body


def require_a_token(schemas: Schema, paths: Schema) -> None:
    paths["/api/v1/species/"]["get"]["security"] = [{"supabase": []}]


def remove_status(schemas: Schema, paths: Schema) -> None:
    responses = paths[DOCUMENTS]["post"]["responses"]
    responses["200"] = responses.pop("201")


def remove_content_type_of_request(schemas: Schema, paths: Schema) -> None:
    content = paths[DOCUMENTS]["post"]["requestBody"]["content"]
    content["text/csv"] = content.pop("application/json")


def remove_content_type_of_response(schemas: Schema, paths: Schema) -> None:
    content = paths[DOCUMENT]["get"]["responses"]["200"]["content"]
    content["text/csv"] = content.pop("application/json")


def remove_member_of_response(schemas: Schema, paths: Schema) -> None:
    del schemas["Document"]["properties"]["owner"]
    schemas["Document"]["required"].remove("owner")


def make_member_of_response_optional(schemas: Schema, paths: Schema) -> None:
    schemas["Document"]["required"].remove("owner")


def make_member_of_response_nullable(schemas: Schema, paths: Schema) -> None:
    schemas["Document"]["properties"]["title"]["nullable"] = True


def change_type_in_response(schemas: Schema, paths: Schema) -> None:
    schemas["Document"]["properties"]["title"]["type"] = "integer"


def change_format_in_response(schemas: Schema, paths: Schema) -> None:
    del schemas["Document"]["properties"]["created_at"]["format"]


def add_value_to_response(schemas: Schema, paths: Schema) -> None:
    schemas["UploadStateEnum"]["enum"].append("lost")


def remove_member_of_request(schemas: Schema, paths: Schema) -> None:
    del schemas["DocumentRequest"]["properties"]["category"]


def require_member_of_request(schemas: Schema, paths: Schema) -> None:
    schemas["DocumentRequest"]["required"].append("category")


def add_required_member_to_request(schemas: Schema, paths: Schema) -> None:
    schemas["DocumentRequest"]["properties"]["zoo"] = {"type": "string"}
    schemas["DocumentRequest"]["required"].append("zoo")


def change_type_in_request(schemas: Schema, paths: Schema) -> None:
    schemas["DocumentRequest"]["properties"]["title"]["type"] = "integer"


def remove_value_of_request(schemas: Schema, paths: Schema) -> None:
    schemas["VisibilityEnum"]["enum"].pop()


def shorten_text_of_request(schemas: Schema, paths: Schema) -> None:
    schemas["DocumentRequest"]["properties"]["title"]["maxLength"] = 100


def remove_parameter(schemas: Schema, paths: Schema) -> None:
    paths[DOCUMENTS]["get"]["parameters"].pop(0)


def add_required_parameter(schemas: Schema, paths: Schema) -> None:
    parameter = {"in": "query", "name": "zoo", "required": True, "schema": {"type": "string"}}
    paths[DOCUMENTS]["get"]["parameters"].append(parameter)


def change_type_of_parameter(schemas: Schema, paths: Schema) -> None:
    parameters = paths[DOCUMENTS]["get"]["parameters"]
    [category] = [each for each in parameters if each["name"] == "category"]
    category["schema"]["type"] = "integer"


def remove_member_of_problem(schemas: Schema, paths: Schema) -> None:
    del schemas["NotFoundProblem"]["properties"]["detail"]
    schemas["NotFoundProblem"]["required"].remove("detail")


def change_code(schemas: Schema, paths: Schema) -> None:
    schemas["NotFoundProblem"]["properties"]["code"]["enum"] = ["missing"]


BREACHES = {
    remove_path: "api-path-removed-without-deprecation",
    remove_operation: "api-removed-without-deprecation",
    rename_operation: "api-operation-id-removed",
    rename_schema: "api-schema-removed",
    require_a_token: "token-required",
    remove_status: "response-success-status-removed",
    remove_content_type_of_request: "request-body-media-type-removed",
    remove_content_type_of_response: "response-media-type-removed",
    remove_member_of_response: "response-required-property-removed",
    make_member_of_response_optional: "response-property-became-optional",
    make_member_of_response_nullable: "response-property-became-nullable",
    change_type_in_response: "response-property-type-changed",
    change_format_in_response: "response-property-type-changed",
    add_value_to_response: "response-property-enum-value-added",
    remove_member_of_request: "request-property-removed",
    require_member_of_request: "request-property-became-required",
    add_required_member_to_request: "new-required-request-property",
    change_type_in_request: "request-property-type-changed",
    remove_value_of_request: "request-property-enum-value-removed",
    shorten_text_of_request: "request-property-max-length-decreased",
    remove_parameter: "request-parameter-removed",
    add_required_parameter: "new-required-request-parameter",
    change_type_of_parameter: "request-parameter-type-changed",
    remove_member_of_problem: "response-required-property-removed GET /problems/",
    change_code: "response-property-enum-value-added GET /problems/",
}


@pytest.mark.slow
@pytest.mark.parametrize("change", BREACHES, ids=lambda change: change.__name__)
def test_a_breach_is_named(change: Callable, oasdiff: None, published: Schema, tmp_path: Path):
    changed = deepcopy(published)
    change(changed["components"]["schemas"], changed["paths"])

    found = breaches(published, changed, tmp_path)

    assert any(each.startswith(BREACHES[change]) for each in found), found


# --- What is allowed -----------------------------------------------------------------------------------


def add_path(schemas: Schema, paths: Schema) -> None:
    paths["/api/v1/zoos/"] = {"get": {"operationId": "listZoos", "responses": {"204": {"description": ""}}}}


def add_member_to_response(schemas: Schema, paths: Schema) -> None:
    schemas["Document"]["properties"]["zoo"] = {"type": "string"}
    schemas["Document"]["required"].append("zoo")


def add_optional_member_to_request(schemas: Schema, paths: Schema) -> None:
    schemas["DocumentRequest"]["properties"]["zoo"] = {"type": "string"}


def lengthen_text_of_request(schemas: Schema, paths: Schema) -> None:
    schemas["DocumentRequest"]["properties"]["title"]["maxLength"] = 300


def add_optional_parameter(schemas: Schema, paths: Schema) -> None:
    parameter = {"in": "query", "name": "zoo", "schema": {"type": "string"}}
    paths[DOCUMENTS]["get"]["parameters"].append(parameter)


def add_code(schemas: Schema, paths: Schema) -> None:
    schemas["ClosedProblem"] = deepcopy(schemas["NotFoundProblem"])
    schemas["ClosedProblem"]["properties"]["code"]["enum"] = ["closed"]
    reference = {"$ref": "#/components/schemas/ClosedProblem"}
    for status in ("404", "409"):  # one has other codes, one is new
        paths[DOCUMENT]["get"]["responses"][status] = {
            "description": "",
            "content": {"application/problem+json": {"schema": reference}},
        }


def write_other_texts(schemas: Schema, paths: Schema) -> None:
    paths[DOCUMENTS]["post"]["description"] = "Other words."
    schemas["Document"]["properties"]["title"]["description"] = "Other words."


ADDITIONS = [
    add_path,
    add_member_to_response,
    add_optional_member_to_request,
    lengthen_text_of_request,
    add_optional_parameter,
    add_code,
    write_other_texts,
]


@pytest.mark.slow
def test_additions_are_allowed(oasdiff: None, tmp_path: Path):
    """All at once: none of them may be named."""
    changed = schema()
    for change in ADDITIONS:
        change(changed["components"]["schemas"], changed["paths"])

    assert breaches(comparable(schema()), comparable(changed), tmp_path) == []
