"""The words of reports and pictures in the languages there are: English, and what the lists beside this say.

Example: ``words_of("ja")("Summary")`` is the heading in Japanese, ``words_of("ja").told(reason)`` a reason.

A text is looked up as it stands in English, so that English needs no list. What a text leaves open stands in braces; a
translation fills in the same values, in the order of its own grammar. ``<language>.toml`` has the texts that reports
say themselves. ``<language>_told.toml`` has the sentences of detectors, gaps and the graph, which reach a report as
they stand in the tables: there the blanks are found again by their kind, which is the first part of their name.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ENGLISH", "LANGUAGES", "Words", "words_of"]

LANGUAGES = ("en", "ja")
"""Languages of reports and pictures, as BCP 47 names them."""

KINDS = {
    "n": r"[\d.,]+",
    "signed": r"[+-][\d.,]+",
    "share": r"[\d.]+%",
    "p": r"[\d.,e+-]+",
    "power": r"[\d.]+(?:\u00d710[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?",
    "size": r"(?:≥ )?[\d.,]+ (?:[kMGT]?B|s|min|h|requests)|not observed",
    "date": r"\d{4}-\d\d-\d\d \d\d:\d\d",
    "time": r"\d{4}-\d\d-\d\d \d\d:\d\d \S+",
    "host": r"\S+",
    "hosts": r"\S+(?:, \S+)*(?: and \d+ more)?",
    "server": r"\S+(?: \(\S+\))?",
    "word": r"[a-z ]+",
    "text": r".+",
}
"""What stands in a blank of a sentence, by the blank's kind. Only the last two may hold words of ours, and sizes and
hosts: these are translated in their turn. Evidence may be hostile: but for ``text``, no kind lets a search go back and
forth over a long text."""

_AGAIN = frozenset({"size", "hosts", "word", "text"})
_BLANK = re.compile(r"\\\{([a-z]+)(_[a-z]+)?\\\}")
_LONGEST = 4_000
"""A longer text is no sentence of ours. [characters]"""


@dataclass(frozen=True, slots=True)
class Words:
    """What reports and pictures say, in one language.

    Parameters
    ----------
    language
        One of `LANGUAGES`.
    texts
        Translations by English text; one that is missing stays English.
    sentences
        Translations of sentences that are found by their form: what tells the form, and what is said instead.
    joint, comma
        What stands between the parts of a sentence, where English has ``; `` and ``, ``.
    """

    language: str = "en"
    texts: Mapping[str, str] = field(default_factory=dict)
    sentences: tuple[tuple[re.Pattern[str], str], ...] = ()
    joint: str = "; "
    comma: str = ", "

    def __call__(self, text: str, /, **values: object) -> str:
        """Return a text in the language, its values filled in."""
        said = self.texts.get(text, text)
        return said.format(**values) if values else said

    def number(self, count: int, one: str, many: str) -> str:
        """Return the text for one, or that for several; only English has both."""
        return self(one if count == 1 and self.language == "en" else many)

    def told(self, text: str) -> str:
        """Return a sentence of a detector, a gap or the graph in the language.

        Parameters
        ----------
        text
            The sentence in English, as the tables have it. Parts with ``; `` or a dot between them are told one by one.

        Returns
        -------
        str
            The sentence; as it is where the language has none of this form.
        """
        if not self.sentences or len(text) > _LONGEST:
            return text
        return self._found(text) or self._in_parts(text)

    def _found(self, text: str) -> str | None:
        """Return the whole text in the language; None where it has no sentence of this form."""
        if text in self.texts:
            return self.texts[text]
        for form, said in self.sentences:
            if match := form.fullmatch(text):
                values = {
                    name: self.told(value) if name.partition("_")[0] in _AGAIN and value != text else value
                    for name, value in match.groupdict().items()
                }
                return said.format(**values)
        return None

    def _in_parts(self, text: str) -> str:
        dot = " \N{MIDDLE DOT} "
        for separator, joint in (("; ", self.joint), (f" {dot} ", f" {dot} "), (dot, dot)):
            parts = list(_parts(text, separator))
            if len(parts) > 1:
                return joint.join(self.told(part) for part in parts)
        # What stands between commas may be evidence: only a list of sentences of ours is told.
        listed = [self._found(part) for part in text.split(", ")]
        return self.comma.join(map(str, listed)) if all(listed) else text


def _parts(text: str, separator: str) -> Iterator[str]:
    """Yield the parts of a text between separators that no parenthesis holds."""
    begin = depth = 0
    for place, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if place >= begin and depth <= 0 and text.startswith(separator, place):
            yield text[begin:place]
            begin = place + len(separator)
    yield text[begin:]


ENGLISH = Words()


@cache
def words_of(language: str) -> Words:
    """Return the words of a language.

    Parameters
    ----------
    language
        One of `LANGUAGES`.

    Raises
    ------
    ValueError
        There is no report in that language.
    """
    if language not in LANGUAGES:
        raise ValueError(f"no report in the language {language!r}; choose one of {', '.join(LANGUAGES)}")
    if language == "en":
        return ENGLISH
    texts, told = (
        tomllib.loads((files("forensics.words") / f"{language}{part}.toml").read_text("utf-8"))
        for part in ("", "_told")
    )
    # What begins with any text would take for its own what others say more of.
    ordered = sorted(told["sentences"].items(), key=lambda item: item[0].startswith("{text}"))
    sentences = tuple((_form(english), said) for english, said in ordered)
    return Words(language, texts | told["words"], sentences, told["joint"], told["comma"])


def _form(english: str) -> re.Pattern[str]:
    """Return what finds a sentence whose blanks are filled in."""
    return re.compile(_BLANK.sub(lambda blank: _group(blank[1], blank[2] or ""), re.escape(english)), re.DOTALL)


def _group(kind: str, which: str) -> str:
    return f"(?P<{kind}{which}>{KINDS[kind]})"
