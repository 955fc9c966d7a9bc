r"""Zeek's two ways of writing a log, tab-separated and JSON, read into the same records.

Example of the first lines of a tab-separated log:

.. code-block:: text

    #separator \x09
    #path<TAB>conn
    #fields<TAB>ts<TAB>uid<TAB>id.orig_h<TAB>id.orig_p<TAB>id.resp_h<TAB>id.resp_p<TAB>proto

A record is a dict of texts by field name: an absent key is a field that was not observed. Vectors and sets are lists.

References
----------
.. [1] Zeek, *Zeek Log Formats and Inspection*, https://docs.zeek.org/en/master/log-formats.html
.. [2] RFC 8259, *The JavaScript Object Notation (JSON) Data Interchange Format*.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forensics.formats._lines import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ALIASES", "GROUPS", "Header", "RowError", "elements", "json_record", "json_text", "kind_of", "unescape"]


class RowError(ValueError):
    """A row that cannot be read; the message names the field."""


ALIASES = {
    "id.orig_h": ("id_orig_h", "src", "src_ip"),
    "id.orig_p": ("id_orig_p", "src_port"),
    "id.resp_h": ("id_resp_h", "dst", "dst_ip"),
    "id.resp_p": ("id_resp_p", "dst_port"),
}
"""Other names of the four fields: log shippers dislike the dot, and Zeek's ``default_field_name_map`` renames."""

_PLAIN: dict[str, str] = {alias: name for name, aliases in ALIASES.items() for alias in aliases}

_VECTORS = frozenset(("answers", "tunnel_parents", "resp_mime_types", "san.dns"))
"""The sets and vectors that are used; every other field is taken as one text."""

GROUPS: dict[str, tuple[frozenset[str], ...]] = {
    "conn": (frozenset(("conn_state",)), frozenset(("orig_ip_bytes",))),
    "http": (frozenset(("trans_depth",)),),
    "dns": (frozenset(("trans_id", "qtype")), frozenset(("query", "rcode")), frozenset(("query", "proto"))),
    "ssl": (frozenset(("cipher",)), frozenset(("server_name",)), frozenset(("established", "resumed"))),
    "x509": (frozenset(("certificate.subject",)), frozenset(("certificate.serial",))),
    "files": (frozenset(("fuid", "depth")), frozenset(("fuid", "seen_bytes"))),
}
"""Keys by which a JSON record without ``_path`` is known; any one group is enough."""

_OBJECTS = ("id", "san", "certificate")
"""Objects that some shippers make of fields with a dot in their names."""

_STRAY = re.compile(r"[\udc80-\udcff]")
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|(\\))")

Record = dict[str, str | list[str]]


@dataclass
class Header:
    """What the ``#`` lines of a tab-separated log have said so far; Zeek's defaults until then."""

    separator: str = "\t"
    set_separator: str = ","
    empty: str = "(empty)"
    unset: str = "-"
    path: str = ""
    fields: tuple[str, ...] = ()
    opened: int = 0
    closed: int = 0

    def read(self, line: str) -> None:
        """Take in one ``#`` line; a comment changes nothing."""
        if line.startswith("#separator"):
            text = line.removeprefix("#separator").strip(" \t\r")
            self.separator = unescape(text) or "\t"
            self.opened += 1
            return
        key, *values = line.split(self.separator)
        value = values[0] if values else ""
        if key == "#set_separator":
            self.set_separator = unescape(value) or ","
        elif key == "#empty_field":
            self.empty = value
        elif key == "#unset_field":
            self.unset = value
        elif key == "#path":
            self.path, self.fields = value, ()
        elif key == "#fields":
            self.fields = tuple(_PLAIN.get(name, name) for name in values)
        elif key == "#close":
            self.closed += 1

    def record(self, line: str) -> Record:
        """Return a data row as a record.

        Raises
        ------
        RowError
            If no ``#fields`` line came before it, or it has another number of columns.
        """
        values = line.split(self.separator)
        if len(values) != len(self.fields):
            if not self.fields:
                raise RowError("neither a JSON object nor a row under a #fields line")
            raise RowError(f"row has {len(values)} columns, #fields names {len(self.fields)}")
        found: Record = {}
        unset = self.unset
        for name, value in zip(self.fields, values, strict=True):
            if value == unset:
                continue
            if name in _VECTORS:
                found[name] = self._vector(value)
            else:
                found[name] = "" if value == self.empty else unescape(value)
        return found

    def _vector(self, value: str) -> list[str]:
        """Return the elements of a set or vector that are set."""
        return elements(value, self.set_separator, self.unset, self.empty)


def elements(value: str, separator: str, unset: str, empty: str) -> list[str]:
    """Return the elements of a set or vector that are set."""
    return [] if value == empty else [unescape(part) for part in value.split(separator) if part != unset]


def unescape(text: str) -> str:
    r"""Return text with Zeek's ``\xNN`` and ``\\`` resolved; bytes that are not UTF-8 stay escaped.

    Examples
    --------
    >>> unescape(r"caf\xc3\xa9 \x09")
    'café \t'
    """
    if "\\" not in text:
        return text
    raw = _ESCAPE.sub(lambda m: b"\\" if m[2] else bytes.fromhex(m[1].decode()), text.encode())
    return text_of(raw)


def json_record(line: bytes) -> Record:
    """Return a JSON line as a record; numbers keep their text, so that no digit of a time is lost.

    Raises
    ------
    RowError
        If the line is no JSON object.
    """
    try:
        found: object = json.loads(json_text(line), parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        problem = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise RowError(f"not a JSON object: {problem}") from None
    if not isinstance(found, dict):
        raise RowError("not a JSON object")
    values: dict[str, object] = dict(_flat(found))
    return {_PLAIN.get(key, key): _plain(value) for key, value in values.items() if value is not None}


def _flat(values: dict[str, object]) -> Iterator[tuple[str, object]]:
    """Yield keys and values; what stands in an object whose name is the first part of a field's, too."""
    for key, value in values.items():
        if key in _OBJECTS and isinstance(value, dict):
            yield from ((f"{key}.{inner}", part) for inner, part in value.items())
        else:
            yield key, value


def json_text(line: bytes) -> str:
    r"""Return a line of JSON as text; bytes that are not UTF-8 become ``\\xNN`` in the texts that it holds."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        text = line.decode("utf-8", "surrogateescape")
        return _STRAY.sub(lambda m: f"\\\\x{ord(m[0]) & 0xFF:02x}", text)


def _plain(value: object) -> str | list[str]:
    """Return a JSON value as text or list of texts; what an escape made unspeakable is written as an escape."""
    if isinstance(value, list):
        return [_plain_text(part) for part in value if part is not None]
    return _plain_text(value)


def _plain_text(value: object) -> str:
    """Return a JSON scalar as text that can be encoded."""
    text = value if isinstance(value, str) else str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def kind_of(record: Record) -> str | None:
    """Return the path of a JSON record: its ``_path``, else what its keys tell; None where they tell nothing."""
    path = record.get("_path")
    if isinstance(path, str):
        return path
    if "id.orig_h" not in record and "ts" not in record:
        return None
    keys = record.keys()
    return next((kind for kind, groups in GROUPS.items() if any(group <= keys for group in groups)), None)
