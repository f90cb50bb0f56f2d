"""The commands of docs/hosting.md."""

import re
import textwrap

from tests.support.server import ROOT

PAGE = (ROOT / "docs" / "hosting.md").read_text()
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """Return the text between this heading and the next one."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def commands(title: str, language: str = "bash") -> list[str]:
    """Return the blocks of commands of a section: those in `bash` are run by tests, `console` is not."""
    return [textwrap.dedent(block) for _, name, block in BLOCK.findall(section(title)) if name == language]
