"""The words of the report in the languages it is written in: English, and what ``<language>.toml`` beside this says.

Example: ``words_of("ja")("Summary")`` is the heading in Japanese.

A text is looked up as it stands in English, so that the English report needs no list. What a text leaves open stands in
braces; a translation fills in the same values, in the order of its own grammar.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENGLISH", "LANGUAGES", "Words", "words_of"]

LANGUAGES = ("en", "ja")
"""Languages of the report, as BCP 47 names them."""


@dataclass(frozen=True, slots=True)
class Words:
    """What the report says, in one language.

    Parameters
    ----------
    language
        One of `LANGUAGES`.
    texts
        Translations by English text; one that is missing stays English.
    """

    language: str = "en"
    texts: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, text: str, /, **values: object) -> str:
        """Return a text in the language, its values filled in."""
        said = self.texts.get(text, text)
        return said.format(**values) if values else said

    def number(self, count: int, one: str, many: str) -> str:
        """Return the text for one, or that for several; only English has both."""
        return self(one if count == 1 and self.language == "en" else many)


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
    return Words(language, tomllib.loads((files("forensics.report") / f"{language}.toml").read_text("utf-8")))
