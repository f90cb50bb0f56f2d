"""Escapes control characters in texts of others, which could forge lines or send commands to a terminal."""

import re

#: Control characters except line feed and tab, other line separators, marks that change the direction of
#: text, and lone surrogates.
CONTROL_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def escape(text: str) -> str:
    r"""Return the text with escapes such as `\u001b`, which are valid in JSON. It may have several lines."""
    return CONTROL_CHARACTERS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def printable(text: str) -> str:
    """Return the text as one line, with escapes for line breaks and everything that is not printable."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
