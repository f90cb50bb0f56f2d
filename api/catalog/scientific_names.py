"""Scientific names: which ones are well formed, and how they are written.

Binomials and trinomials, hybrids (`×`), and the ranks that botanists write out. What is only written
carelessly is put right (capitals, `x` for `×`, `ssp.` for `subsp.`, spaces); what is no name is refused.
Sources: International Code of Zoological Nomenclature (ICZN 5, 11.2), International Code of Nomenclature for
algae, fungi, and plants (ICN 23, 24, 60, H.1–H.3), International Code of Nomenclature for Cultivated Plants.
"""

import re
import unicodedata

from django.utils.translation import gettext as _

TIMES = "×"
LONGEST = 200  # characters: far longer than any, and short enough to be looked at with care
CULTIVATED = "cv."
#: What is written, without its point, and what should be: from the highest to the lowest (ICN 4, H.3).
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
ORDER = list(dict.fromkeys(RANKS.values()))
#: Latin letters, the diaeresis that botanists keep (`Isoëtes`), and hyphens inside (`c-album`).
WORD = re.compile(r"(?=.{2})[a-zëïöü]+(?:-[a-zëïöü]+)*")
#: A genus alone, as in a formula, may be shortened where it was written out before.
INITIAL = re.compile(r"[A-Za-z]\.")
#: In quotes, which apostrophes inside do not end: `'Cox's Orange Pippin'`.
QUOTED = r"'(?:[^']|'(?=[^\W\d_]))*'"
#: Letters of western languages with their accents, digits, and the marks that cultivars have (ICNCP 21).
CULTIVAR = re.compile(r"[A-Za-zÀ-ÖØ-öø-ž0-9](?:[A-Za-zÀ-ÖØ-öø-ž0-9 .,&!/'-]*[A-Za-zÀ-ÖØ-öø-ž0-9.!])?")
QUOTES = str.maketrans("‘’‛`´", "'''''")
OPEN = {"sp", "spp", "cf", "aff", "nr", "indet", "hybrid", "hyb"}


class NotAName(ValueError):
    """The text is no scientific name; the message says why, for people."""


def normalise(text: str) -> str:
    """The name as it is properly written. Raises NotAName."""
    if len(text) > LONGEST:
        raise NotAName(_("A scientific name is not longer than %(limit)s characters.") % {"limit": LONGEST})
    parents = _parents(_words(text))
    genera = [_genus_of(parent) for parent in parents]
    return f" {TIMES} ".join(_name(parent, genera[:at]) for at, parent in enumerate(parents))


def _words(text: str) -> list[str]:
    text = unicodedata.normalize("NFC", text.strip().translate(QUOTES))
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise NotAName(_("A scientific name has no control characters or line breaks."))
    spaced = text.replace(TIMES, f" {TIMES} ")
    words: list[str] = re.findall(rf"(?<!\S){QUOTED}(?!\S)|\S+", spaced)
    return [TIMES if word in ("x", "X") else word for word in words]


def _parents(words: list[str]) -> list[list[str]]:
    """One name, or the several of a hybrid's formula: `Salix aurita × Salix caprea`.

    `×` belongs to the word after it where that is a genus or the first epithet, or has its rank before it;
    else it stands between two names.
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
    """Genus and epithets, with `×` before the one that is a hybrid. `genera` may be meant by an initial."""
    rest = list(words)
    written = [_genus(rest, genera)]
    epithets, ranks = 0, [-1]
    while rest:
        rank = _rank(rest[0])
        if rank == CULTIVATED or rest[0].startswith("'"):
            written.append(_cultivar(rest))
            return " ".join(written)
        if rank:
            if epithets != 1 or ORDER.index(rank) <= ranks[-1]:
                message = _("“%(rank)s” stands after genus and epithet, and a lower rank after a higher.")
                raise NotAName(message % {"rank": rest[0]})
            ranks.append(ORDER.index(rank))
            written.append(rank)
            rest.pop(0)
        elif len(ranks) > 1 or epithets == 2:
            raise NotAName(_("A third epithet needs its rank before it: subsp., var., f. or cv."))
        elif epithets and _is_author(rest[0], before=words[-len(rest) - 1]):
            message = _("“%(word)s” looks like an author: leave authors out, or begin it small.")
            raise NotAName(message % {"word": rest[0][:50]})
        else:
            epithets += 1
        written.append(_epithet(rest))
    if not epithets:
        raise NotAName(_("A scientific name has a genus and an epithet: write “Panthera leo”."))
    return " ".join(written)


def _is_author(word: str, before: str) -> bool:
    """A capital where the epithet before has none: `Panthera leo Linnaeus`, not `Panthera Leo Persica`."""
    return before.islower() and word.istitle()


def _rank(word: str) -> str:
    """The rank that the word stands for, properly written, or ""."""
    return RANKS.get(word.lower().removesuffix("."), "")


def _genus(rest: list[str], genera: list[str]) -> str:
    """Takes the first word, or two."""
    hybrid = rest[:1] == [TIMES]
    word = "".join(rest[hybrid : hybrid + 1])
    del rest[: hybrid + 1]
    if INITIAL.fullmatch(word):
        meant = {genus for genus in genera if genus[:1] == word[0].upper()}
        word = meant.pop() if len(meant) == 1 else word
    if not word:
        raise NotAName(_("The name ends too early: a genus is missing."))
    if not WORD.fullmatch(word.lower()):
        message = _("“%(word)s” is no genus: it is one word of Latin letters, written out.")
        raise NotAName(message % {"word": word[:50]})
    return (f"{TIMES} " if hybrid else "") + word.lower().capitalize()


def _epithet(rest: list[str]) -> str:
    """Takes the first word, or two."""
    hybrid = rest[:1] == [TIMES]
    word = "".join(rest[hybrid : hybrid + 1]).lower()
    del rest[: hybrid + 1]
    if not word or _rank(word):
        raise NotAName(_("The name ends too early: an epithet is missing."))
    if word.removesuffix(".") in OPEN:
        raise NotAName(_("“%(word)s” leaves the species open: name it.") % {"word": word})
    if not WORD.fullmatch(word):
        message = _("“%(word)s” is no epithet: leave out authors, years and brackets.")
        raise NotAName(message % {"word": word[:50]})
    return (f"{TIMES} " if hybrid else "") + word


def _cultivar(rest: list[str]) -> str:
    """Takes all: nothing comes after a cultivar."""
    ranked = _rank(rest[0]) == CULTIVATED
    name = " ".join(rest[ranked:])
    quoted = re.fullmatch(QUOTED, name)
    name = name[1:-1].strip() if quoted else name
    if not (ranked or quoted) or not CULTIVAR.fullmatch(name) or name.isdigit():
        raise NotAName(
            _("A cultivar is named last, after “cv.” or in single quotes: write “Rosa canina 'Assisi'”.")
        )
    name = name[0].upper() + name[1:]
    return f"'{name}'" if quoted else f"{CULTIVATED} {name}"
