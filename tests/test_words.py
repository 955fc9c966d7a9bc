"""The words of reports and pictures in other languages than English."""

from __future__ import annotations

import time
from string import Formatter
from tomllib import loads

import pytest

from forensics.words import KINDS, LANGUAGES, Words, words_of
from tests.test_report_forms import ROOT

OTHERS = [language for language in LANGUAGES if language != "en"]
EXAMPLES = {
    "n": "1,234",
    "signed": "+0.9",
    "share": "36%",
    "p": "1.2e-05",
    "power": "2×10⁻⁵",
    "size": "6.54 MB",
    "date": "2015-05-21 08:25",
    "time": "2015-05-21 08:25 JST",
    "host": "10.20.1.49",
    "hosts": "10.20.1.1, 10.20.1.2 and 8 more",
    "server": "198.51.100.116 (www.example)",
    "word": "abc",
    "text": "A.B",
}


def blanks(text: str) -> list[str]:
    """The names of what a sentence leaves open."""
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name)


@pytest.mark.parametrize("language", OTHERS)
def test_every_sentence_is_found_again_with_what_stands_in_it(language: str) -> None:
    """A sentence filled in with examples is told with the same values, and not as another sentence."""
    sentences = loads((ROOT / f"words/{language}_told.toml").read_text("utf-8"))["sentences"]
    words = words_of(language)

    assert set(EXAMPLES) == set(KINDS)
    assert {english for english, said in sentences.items() if blanks(english) != blanks(said)} == set()
    for english, said in sentences.items():
        values = {name: EXAMPLES[name.partition("_")[0]] for name in blanks(english)}
        told = {name: words.told(value) for name, value in values.items()}
        assert words.told(english.format(**values)) == said.format(**told), english


def test_parts_of_a_reason_are_told_one_by_one() -> None:
    """Between semicolons, dots, and commas where all that stands between them is ours; evidence stays as it is."""
    told = words_of("ja").told

    assert told("3.08 kB was to be expected; nothing was answered") == "平常の見込みは 3.08 kB。応答なし"
    assert told("terminal · 2 spikes") == "端末 · 急増 2 件"
    assert told("3 in cookies, 1 in bodies") == "Cookie 3 件、本文 1 件"
    assert told("3 in cookies, relay seen in May") == "3 in cookies, relay seen in May"
    assert told("no rhythm; of (a; b); no rhythm") == "周期性なし。of (a; b)。周期性なし"
    assert told("nobody wrote this") == "nobody wrote this"


def test_what_evidence_wrote_is_no_form() -> None:
    """Braces and backslashes of a name are told as they are."""
    server = "{n}.example"

    assert words_of("ja").told(f"only {server} met \\1, 3 times on 2 days").count(server) == 1


def test_hostile_texts_take_no_time() -> None:
    """Neither long ones nor such as nearly fit many times over."""
    begin = time.perf_counter()
    for text in ("a, " * 1300, "10.0.0.1 (" * 390, "a and 1 more " * 300, "x" * 100_000, "; " * 1900):
        words_of("ja").told(text)

    assert time.perf_counter() - begin < 5


def test_english_needs_no_list() -> None:
    """Everything stays as it is."""
    assert Words().told("no rhythm (+1.0)") == "no rhythm (+1.0)"
