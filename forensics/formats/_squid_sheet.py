"""A block of a Squid log, turned into rows of ``exchanges`` and ``names``: what `Reader` does to a line, by columns.

`forensics.formats._squid_rows.Reader` is the whole truth; here is what it says of lines that `cut_by` could cut. A row
with anything unusual in it is left to it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from forensics.formats._cut import ESCAPED
from forensics.formats._hosts import address_of, host_port, name_of
from forensics.formats._sheet import Bools, Field, Ints, Sheet, Targets, Words
from forensics.formats._squid_cut import Plan, plan_of
from forensics.formats._squid_rows import TUNNEL, USED, client_of, peer_of
from forensics.formats._stamps import NO_OFFSET, compile_stamp

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from forensics.formats import Evidence
    from forensics.formats._cut import I32, I64, Cut
    from forensics.formats._squid_logformat import Layout
    from forensics.formats._zones import Clock

__all__ = ["Columns", "columns_of", "put_lines"]

_READ = frozenset(("tl", "tg", *(code for codes in USED.values() for code in codes)))
MINUTE = 60_000_000
MOST_AHEAD = 24 * 60
SLOWLY = "left to the reader of single lines"
MOST_SIZE = 1 << 50


class Columns:
    """Which field of a layout is which column.

    Parameters
    ----------
    layout
        The layout.
    plan
        How its lines are cut.
    """

    def __init__(self, layout: Layout, plan: Plan) -> None:
        self.layout, self.plan = layout, plan
        places = {code: place for place, code in reversed(list(enumerate(layout.codes)))}
        found = {name: next((code for code in codes if code in places), None) for name, codes in USED.items()}
        self._codes = {name: code for name, code in found.items() if code is not None}
        self._places = {name: places[code] for name, code in self._codes.items()}
        self.local = next((code for code in ("tl", "tg") if code in places), None) if "ts" not in places else None
        if self.local:
            self._places["local"] = places[self.local]
        self.wanted = tuple(sorted(set(self._places.values())))
        self.flows = bool({"Ss", ">Hs", "<st", ">st"} & set(places))

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def __getitem__(self, name: str) -> int:
        """Return the number of a column in the cut."""
        return self.wanted.index(self._places[name])

    def undo(self, name: str) -> Callable[[str], str] | None:
        """Return what undoes the encoding of a field."""
        return self.layout.decoders.get(self._codes[name])

    def joined(self, one: str, other: str) -> bool:
        """Tell whether two fields stand side by side with a slash between them, as they are."""
        if one not in self or other not in self or self.undo(one) or self.undo(other):
            return False
        place = self._places[one]
        return self._places[other] == place + 1 and self.layout.items[place].literal == "/"

    @cached_property
    def unit(self) -> int:
        """What one of the subseconds stands for. [us]"""
        return self.layout.items[self._places["subsecond"]].unit

    @cached_property
    def needs_zone(self) -> bool:
        """Whether its times carry no zone."""
        time = self.layout.items[self._places["local"]].time if self.local == "tl" else None
        return time is not None and not time.zoned

    @cached_property
    def stamp(self) -> str:
        """The layout of its written-out times."""
        return self.layout.items[self._places["local"]].layout


@lru_cache(maxsize=64)
def columns_of(layout: Layout) -> Columns | None:
    """Return the columns of a layout, None where its lines are read one by one."""
    plan = plan_of(layout)
    columns = Columns(layout, plan) if plan else None
    used = [code for code in layout.codes if code in _READ]
    if columns is None or len(set(used)) < len(used):
        return None  # of a code that stands twice either field might be read
    return None if "domain" in columns and "url" not in columns else columns


def put_lines(sheet: Sheet, columns: Columns, evidence: Evidence, clock: Clock) -> None:
    """Put the rows of a block into its sheet; what is rejected is for the reader of single lines.

    Parameters
    ----------
    sheet
        Where the fields of its lines are, as `cut_by` found them.
    columns
        The layout that most of them have.
    evidence
        The log.
    clock
        Its clock.
    """
    _Lines(sheet, columns, evidence, clock).put()


class _Lines:
    """The lines of one block, as columns."""

    def __init__(self, sheet: Sheet, columns: Columns, evidence: Evidence, clock: Clock) -> None:
        self._sheet, self._columns, self._evidence, self._clock = sheet, columns, evidence, clock
        rows = sheet.rows
        self._nobody = Words(np.full(rows, -1, np.int32), ())
        self._none = Ints(np.zeros(rows, np.int64), np.zeros(rows, np.bool_))

    def put(self) -> None:
        """Put the rows of all lines into the sheet."""
        sheet, columns = self._sheet, self._columns
        src = self._words("client", client_of)
        sheet.reject(~src.known, SLOWLY)
        method = self._words("method")
        asked = self._asked(method)
        state, status, icp = self._results(method)
        dst = self._servers().otherwise(asked.address)
        port = asked.port.otherwise(self._ports("peer_port", dst.known))
        sni = self._words("sni", name_of)
        name = asked.name.otherwise(sni) if len(sni.values) else asked.name
        sent, received = self._sizes("sent"), self._sizes("received")
        start, end = self._times()
        kept = None if columns.flows else ~icp
        sheet.put(
            "exchanges", kept, start=start, end=end, src=src, src_port=self._ports("client_port"), dst=dst,
            dst_port=port, proto=_chosen(icp, "udp", "tcp"), service=_services(asked.service, sni, icp), name=name,
            via=self._proxies(), bytes_out=sent, bytes_in=received, bytes_kind="application", state=state,
            host=name.otherwise(asked.address), method=method, url=self._text("url"), status=status,
            user_agent=self._text("agent"), referer=self._text("referer"), content_type=self._words("content_type"),
            how=_how(asked.name, sni, icp), is_flow=columns.flows, is_request=~icp,
        )  # fmt: skip
        if len(sni.values):
            both = asked.name.known & sni.known & ~icp
            sheet.put("names", both, time=start, address=dst, name=sni, how="sni", client=src)
        self._count()

    def _count(self) -> None:
        """Count what is worth telling in the notes of the file."""
        sheet, columns = self._sheet, self._columns
        named = self._words("client", _name_of_client)
        if len(named.values):
            sheet.note("clients_by_name", int((named.known & sheet.good).sum()))
        if "forwarded" in columns:
            told = ~sheet.nothing(columns["forwarded"])
            sheet.note("forwarded_for_not_used", int((told & sheet.good).sum()))
        if "elapsed" in columns:
            sheet.note("negative_elapsed", int(((self._elapsed.values < 0) & sheet.good).sum()))

    def _words(self, name: str, convert: Callable[[str], str | None] = str) -> Words:
        """Return a column of texts that repeat; nothing where it is not logged."""
        columns = self._columns
        return self._sheet.words(columns[name], convert, undo=columns.undo(name)) if name in columns else self._nobody

    def _text(self, name: str) -> pa.Array | None:
        """Return a column of texts; None where it is not logged."""
        columns = self._columns
        return self._sheet.text(columns[name], undo=columns.undo(name)) if name in columns else None

    def _sizes(self, name: str) -> Ints | None:
        """Return a column of sizes; None where it is not logged. [B]"""
        columns = self._columns
        return self._sheet.counts(columns[name], what="size", limit=MOST_SIZE) if name in columns else None

    def _ports(self, name: str, where: Bools | None = None) -> Ints:
        """Return a column of ports, or that of some rows."""
        if name not in self._columns:
            return self._none
        ports = self._sheet.counts(self._columns[name], what=None)
        return ports if where is None else Ints(ports.values, ports.known & where)

    def _side_by_side(self, one: str, other: str) -> Field:
        """Return two fields that stand side by side as one."""
        cut, columns = self._sheet.cut, self._columns
        return _column(cut, cut.begin[columns[one]], cut.end[columns[other]]), 0

    def _results(self, method: Words) -> tuple[Words, Ints, Bools]:
        """Return what Squid says it did, the status, and which rows are queries of another cache."""
        sheet, columns = self._sheet, self._columns
        if columns.joined("result", "status"):
            field = self._side_by_side("result", "status")
            state, status = sheet.words(field, _state), sheet.words(field, _status)
        else:
            result, status = self._words("result"), self._words("status")
            if "result" in columns and "status" in columns:
                state = _paired(result, status, _stated)
            else:
                state = result if "result" in columns else status
        numbers = np.array([int(value) for value in status.values] + [0], np.int64)[status.codes]
        icp = _beginning(state, "UDP_") | _beginning(method, "ICP_")
        return state, Ints(numbers, numbers > 0), icp

    def _servers(self) -> Words:
        """Return the addresses of servers that Squid went to itself."""
        columns = self._columns
        if columns.joined("hierarchy", "peer"):
            return self._sheet.words(self._side_by_side("hierarchy", "peer"), _peer)
        if "hierarchy" not in columns or "peer" not in columns:
            return self._nobody
        return _paired(
            self._words("hierarchy"), self._words("peer"), lambda code, peer: peer_of(code or "", peer or "")
        )

    def _proxies(self) -> Words | str:
        """Return the addresses of the proxy; the vantage where it is not logged."""
        vantage = self._evidence.vantage
        if "proxy" not in self._columns:
            return vantage
        proxy = self._words("proxy", address_of)
        return proxy.otherwise(Words(np.zeros(self._sheet.rows, np.int32), (vantage,)))

    def _asked(self, method: Words) -> Targets:
        """Return the servers that are asked for."""
        sheet, columns, cut = self._sheet, self._columns, self._sheet.cut
        if "url" not in columns:
            return Targets(self._nobody, self._nobody, self._nobody, self._none)
        url = columns["url"]
        if "domain" in columns:
            sheet.reject(sheet.nothing(url), SLOWLY)  # the URL may have to be put together
        if columns.undo("url"):
            sheet.reject((cut.flag[url] & ESCAPED) != 0, SLOWLY)
        zeros = np.zeros(cut.rows, np.int32)
        by = columns["method"] if "method" in columns else (_column(cut, zeros, zeros), 0)
        asked = sheet.targets(by, self._tunnelled(method, url))
        bare = ~method.known & ~asked.name.known & ~asked.address.known
        if bare.any():
            sheet.reject(self._tunnels(bare, url), SLOWLY)
        return asked

    def _tunnels(self, where: Bools, url: int) -> Bools:
        """Tell which of some requests without a method may be a CONNECT, which is known by its target alone."""
        cut = self._sheet.cut
        begin, end = (span[url] * where for span in (cut.begin, cut.end))
        return self._sheet.words((_column(cut, begin, end), 0), _tunnel).known

    def _tunnelled(self, method: Words, url: int) -> Field:
        """Return the request targets; what WSA writes around those of a CONNECT is taken off."""
        cut = self._sheet.cut
        rows = np.flatnonzero(_beginning(method, "CONNECT"))
        for place, byte in enumerate(TUNNEL.encode()):
            rows = rows[cut.data[cut.begin[url, rows] + place] == byte]
        rows = rows[cut.end[url, rows] - cut.begin[url, rows] >= len(TUNNEL)]
        if not len(rows):
            return url
        begin, end = cut.begin[url].copy(), cut.end[url].copy()
        begin[rows] += len(TUNNEL)
        end[rows] -= (cut.data[end[rows] - 1] == ord("/")) & (end[rows] > begin[rows])
        return replace(_column(cut, begin, end), flag=cut.flag[url : url + 1]), 0

    @cached_property
    def _elapsed(self) -> Ints:
        """How long requests took. [us]"""
        if "elapsed" not in self._columns:
            return self._none
        return self._sheet.decimals(self._columns["elapsed"], what="elapsed", unit=1000, limit=10**11)

    def _times(self) -> tuple[I64, I64]:
        """Return start and end of the requests; Squid stamps the end. [us]"""
        sheet, columns = self._sheet, self._columns
        took = np.maximum(self._elapsed.values, 0)
        part = sheet.counts(columns["subsecond"], what=None).values * columns.unit if "subsecond" in columns else 0
        began = sheet.decimals(columns["began"], what=None) if "began" in columns else self._none
        if "seconds" in columns:
            end = sheet.counts(columns["seconds"], what="time").values * 1_000_000 + part
        elif columns.local:
            end = self._local_times() + part
        else:
            sheet.reject(~began.known, SLOWLY)
            end = began.values + took
        if "began" not in columns:
            return end - took, end
        known = ~self._elapsed.known & began.known
        return np.where(known, np.minimum(began.values, end), end - took), end

    def _local_times(self) -> I64:
        """Return written-out times in UTC. [us]"""
        sheet, columns = self._sheet, self._columns
        civil = sheet.stamps(columns["local"], compile_stamp(columns.stamp), what="time")
        zoned = civil.offset != NO_OFFSET
        sheet.reject(~civil.known | (zoned & (np.abs(civil.offset) >= MOST_AHEAD)), SLOWLY)
        if columns.local == "tg":
            return civil.local - np.where(zoned, civil.offset, 0).astype(np.int64) * MINUTE
        return self._clock.utc(civil._replace(known=civil.known & sheet.good), (0, ""))


def _name_of_client(text: str) -> str | None:
    """Return the name of a client that is known by a name in place of an address."""
    client = client_of(text)
    return None if client is None or address_of(client) else client


def _column(cut: Cut, begin: I32, end: I32) -> Cut:
    """Return a cut of one column."""
    flag = np.zeros((1, cut.rows), np.uint8)
    return replace(cut, begin=begin.reshape(1, -1), end=end.reshape(1, -1), flag=flag)


def _halves(text: str) -> tuple[str, str]:
    """Return two fields that stand side by side; padding is part of neither."""
    one, _, other = text.partition("/")
    return one, other.lstrip(" ")


def _state(text: str) -> str | None:
    """Return result and status as they are told, of a text that holds both."""
    return _stated(*(None if half == "-" else half for half in _halves(text)))


def _stated(result: str | None, status: str | None) -> str | None:
    """Return result and status as they are told."""
    return f"{result}/{status}" if result and status else result or status


def _status(text: str) -> str | None:
    """Return the status of a text that holds result and status."""
    status = _halves(text)[1]
    return None if status == "-" else status


def _tunnel(text: str) -> str | None:
    """Return a request target that only a CONNECT has."""
    return text if "/" not in text and host_port(text)[1] else None


def _peer(text: str) -> str | None:
    """Return the server's address of a text that holds hierarchy code and peer."""
    return peer_of(*_halves(text))


def _paired(one: Words, other: Words, join: Callable[[str | None, str | None], str | None]) -> Words:
    """Return what becomes of the pairs of values in two columns."""
    width = len(other.values) + 1
    pairs, codes = np.unique((one.codes + np.int64(1)) * width + other.codes + 1, return_inverse=True)
    ones, others = (None, *one.values), (None, *other.values)
    values = [join(ones[pair // width], others[pair % width]) for pair in pairs.tolist()]
    return Words.of(codes.astype(np.int32), values)


def _beginning(words: Words, text: str) -> Bools:
    """Tell which rows begin with a text."""
    found = np.array([value.startswith(text) for value in words.values] + [False], np.bool_)
    return found.take(words.codes, mode="wrap")


def _chosen(where: Bools, one: str, other: str) -> Words:
    """Return one text in some rows, another one in the others."""
    if not where.any():
        return Words(np.zeros(len(where), np.int32), (other,))
    return Words((~where).astype(np.int32), (one, other))


def _services(service: Words, sni: Words, icp: Bools) -> Words:
    """Return the application protocol: of a query, of TLS by its server name, or of what is asked for."""
    if len(sni.values):
        service = Words.constant("ssl", sni.known).otherwise(service)
    if icp.any():
        service = Words.constant("icp", icp).otherwise(service)
    return service


def _how(name: Words, sni: Words, icp: Bools) -> Words:
    """Return how names are known; a query of another cache is no request for one."""
    codes = name.known.astype(np.int32) - np.int32(1)
    if len(sni.values):
        codes += np.int32(2) * (sni.known & ~name.known)
    return Words(codes, ("proxy", "sni")).only(~icp)
