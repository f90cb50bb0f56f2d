"""The pages of the documentation, and what is in them."""

import re
from dataclasses import dataclass
from functools import cached_property

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.server import ROOT


@dataclass(frozen=True)
class Block:
    """A block of code, with the heading above it."""

    page: str
    heading: str
    language: str
    text: str


class Page:
    """A page, named by its path from the root of the repository."""

    def __init__(self, name: str) -> None:
        self.name, self.text = name, (ROOT / name).read_text()

    @cached_property
    def tokens(self) -> list[Token]:
        return MarkdownIt("gfm-like", {"linkify": False}).parse(self.text)

    @cached_property
    def headings(self) -> list[tuple[int, str]]:
        """Each heading with its level."""
        return [
            (int(token.tag[1]), _plain(self.tokens[i + 1]))
            for i, token in enumerate(self.tokens)
            if token.type == "heading_open"
        ]

    @cached_property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub makes them."""
        return {anchor(heading) for _, heading in self.headings}

    @cached_property
    def blocks(self) -> list[Block]:
        found, heading = [], ""
        for i, token in enumerate(self.tokens):
            if token.type == "heading_open":
                heading = _plain(self.tokens[i + 1])
            if token.type == "fence":
                found.append(Block(self.name, heading, token.info.strip(), token.content))
        return found

    def code(self, language: str, heading: str = "") -> list[str]:
        """The texts of the blocks in this language, of one chapter or of all."""
        return [
            block.text
            for block in self.blocks
            if block.language == language and (not heading or block.heading == heading)
        ]

    @cached_property
    def links(self) -> list[str]:
        return [
            str(child.attrs["href"])
            for token in self.tokens
            for child in token.children or ()
            if child.type == "link_open"
        ]

    @cached_property
    def inline(self) -> list[str]:
        """What stands between backticks in the text, each in one line."""
        return [
            re.sub(r"\s+", " ", child.content)
            for token in self.tokens
            for child in token.children or ()
            if child.type == "code_inline"
        ]

    @cached_property
    def paragraphs(self) -> list[str]:
        """The paragraphs outside of lists and tables."""
        return [
            _plain(self.tokens[i + 1])
            for i, token in enumerate(self.tokens)
            if token.type == "paragraph_open" and token.level == 0
        ]

    def chapter(self, heading: str) -> str:
        """The Markdown of a chapter, with what is below it."""
        found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#{{1,2}} |\Z)", self.text, re.M | re.S)
        assert found, f"{self.name} has no chapter {heading!r}"
        return found[2]

    def rows(self, heading: str) -> list[list[str]]:
        """The cells of the tables of a chapter, without their heads."""
        lines = re.findall(r"^\|(.*)\|$", self.chapter(heading), re.MULTILINE)
        rows = [[cell.strip() for cell in line.split("|")] for line in lines]
        heads = {i for i, row in enumerate(rows) if set("".join(row)) <= {"-"}}
        return [row for i, row in enumerate(rows) if i not in heads and i + 1 not in heads]


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def _plain(inline: Token) -> str:
    return "".join(
        "\n" if child.type == "softbreak" else child.content
        for child in inline.children or ()
        if child.type in ("text", "code_inline", "softbreak")
    )


NAMES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
NAMES += ["examples/spa/README.md"]
PAGES = {name: Page(name) for name in NAMES}
README = PAGES["README.md"]
