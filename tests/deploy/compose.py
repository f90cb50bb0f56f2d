"""compose.yaml as Compose reads it."""

import re
from functools import cache
from typing import Any

import yaml

from tests.support.server import ROOT

SETTINGS = {"VIVARIUM_HOST": "api.zoo.example.org", "PUBLIC_SITE_URL": "https://zoo.example.org"}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:-|:\?)([^}]*))?\}")


@cache
def compose() -> dict[str, Any]:
    """Return the file with the values of SETTINGS, and defaults."""
    content: dict[str, Any] = filled_in(yaml.safe_load((ROOT / "compose.yaml").read_text()))
    return content


def filled_in(node: Any) -> Any:
    if isinstance(node, dict):
        return {name: filled_in(value) for name, value in node.items()}
    if isinstance(node, list):
        return [filled_in(value) for value in node]
    return VARIABLE.sub(_value, node).replace("$$", "$") if isinstance(node, str) else node


def _value(match: re.Match[str]) -> str:
    name, kind, default = match.groups()
    if name not in SETTINGS and kind != ":-":
        raise AssertionError(f"{name} has no value")
    return SETTINGS.get(name, default)


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found
