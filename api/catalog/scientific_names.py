"""Validates scientific names and corrects their spelling.

Accepts binomials and trinomials, hybrids (`×`), and botanical ranks. Corrects capitals, spaces, `x` for `×`
and `ssp.` for `subsp.`; refuses everything else.
Sources: International Code of Zoological Nomenclature (ICZN 5, 11.2), International Code of Nomenclature for
algae, fungi, and plants (ICN 23, 24, 60, H.1–H.3), International Code of Nomenclature for Cultivated Plants.
"""

import re
import unicodedata

from django.utils.translation import gettext as _

TIMES = "×"
MAX_LENGTH = 200  # characters: longer than any name, and short enough for the regular expressions below
CULTIVATED = "cv."
#: The accepted spellings of each rank, without the full stop, and the correct one. From the highest rank to
#: the lowest (ICN 4, H.3).
RANKS = {
    "nothosubsp": "nothosubsp.",
    "subsp": "subsp.",
    "ssp": "subsp.",
    "nothovar": "nothovar.",
    "var": "var.",
    "subvar": "subvar.",
    "nothof": "nothof.",
    "f": "f.",
    "forma": "f.",
    "subf": "subf.",
    "cv": CULTIVATED,
}
RANK_ORDER = list(dict.fromkeys(RANKS.values()))
#: Latin letters, the diaeresis, which botanists use (`Isoëtes`), and hyphens inside (`c-album`).
WORD = re.compile(r"(?=.{2})[a-zëïöü]+(?:-[a-zëïöü]+)*")
#: An abbreviated genus, accepted in a hybrid formula if the genus was written out before.
INITIAL = re.compile(r"[A-Za-z]\.")
#: Text in single quotes, which may contain apostrophes: `'Cox's Orange Pippin'`.
QUOTED = r"'(?:[^']|'(?=[^\W\d_]))*'"
#: Letters of western languages with accents, digits, and the punctuation of cultivar names (ICNCP 21).
CULTIVAR = re.compile(r"[A-Za-zÀ-ÖØ-öø-ž0-9](?:[A-Za-zÀ-ÖØ-öø-ž0-9 .,&!/'-]*[A-Za-zÀ-ÖØ-öø-ž0-9.!])?")
QUOTES = str.maketrans("‘’‛`´", "'''''")
#: Open nomenclature, without the full stop: words that leave the species undetermined.
OPEN_NOMENCLATURE = {"sp", "spp", "cf", "aff", "nr", "indet", "hybrid", "hyb"}


class InvalidName(ValueError):
    """The text is not a scientific name. The message is translated and says why."""


def normalise(text: str) -> str:
    """Return the name in its correct spelling. Raises InvalidName."""
    if len(text) > MAX_LENGTH:
        message = _("A scientific name has at most %(limit)s characters.")
        raise InvalidName(message % {"limit": MAX_LENGTH})
    parents = _parents(_words(text))
    genera = [_genus_of(parent) for parent in parents]
    return f" {TIMES} ".join(_name(parent, genera[:at]) for at, parent in enumerate(parents))


def _words(text: str) -> list[str]:
    text = unicodedata.normalize("NFC", text.strip().translate(QUOTES))
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise InvalidName(_("A scientific name has no control characters or line breaks."))
    spaced = text.replace(TIMES, f" {TIMES} ")
    words: list[str] = re.findall(rf"(?<!\S){QUOTED}(?!\S)|\S+", spaced)
    return [TIMES if word in ("x", "X") else word for word in words]


def _parents(words: list[str]) -> list[list[str]]:
    """Split the words into names: one, or the parents of a hybrid formula (`Salix aurita × Salix caprea`).

    `×` belongs to the word after it if that is a genus or the first epithet, or if a rank precedes it.
    Otherwise it separates two names.
    """
    parents: list[list[str]] = [[]]
    for word in words:
        before = parents[-1]
        if word == TIMES and len(before) - before.count(TIMES) > 1 and not _rank(before[-1]):
            parents.append([])
        else:
            before.append(word)
    return parents


def _genus_of(words: list[str]) -> str:
    plain = [word for word in words if word != TIMES]
    return plain[0].capitalize() if plain else ""


def _name(words: list[str], genera: list[str]) -> str:
    """Return the correct spelling of one name. `genera` are the genera that its genus may abbreviate."""
    rest = list(words)
    written = [_genus(rest, genera)]
    epithets, ranks = 0, [-1]
    while rest:
        rank = _rank(rest[0])
        if rank == CULTIVATED or rest[0].startswith("'"):
            written.append(_cultivar(rest))
            return " ".join(written)
        if rank:
            if epithets != 1 or RANK_ORDER.index(rank) <= ranks[-1]:
                message = _("“%(rank)s” must come after genus and epithet, and after any higher rank.")
                raise InvalidName(message % {"rank": rest[0]})
            ranks.append(RANK_ORDER.index(rank))
            written.append(rank)
            rest.pop(0)
        elif len(ranks) > 1 or epithets == 2:
            raise InvalidName(_("A third epithet needs a rank before it: subsp., var., f. or cv."))
        elif epithets and _is_author(rest[0], before=words[-len(rest) - 1]):
            message = _("“%(word)s” looks like an author: leave out authors, or write it in lower case.")
            raise InvalidName(message % {"word": rest[0][:50]})
        else:
            epithets += 1
        written.append(_epithet(rest))
    if not epithets:
        raise InvalidName(_("A scientific name has a genus and an epithet: write “Panthera leo”."))
    return " ".join(written)


def _is_author(word: str, before: str) -> bool:
    """Return True for a capitalised word after a lower-case epithet: `Panthera leo Linnaeus`."""
    return before.islower() and word.istitle()


def _rank(word: str) -> str:
    """Return the correct spelling of the rank, "" if the word is no rank."""
    return RANKS.get(word.lower().removesuffix("."), "")


def _genus(rest: list[str], genera: list[str]) -> str:
    """Remove the genus from `rest`, one word or two with `×`, and return its correct spelling."""
    hybrid = rest[:1] == [TIMES]
    word = "".join(rest[hybrid : hybrid + 1])
    del rest[: hybrid + 1]
    if INITIAL.fullmatch(word):
        matching = {genus for genus in genera if genus[:1] == word[0].upper()}
        word = matching.pop() if len(matching) == 1 else word
    if not word:
        raise InvalidName(_("The name is incomplete: a genus is missing."))
    if not WORD.fullmatch(word.lower()):
        message = _("“%(word)s” is not a genus: write one word of Latin letters, not abbreviated.")
        raise InvalidName(message % {"word": word[:50]})
    return (f"{TIMES} " if hybrid else "") + word.lower().capitalize()


def _epithet(rest: list[str]) -> str:
    """Remove the epithet from `rest`, one word or two with `×`, and return its correct spelling."""
    hybrid = rest[:1] == [TIMES]
    word = "".join(rest[hybrid : hybrid + 1]).lower()
    del rest[: hybrid + 1]
    if not word or _rank(word):
        raise InvalidName(_("The name is incomplete: an epithet is missing."))
    if word.removesuffix(".") in OPEN_NOMENCLATURE:
        message = _("“%(word)s” leaves the species undetermined: write its epithet.")
        raise InvalidName(message % {"word": word})
    if not WORD.fullmatch(word):
        message = _("“%(word)s” is not an epithet: leave out authors, years and brackets.")
        raise InvalidName(message % {"word": word[:50]})
    return (f"{TIMES} " if hybrid else "") + word


def _cultivar(rest: list[str]) -> str:
    """Return the correct spelling of a cultivar, which is all that is left of the name."""
    ranked = _rank(rest[0]) == CULTIVATED
    name = " ".join(rest[ranked:])
    quoted = re.fullmatch(QUOTED, name)
    name = name[1:-1].strip() if quoted else name
    if not (ranked or quoted) or not CULTIVAR.fullmatch(name) or name.isdigit():
        raise InvalidName(
            _("A cultivar is named last, after “cv.” or in single quotes: write “Rosa canina 'Assisi'”.")
        )
    name = name[0].upper() + name[1:]
    return f"'{name}'" if quoted else f"{CULTIVATED} {name}"
