r"""A block of a Zeek log, tab-separated or JSON, as named columns: both ways of writing look the same from here.

Example::

    table = Columns(Sheet(cut, evidence, words, slowly), places, writing)
    table.sheet.put("names", time=table.time(), name=table.words("query", name_of), how="dns")

References
----------
.. [1] Zeek, *Zeek Log Formats and Inspection*, https://docs.zeek.org/en/master/log-formats.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._cut import ESCAPED, SLOW, Cut
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._hosts import address_of
from forensics.formats._kinds import Named, absent_field, present, strange
from forensics.formats._picked import picked
from forensics.formats._stamps import ISO, NO_OFFSET
from forensics.formats._vocabulary import lawful
from forensics.formats._zeek_log import ALIASES, GROUPS, Header, elements, unescape
from forensics.formats._zeek_rows import certificate_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa

    from forensics.formats._blocks import Block
    from forensics.formats._columns import Bools, Ints
    from forensics.formats._cut import I64
    from forensics.formats._fields import Fields
    from forensics.formats._sheet import Field, Nulls, Sheet
    from forensics.formats._vocabulary import Words

__all__ = ["VECTORS", "Columns", "Writing", "cut_json", "cut_rows", "kinds_of"]

VECTORS = ("tunnel_parents", "answers", "resp_mime_types", "san.dns")
"""Sets and vectors that are used."""

SCALARS = (
    "_path", "ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "ip_proto", "service",
    "duration", "orig_bytes", "resp_bytes", "orig_ip_bytes", "resp_ip_bytes", "orig_pkts", "resp_pkts", "conn_state",
    "history", "missed_bytes", "trans_depth", "method", "host", "uri", "referrer", "user_agent", "status_code",
    "request_body_len", "response_body_len", "trans_id", "qtype", "query", "rcode", "cipher", "server_name",
    "established", "resumed", "ja3", "ja4", "subject", "certificate.subject", "certificate.serial", "fuid", "depth",
    "seen_bytes", "mime_type",
)  # fmt: skip
"""All other fields that are used."""

_BOOLS = ("established", "resumed")
_SHIPPED = tuple(alias for aliases in ALIASES.values() for alias in aliases)
_JSON_FIELDS = SCALARS + VECTORS + _SHIPPED
_JSON_PLACES = {name: place for place, name in enumerate(_JSON_FIELDS)}

_STRAY = re.compile(r"(\\\\)|\\x")
_EARLIEST_MS = 10**11
_OPEN_LIST = ord("[")


class Writing:
    """How a log writes what it holds; one for all blocks under the same header.

    Parameters
    ----------
    header
        What a tab-separated log says of itself; None for JSON.
    """

    def __init__(self, header: Header | None = None) -> None:
        self._header = header
        self.unset = header.unset.encode() if header else b""
        self.nulls: Nulls = (self.unset, header.empty.encode()) if header else b""

    def undo(self, text: str) -> str:
        """Undo the escapes of a text."""
        return unescape(text) if self._header else lawful(str(_loads(f'"{text}"')))

    def elements(self, text: str) -> list[str]:
        """Return the elements of a set or vector, given as it stands in the log."""
        if self._header:
            return elements(text, self._header.set_separator, self._header.unset, self._header.empty)
        found = _loads(text)
        if not isinstance(found, list):
            raise TypeError(text)  # the cutting lets nothing else through
        return [lawful(part if isinstance(part, str) else str(part)) for part in found if part is not None]

    def first(self, text: str) -> str:
        """Return the first element, nothing where there is none."""
        return next(iter(self.elements(text)), "")

    def joined(self, text: str) -> str:
        """Return the elements with line ends between them."""
        return "\n".join(self.elements(text))

    def addresses(self, text: str) -> str:
        """Return the addresses among the elements, each once, with line ends between them."""
        return "\n".join(dict.fromkeys(filter(None, map(address_of, self.elements(text)))))

    def host_names(self, text: str) -> str:
        """Return the names of hosts among the elements, each once, with line ends between them."""
        return "\n".join(dict.fromkeys(filter(None, map(certificate_name, self.elements(text)))))


def _loads(text: str) -> object:
    r"""Return a value of JSON; ``\xNN``, which stands for a byte that is not UTF-8, stays what it is."""
    if "\\x" in text:
        text = _STRAY.sub(lambda found: found[0] if found[1] else r"\\x", text)
    value: object = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    return value


def cut_rows(block: Block, header: Header) -> tuple[Cut, dict[str, int]]:
    """Cut the rows under a header into fields; rows that only the slow way can read are marked so."""
    separator = header.separator.encode()
    lawful_one = len(separator) == 1 and separator not in b'\\\r\n{"'
    cut = delimited(block, Dialect(separator if lawful_one else b"\t", escape=b"\\"), len(header.fields))
    places = {name: place for place, name in enumerate(header.fields)}
    if not lawful_one or len(places) < len(header.fields):
        cut.odd[:] = SLOW
    _leave_out(cut, cut.data[cut.line[:, 0]] == ord("{"))
    return cut, places


def cut_json(block: Block) -> tuple[Cut, Mapping[str, int]]:
    """Find the fields that are used in lines of JSON; lines that only the slow way can read are marked so."""
    cut = picked(block, _JSON_FIELDS)
    slow: Bools = cut.data[cut.line[:, 0]] != ord("{")
    for name in SCALARS + _SHIPPED:
        if name not in _BOOLS:
            slow |= strange(cut, _JSON_PLACES[name])
    for name in VECTORS:
        place = _JSON_PLACES[name]
        slow |= present(cut, place) & ((cut.data[cut.begin[place]] != _OPEN_LIST) | ~strange(cut, place))
    for name, aliases in ALIASES.items():
        slow |= _take_alias(cut, _JSON_PLACES[name], [_JSON_PLACES[alias] for alias in aliases])
    _leave_out(cut, slow)
    return cut, _JSON_PLACES


def _take_alias(cut: Cut, place: int, aliases: list[int]) -> Bools:
    """Take a field from its other names where it has one; tell which records have it more than once."""
    twice: Bools = np.zeros(cut.rows, np.bool_)
    for alias in aliases:
        if (there := present(cut, alias)).any():
            twice |= there & present(cut, place)
            for places in (cut.begin, cut.end, cut.flag):
                places[place] = np.where(there, places[alias], places[place])
    return twice


def _leave_out(cut: Cut, where: Bools) -> None:
    """Leave records to the slow way."""
    cut.odd[where & (cut.odd == 0)] = SLOW


def kinds_of(cut: Cut, fields: Fields, otherwise: str) -> Named:
    """Return which log each record of JSON is of, as `forensics.formats._zeek_log.kind_of` does.

    Parameters
    ----------
    cut, fields
        The records.
    otherwise
        What those are whose keys tell nothing.
    """
    path = fields.words(_JSON_PLACES["_path"], null=b"")
    names = tuple(dict.fromkeys([*path.values, *GROUPS, *filter(None, [otherwise])]))
    which = path.codes.astype(np.int64)
    unknown = which < 0
    told = present(cut, _JSON_PLACES["ts"]) | present(cut, _JSON_PLACES["id.orig_h"])
    for kind, groups in GROUPS.items():
        for group in groups:
            there = unknown & told & present(cut, *(_JSON_PLACES[key] for key in group))
            which[there], unknown = names.index(kind), unknown & ~there
    if otherwise:
        which[unknown] = names.index(otherwise)
    return Named(names, which)


class Columns:
    """The named columns of records of one log.

    Parameters
    ----------
    sheet
        The records; it has a slow way, to which a record goes that cannot be read here.
    places
        The place of each field.
    writing
        How they are written.
    """

    def __init__(self, sheet: Sheet, places: Mapping[str, int], writing: Writing) -> None:
        self.sheet, self._places, self.writing = sheet, places, writing
        self._absent = absent_field(sheet.cut)

    def field(self, name: str) -> Field:
        """Return a field; one that no record has where the log lacks it."""
        return self._places.get(name, self._absent)

    def has(self, name: str) -> bool:
        """Tell whether the log may have a field."""
        return name in self._places

    def escaped(self, name: str) -> Bools:
        """Tell in which records a field has escapes."""
        place = self._places.get(name)
        flags = self.sheet.cut.flag[place] if place is not None else np.zeros(self.sheet.rows, np.uint8)
        found: Bools = flags & ESCAPED != 0
        return found

    def count(self, name: str) -> Ints:
        """Return a column of counts."""
        return self.sheet.counts(self.field(name), what=name, null=self.writing.unset)

    def words(self, name: str, convert: Callable[[str], str | None] = str) -> Words:
        """Return texts that repeat."""
        return self.sheet.words(self.field(name), convert, null=self.writing.nulls, undo=self.writing.undo)

    def listed(self, name: str, convert: Callable[[str], str]) -> Words:
        """Return what becomes of sets and vectors, given as they stand in the log."""
        return self.sheet.words(self.field(name), convert, what=name, kind="a list", null=self.writing.nulls)

    def text(self, name: str) -> pa.Array:
        """Return texts that do not repeat."""
        return self.sheet.text(self.field(name), null=self.writing.nulls, undo=self.writing.undo)

    def address(self, name: str) -> Words:
        """Return addresses; a record that has none is rejected."""
        found = self.words(name, address_of)
        self.sheet.reject(~found.known, f"{name} is not an address")
        return found

    def span(self, name: str) -> I64:
        """Return spans of time, 0 where they are not observed. [us]"""
        found = self.sheet.decimals(self.field(name), what=name, null=self.writing.unset)
        self.sheet.reject(found.values < 0, f"{name} is negative")
        return found.values

    def time(self) -> I64:
        """Return ``ts``: seconds, milliseconds or ISO 8601; a record without it is rejected. [us since 1970]"""
        sheet, field = self.sheet, self.field("ts")
        times, known = sheet.decimals(field, what=None, null=self.writing.unset)
        if not known.all():
            ms = sheet.counts(field, what=None, null=self.writing.unset, limit=10**17, scale=1000)
            is_ms = ms.known & ~known & (ms.values >= _EARLIEST_MS * 1000) & (ms.values < _EARLIEST_MS * 10**5)
            iso = sheet.stamps(field, ISO, what=None, null=self.writing.unset)
            is_iso = iso.known & (iso.offset != NO_OFFSET)
            local = iso.local - iso.offset.astype(np.int64) * 60_000_000
            times = np.where(is_ms, ms.values, np.where(is_iso, local, times))
            known = known | is_ms | is_iso
        sheet.reject(~known | (times < 0), "ts is no time")
        return times
