"""The locked requirements serve every Python that the README names, not only the one that locked them."""

from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.server import ROOT

PYTHONS = ["3.11.0", "3.11.2", "3.11.7", "3.12.0", "3.13.0", "3.14.0"]


def lines(path: Path) -> list[Requirement]:
    """The requirements of a file, without its comments, options and hashes."""
    stated = [line.partition(" #")[0].rstrip(" \\") for line in path.read_text().splitlines()]
    return [Requirement(line) for line in stated if line[:1].isalnum()]


def needed(stated: list[Requirement], python: dict[str, str]) -> set[str]:
    """Everything that these requirements bring to this Python."""
    names: set[str] = set()
    asked: set[str] = set()
    while stated:
        requirement = stated.pop()
        if str(requirement) in asked:
            continue
        asked.add(str(requirement))
        names.add(canonicalize_name(requirement.name))
        for extra in ("", *requirement.extras):
            stated += [
                found
                for found in map(Requirement, required_by(requirement.name))
                if found.marker is None or found.marker.evaluate({**python, "extra": extra})
            ]
    return names


def required_by(name: str) -> list[str]:
    """What a package says that it requires; nothing if this Python does not need the package."""
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


@pytest.mark.parametrize("name", ["requirements", "requirements-dev"])
@pytest.mark.parametrize("version", PYTHONS)
def test_every_python_finds_what_it_needs_in_the_lock(name: str, version: str):
    python = {"python_full_version": version, "python_version": version.rpartition(".")[0]}
    locked = {
        canonicalize_name(line.name)
        for line in lines(ROOT / f"{name}.txt")
        if line.marker is None or line.marker.evaluate(python)
    }

    assert needed(lines(ROOT / f"{name}.in"), python) == locked
