r"""What an analyst says about a table: which of its columns are which of ours. Data, never code.

Example: ``description_of(text, "proxy.toml")``, with the text::

    form = "csv"
    timezone = "Europe/Berlin"
    [columns]
    start = { field = "Zeit", format = "%d.%m.%Y %H:%M:%S" }
    src = "Client"
    bytes_out = { field = "gesendet KB", times = 1024 }
    [only]
    Aktion = ["erlaubt"]

References
----------
.. [1] *TOML v1.0.0*, https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from forensics.errors import EvidenceError
from forensics.formats._encodings import known_encoding

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

__all__ = ["COUNTS", "FORMS", "KINDS", "NUMBERS", "OURS", "TIMES", "Column", "TableDescription", "description_of"]

FORMS = ("csv", "tsv", "jsonl", "pairs", "fixed", "arrow")
"""How a table is written; ``fixed`` has a pattern, ``arrow`` is what `forensics.tabular` hands over."""

TIMES = ("start", "end")
COUNTS = ("bytes_out", "bytes_in", "packets_out", "packets_in")
NUMBERS = ("src_port", "dst_port", "status")
OURS = (
    *TIMES, "elapsed", "src", "dst", "name", "url", "proto", "service", "via", "state", "method", "user_agent",
    "referer", "content_type", *COUNTS, *NUMBERS,
)  # fmt: skip
"""The columns that a description may name."""

KINDS = ("frame", "ip", "payload", "application")
_KEYS = ("form", "pattern", "encoding", "delimiter", "timezone", "bytes_kind", "null", "columns", "only")
_COLUMN_KEYS = ("field", "format", "times", "stamps")
_MOST_TIMES = 1 << 40


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    field
        What the table calls it: a name of the header, a key, a path as ``flow.bytes``, a group of the pattern.
    format
        How a time is written: ``iso``, ``epoch``, or in the words of ``strptime``.
    times
        What one of its numbers stands for: 1024 where they are kibibytes. Of ``elapsed`` in seconds: 0.001 for
        milliseconds.
    stamps
        Whether the time that a row has is that of its ``start`` or of its ``end``, which matters with ``elapsed``.
    """

    field: str
    format: str = "iso"
    times: Decimal | float = 1
    stamps: str = "start"


@dataclass(frozen=True, slots=True)
class TableDescription:
    """How a table is read; `description_of` and `forensics.tabular.read_table` make it, and check it.

    Parameters
    ----------
    columns
        Its columns, by our names.
    form
        How it is written, one of `FORMS`.
    pattern
        Of a ``fixed`` table: regular expression of a line, with a named group for each field.
    encoding, timezone
        Encoding of its text, and zone of its times, where it is known.
    delimiter
        What stands between the fields of a CSV; None where its header tells.
    bytes_kind
        What its bytes count, one of `KINDS`.
    null
        What stands for nothing.
    only
        Of some fields the values that a row must have to count.
    """

    columns: Mapping[str, Column]
    form: str = "csv"
    pattern: str | None = None
    encoding: str | None = None
    timezone: tzinfo | None = None
    delimiter: str | None = None
    bytes_kind: str = "application"
    null: tuple[str, ...] = ("", "-")
    only: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the table that are read, each once."""
        return tuple(dict.fromkeys([*(column.field for column in self.columns.values()), *self.only]))


def description_of(text: str | Mapping[str, object], source: str) -> TableDescription:
    """Return a description.

    Parameters
    ----------
    text
        TOML, or what TOML would say.
    source
        Name of the file, for messages.

    Raises
    ------
    EvidenceError
        It is not TOML, or says what no description can; the message says what to write.
    """
    try:
        said = tomllib.loads(text, parse_float=Decimal) if isinstance(text, str) else text
        return _checked(said)
    except tomllib.TOMLDecodeError as error:
        raise EvidenceError(source, f"is not TOML: {error}") from None
    except _DescriptionError as error:
        raise EvidenceError(source, str(error)) from None


class _DescriptionError(ValueError):
    """What is wrong with a description."""


def _checked(said: Mapping[str, object]) -> TableDescription:
    """Return a description, every part of it checked."""
    _known(said, _KEYS, "key")
    columns = said.get("columns")
    if not isinstance(columns, Mapping):
        raise _DescriptionError("has no table [columns], which says which of its columns are which of ours")
    _known(columns, OURS, "column")
    for needed in ("start", "src"):
        if needed not in columns and not (needed == "start" and "end" in columns):
            raise _DescriptionError(f"[columns] has no {needed!r}, without which there is no row")
    pattern, encoding, zone = (_text(said, key) for key in ("pattern", "encoding", "timezone"))
    form = _text(said, "form") or ("fixed" if pattern else "csv")
    made = TableDescription(
        columns={name: _column(name, value) for name, value in columns.items()},
        form=_one_of(form, FORMS, "form"),
        pattern=pattern,
        encoding=_encoding(encoding) if encoding else None,
        timezone=_zone(zone) if zone else None,
        delimiter=_delimiter(_text(said, "delimiter")),
        bytes_kind=_one_of(_text(said, "bytes_kind") or "application", KINDS, "bytes_kind"),
        null=_texts(said.get("null", ["", "-"]), "null"),
        only=_only(said.get("only", {})),
    )
    if (made.form == "fixed") != (pattern is not None):
        raise _DescriptionError("form 'fixed' has a pattern, and no other form has one")
    if pattern is not None:
        _check_pattern(pattern, made.fields)
    return made


def _known(said: Mapping[str, object], known: Iterable[str], what: str) -> None:
    """Refuse a key that is not known, with the nearest that is."""
    for key in said:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            raise _DescriptionError(
                f"unknown {what} {key!r}; " + (f"did you mean {near[0]!r}?" if near else _list(known))
            )


def _list(known: Iterable[str]) -> str:
    """Return what is known, as a sentence."""
    return f"known are {', '.join(known)}"


def _text(said: Mapping[str, object], key: str) -> str | None:
    """Return a text; None where it is not given."""
    value = said.get(key)
    if value is not None and not isinstance(value, str):
        raise _DescriptionError(f"{key} is not a text")
    return value


def _texts(value: object, key: str) -> tuple[str, ...]:
    """Return a list of texts."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise _DescriptionError(f"{key} is not a list of texts")
    return tuple(value)


def _one_of(value: str, known: tuple[str, ...], what: str) -> str:
    """Return a word that is one of a few."""
    if value not in known:
        raise _DescriptionError(f"{what} {value!r} is not known: {_list(known)}")
    return value


def _column(name: str, value: object) -> Column:
    """Return one column."""
    if isinstance(value, Column):
        value = {"field": value.field, "format": value.format, "times": value.times, "stamps": value.stamps}
    if isinstance(value, str):
        value = {"field": value}
    if not isinstance(value, Mapping):
        raise _DescriptionError(f"column {name!r} is neither a text nor a table with 'field'")
    _known(value, _COLUMN_KEYS, f"key of column {name!r}:")
    given = _text(value, "field")
    if not given:
        raise _DescriptionError(f"column {name!r} has no 'field'")
    layout = _text(value, "format") or "iso"
    if name in TIMES:
        _check_layout(name, layout)
    stamps = _one_of(_text(value, "stamps") or ("end" if name == "end" else "start"), TIMES, "stamps")
    return Column(given, layout, _times(name, value.get("times", 1)), stamps)


def _check_layout(name: str, layout: str) -> None:
    """Refuse a layout that tells no time."""
    if layout == "epoch":
        return
    from forensics.formats._stamps import compile_stamp  # here: it loads the compiler of the loops, a third of a second

    try:
        stamp = compile_stamp(layout)
    except ValueError as error:
        raise _DescriptionError(f"format of {name!r}: {error}") from None
    if not stamp.dated or stamp.yearless:
        raise _DescriptionError(f"format of {name!r} holds no date with its year: {layout!r}")


def _times(name: str, value: object) -> Decimal:
    """Return what one stands for."""
    try:
        times = Decimal(str(value))
    except InvalidOperation:
        times = Decimal(0)
    parts = times * 1_000_000 if name == "elapsed" else times
    if isinstance(value, bool) or not (1 <= parts <= _MOST_TIMES and parts == parts.to_integral_value()):
        raise _DescriptionError(
            f"'times' of {name!r} is {value}: it must be a whole number, of 'elapsed' in microseconds"
        )
    if times != 1 and name not in (*COUNTS, "elapsed"):
        raise _DescriptionError(f"'times' does nothing for {name!r}")
    return times


def _encoding(name: str) -> str:
    """Return an encoding."""
    try:
        return known_encoding(name)
    except ValueError as error:
        raise _DescriptionError(str(error)) from None


def _zone(name: str) -> ZoneInfo:
    """Return a zone."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _DescriptionError(f"unknown time zone {name!r}: give an IANA name such as Asia/Tokyo") from None


def _delimiter(text: str | None) -> str | None:
    """Return a delimiter."""
    if text is not None and (len(text) != 1 or not text.isascii() or text in '"\r\n'):
        raise _DescriptionError(f"delimiter {text!r} is not one ASCII character that could stand between fields")
    return text


def _only(said: object) -> dict[str, tuple[str, ...]]:
    """Return which rows count."""
    if not isinstance(said, Mapping):
        raise _DescriptionError("only is not a table of fields with their values")
    return {str(name): _texts(value, f"only.{name}") for name, value in said.items()}


def _check_pattern(pattern: str, fields: tuple[str, ...]) -> None:
    """Refuse a pattern that is none, or lacks a field."""
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise _DescriptionError(f"pattern is no regular expression: {error}") from None
    for name in fields:
        if name not in groups:
            raise _DescriptionError(f"pattern has no group (?P<{name}>...)")
