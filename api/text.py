"""Text that people write, in one spelling: composed (NFC) and without invisible characters.

The API's serializers, the admin's forms and the filters of lists share this rule. Two texts that look the
same are then the same, and no name reads otherwise than it is displayed.
"""

import re
import unicodedata
from collections.abc import Iterable
from itertools import groupby, takewhile
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

#: The characters with the Unicode property Default_Ignorable_Code_Point: nothing is displayed for them. It is
#: a part of a character class, for the regular expressions of Python and of PostgreSQL.
IGNORABLE = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    r"\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
INVISIBLE = re.compile(f"[{IGNORABLE}]+")
OVERRIDES = re.compile("[\u202d\u202e]")  # display what follows backwards: `fdp.exe` as `exe.pdf`
NON_JOINER, JOINER = "\u200c", "\u200d"
#: The tags after a black flag that make it the flag of a region, such as Scotland.
BLACK_FLAG, REGION = "\U0001f3f4", re.compile("[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
EMOJI_SELECTORS = "\ufe0e\ufe0f"  # display a symbol as text or as an emoji
SELECTORS = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")
VARIED = "ℹ‼⁉〰"  # emoji in other categories than symbols
KEYS, KEYCAP = "0123456789#*", "\u20e3"
VIRAMA = 9  # the canonical combining class of signs that join Indic consonants
NEARBY = 8  # characters: a letter and its marks
MAX_MARKS = 30  # combining characters in a row (UAX #15, 13): sorting more takes quadratic time


def clean(text: str) -> str:
    """Return the text in NFC, without invisible characters. Raises ValidationError for bidi overrides.

    Joiners, variation selectors and tags are kept where they change what is displayed: in Arabic and Indic
    scripts, variants of characters, and emoji.
    """
    if text.isascii():
        return text
    if found := OVERRIDES.search(text):
        message = _("The character %(code)s, %(name)s, is not accepted, because it reverses the text.")
        params = {"code": f"U+{ord(found[0]):04X}", "name": unicodedata.name(found[0])}
        raise ValidationError(message, code="bidi_override", params=params)
    text = drop_invisible(text)
    if any(is_mark and len(list(run)) > MAX_MARKS for is_mark, run in groupby(text, key=_is_mark)):
        message = _("At most %(limit)s accents are accepted on one letter.")
        raise ValidationError(message, code="too_many_accents", params={"limit": MAX_MARKS})
    return unicodedata.normalize("NFC", text)


def drop_invisible(text: str) -> str:
    """Return the text without characters that display nothing and change nothing that is displayed."""
    return INVISIBLE.sub(_meaningful, text)


def _is_mark(char: str) -> bool:
    return unicodedata.combining(char) > 0


def _meaningful(run: re.Match[str]) -> str:
    """Return which of these invisible characters change the visible ones around them."""
    before = run.string[max(0, run.start() - NEARBY) : run.start()]
    after = run.string[run.end() : run.end() + NEARBY]
    if before.endswith(BLACK_FLAG) and (tags := REGION.match(run[0])):
        return tags[0]
    selector = SELECTORS.search(run[0])
    joiner = re.search(f"[{NON_JOINER}{JOINER}]", run[0])
    kept = selector[0] if selector and _selects(selector[0], before[-1:], after) else ""
    return kept + (joiner[0] if joiner and _joins(joiner[0], before, after) else "")


def _selects(selector: str, before: str, after: str) -> bool:
    """Return True if the character before can have this variant."""
    if not before:
        return False
    category = unicodedata.category(before)
    if selector not in EMOJI_SELECTORS:
        return category in ("Lo", "Sm")
    return category in ("So", "Sm") or before in VARIED or (before in KEYS and after.startswith(KEYCAP))


def _joins(joiner: str, before: str, after: str) -> bool:
    """Return True if the joiner changes the shapes of the characters around it."""
    if not before or _has_virama(reversed(before)) or _has_virama(after):
        return bool(before)
    letter = next((char for char in reversed(before) if unicodedata.bidirectional(char) != "NSM"), "")
    arabic = [char for char in (letter, after[:1]) if char and unicodedata.bidirectional(char) == "AL"]
    if joiner == NON_JOINER:
        return len(arabic) == 2
    is_emoji = unicodedata.category(before[-1]) in ("So", "Sk") and after != ""
    return bool(arabic) or (is_emoji and unicodedata.category(after[0]) in ("So", "Sm"))


def _has_virama(chars: Iterable[str]) -> bool:
    """Return True if a virama is among the marks that come first. Their order depends on normalization."""
    return VIRAMA in map(unicodedata.combining, takewhile(_is_mark, chars))


class TextFormField(forms.CharField):
    """A form field that cleans the text."""

    def to_python(self, value: Any) -> Any:
        return super().to_python(clean(value) if isinstance(value, str) else value)
