"""A test client that compares each response of the API with what `schema.yml` says of the operation."""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import jsonschema_rs
import yaml
from django.test import Client

from tests.support.server import ROOT


class DescribedClient(Client):
    """Fails if a response has a status, a member or an error code that is not described, or lacks a member.

    `own_codes` are those of a scanner: they may come with the status 422.
    """

    own_codes: Sequence[str] = ()

    def request(self, **request: Any) -> Any:
        response = super().request(**request)
        if response.status_code != 422 or response.json()["code"] not in self.own_codes:
            difference = difference_to_schema(response.request["REQUEST_METHOD"], response)
            assert not difference, difference
        return response


def difference_to_schema(method: str, response: Any) -> str:
    """Return what is not as the schema says, "" if it is. Paths that it does not have are not looked at."""
    path = response.request["PATH_INFO"]
    template = _template_of(path)
    responses = _schema()["paths"].get(template, {}).get(method.lower(), {}).get("responses")
    if responses is None or response.status_code == 304:
        return ""
    where = f"{method} {path}: {response.status_code} {response.content[:2000]!r}"
    described = responses.get(str(response.status_code))
    if described is None:
        return f"{where}\nis not described: {sorted(responses)}"
    if "content" not in described:
        return f"{where}\nshould have no content" if response.content else ""
    media_type = response.headers["Content-Type"].split(";")[0]
    if media_type not in described["content"]:
        return f"{where}\nshould be {sorted(described['content'])}"
    validator = _validator(template, method.lower(), str(response.status_code), media_type)
    found = validator.iter_errors(response.json())
    errors = [f"{error.instance_path}: {error.message}"[:1000] for error in found]
    return "\n".join([where, *errors]) if errors else ""


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = yaml.load((ROOT / "schema.yml").read_text(), yaml.CSafeLoader)
    return schema


@cache
def _patterns() -> list[tuple[str, re.Pattern[str]]]:
    """Return the paths, those without parameters first, each with a pattern of the real paths."""
    paths = sorted(_schema()["paths"], key=lambda path: path.count("{"))
    return [(path, re.compile(re.sub(r"\{\w+\}", "[^/]+", path))) for path in paths]


def _template_of(path: str) -> str:
    return next((template for template, pattern in _patterns() if pattern.fullmatch(path)), "")


@cache
def _validator(path: str, method: str, status: str, media_type: str) -> Any:
    content = _schema()["paths"][path][method]["responses"][status]["content"]
    return jsonschema_rs.Draft202012Validator(
        {**_strict(content[media_type]["schema"]), "components": _strict_components()}, validate_formats=True
    )


@cache
def _strict_components() -> dict[str, Any]:
    schemas = _schema()["components"]["schemas"]
    return {"schemas": {name: _strict(schema) for name, schema in schemas.items()}}


def _strict(schema: Any) -> Any:
    """Return a schema of OpenAPI 3.0 as JSON Schema that allows no other members than it names."""
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {name: _strict(value) for name, value in schema.items() if name not in ("nullable", "example")}
    if isinstance(schema.get("properties"), dict):
        strict.setdefault("additionalProperties", False)
    return {"anyOf": [strict, {"type": "null"}]} if schema.get("nullable") is True else strict
