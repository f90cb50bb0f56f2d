"""Scientific names: which ones are well formed, and how they are written.

Binomials and trinomials, hybrids (`×`), and the ranks that botanists write out. What is only written
carelessly is put right (capitals, `x` for `×`, `ssp.` for `subsp.`, spaces); what is no name is refused.
Sources: International Code of Zoological Nomenclature (ICZN 5, 11.2), International Code of Nomenclature for
algae, fungi, and plants (ICN 23, 24, 60, H.1–H.3), International Code of Nomenclature for Cultivated Plants.
"""

import re
from collections.abc import Iterator

TIMES = "×"
RANKS = {"subsp.": "subsp.", "ssp.": "subsp.", "var.": "var.", "f.": "f.", "forma": "f.", "cv.": "cv."}
#: Latin letters, the diaeresis that botanists keep (`Isoëtes`), and hyphens inside (`bursa-pastoris`).
WORD = re.compile(r"[a-zëïöü]{2,}(?:-[a-zëïöü]+)*", re.IGNORECASE)
CULTIVAR = re.compile(r"'[^\W_][^']*'")
OPEN = {"sp.", "spp.", "cf.", "aff.", "indet.", "hybrid"}


class NotAName(ValueError):
    """The text is no scientific name; the message says why, for people."""


def normalise(text: str) -> str:
    """The name as it is properly written. Raises NotAName."""
    words = _words(text)
    if TIMES in words[2:] and not _is_rank_before(words, words.index(TIMES, 2)):
        at = words.index(TIMES, 2)
        return f"{_name(words[:at])} {TIMES} {_name(words[at + 1 :])}"
    return _name(words)


def _words(text: str) -> list[str]:
    spaced = re.sub(rf"{TIMES}", f" {TIMES} ", text.strip())
    words: list[str] = re.findall(r"'[^']*'|\S+", spaced)
    return [TIMES if word in ("x", "X") else word for word in words]


def _is_rank_before(words: list[str], at: int) -> bool:
    return words[at - 1].lower() in RANKS


def _name(words: list[str]) -> str:
    """Genus and epithets, with `×` before the one that is a hybrid."""
    rest = iter(words)
    written = [_genus(rest)]
    epithets = 0
    for word in rest:
        if word == TIMES:
            written.append(f"{TIMES} {_epithet(next(rest, ''))}")
            epithets += 1
        elif word.lower() in RANKS:
            written.append(_ranked(RANKS[word.lower()], rest))
        elif CULTIVAR.fullmatch(word):
            written.append(word)
        else:
            written.append(_epithet(word))
            epithets += 1
    if len(written) < 2:
        raise NotAName("A scientific name has a genus and an epithet: write “Panthera leo”.")
    if epithets > 2:
        raise NotAName("A third epithet needs its rank before it: subsp., var., f. or cv.")
    return " ".join(written)


def _genus(rest: Iterator[str]) -> str:
    first = next(rest, "")
    hybrid = first == TIMES
    genus = next(rest, "") if hybrid else first
    if not WORD.fullmatch(genus):
        raise NotAName(f"“{genus[:50]}” is no genus: it is one word of Latin letters.")
    return (f"{TIMES} " if hybrid else "") + genus.capitalize()


def _epithet(word: str) -> str:
    if word.lower() in OPEN:
        raise NotAName(f"“{word}” leaves the species open: name it.")
    if not WORD.fullmatch(word):
        raise NotAName(f"“{word[:50]}” is no epithet: leave out authors, years and brackets.")
    return word.lower()


def _ranked(rank: str, rest: Iterator[str]) -> str:
    if rank == "cv.":
        cultivar = " ".join(rest)
        if not cultivar or not re.fullmatch(r"[\w' -]+", cultivar):
            raise NotAName("After “cv.” comes the name of the cultivar.")
        return f"cv. {cultivar}"
    word = next(rest, "")
    if word == TIMES:
        return f"{rank} {TIMES} {_epithet(next(rest, ''))}"
    return f"{rank} {_epithet(word)}"
