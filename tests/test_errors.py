"""The tree of errors: as drawn, catchable as promised, and able to cross process borders."""

from __future__ import annotations

import pickle
import re

import pytest

from forensics import errors
from forensics.errors import (
    CaseError,
    EvidenceError,
    ExpansionLimitError,
    ForensicsError,
    MissingToolError,
    QueryError,
    ReportError,
    TimezoneNeededError,
    UnknownFormatError,
    YearNeededError,
)

EVERY = [
    ForensicsError("x"),
    EvidenceError("a.log", "is torn"),
    UnknownFormatError("a.log", {"zeek": "no header", "pcap": "no magic"}),
    ExpansionLimitError("a.gz", "expands too far", "max_ratio"),
    TimezoneNeededError("a.log", "line 1 carries no zone"),
    YearNeededError("a.log", "line 1 carries no year"),
    CaseError("not a case"),
    QueryError("no such table"),
    ReportError("Chromium did not print it"),
    MissingToolError("tshark is not installed"),
]


def drawn() -> dict[str, tuple[str, str | None]]:
    """Return parent and built-in base of each class as the docstring draws them."""
    found: dict[str, tuple[str, str | None]] = {}
    above: list[str] = ["ForensicsError"]
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ([│ ]*)[├└]── (\w+)(?:.*\((\w+)\)$)?", line)
        if match:
            depth = len(match[1]) // 4 + 1
            above[depth:] = [match[2]]
            found[match[2]] = (above[depth - 1], match[3])
    return found


@pytest.mark.parametrize("error", EVERY, ids=lambda error: type(error).__name__)
def test_errors_pickle(error: ForensicsError) -> None:
    """An error comes out of a worker process as it went in: type, message, attributes and notes."""
    error.add_note("seen in worker 3")

    back = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own bytes

    assert type(back) is type(error)
    assert str(back) == str(error)
    assert back.__dict__ == error.__dict__


def test_the_drawing_is_true() -> None:
    """Every class stands in the drawing under its parent, with the built-in error it can be caught as."""
    drawing = drawn()

    assert {"ForensicsError", *drawing} == set(errors.__all__)
    for name, (parent, builtin) in drawing.items():
        bases = {base.__name__ for base in getattr(errors, name).__bases__}
        assert bases == {parent, *([builtin] if builtin else [])}, name


def test_all_is_complete() -> None:
    """Every public class of the module is exported."""
    assert sorted(errors.__all__) == sorted(type(error).__name__ for error in EVERY)


def test_evidence_errors_name_the_file() -> None:
    """The message begins with the file; file and problem are attributes."""
    error = EvidenceError("gw/access.log", "is torn")

    assert str(error) == "gw/access.log: is torn"
    assert (error.source, error.problem) == ("gw/access.log", "is torn")


def test_unknown_format_says_why_each_declined() -> None:
    """The reasons stand in the message in alphabetical order, and by name in `declined`."""
    error = UnknownFormatError("a.bin", {"zeek": "no header", "pcap": "no magic"})

    assert str(error) == "a.bin: no format recognises this file:\n  pcap: no magic\n  zeek: no header"
    assert error.declined == {"pcap": "no magic", "zeek": "no header"}


def test_limit_is_named() -> None:
    """An expansion error says which limit was met."""
    assert ExpansionLimitError("a.gz", "too large").limit == "max_expanded"
    assert ExpansionLimitError("a.gz", "too dense", "max_ratio").limit == "max_ratio"
