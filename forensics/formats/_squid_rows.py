"""A Squid log's fields, turned into rows of ``flows``, ``requests`` and ``names``.

References
----------
.. [1] Squid wiki, *Squid Log Files*, https://wiki.squid-cache.org/SquidFaq/SquidLogs: result and hierarchy codes.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.formats._hosts import NOWHERE, Target, address_of, host_port, name_of, target
from forensics.formats._squid_logformat import brackets
from forensics.formats._stamps import NO_OFFSET, Civil
from forensics.formats._times import zone_needed

if TYPE_CHECKING:
    import re
    from collections.abc import Callable
    from datetime import tzinfo

    from forensics.formats import Evidence
    from forensics.formats._squid_logformat import Layout
    from forensics.formats._zones import Clock
    from forensics.rows import Rows

__all__ = ["DIRECT", "TUNNEL", "USED", "Reader", "client_of", "peer_of"]

DIRECT = frozenset(
    (
        "HIER_DIRECT", "DIRECT", "CLOSEST_DIRECT", "NO_PARENT_DIRECT", "ANY_OLD_DIRECT",
        "SOURCE_FASTEST", "ORIGINAL_DST", "PINNED",
    )
)  # fmt: skip
"""Hierarchy codes that say: the peer is the server asked for, not another proxy."""

TUNNEL = "tunnel://"
"""What Cisco's WSA writes before the target of a CONNECT, and a slash behind it."""

USED: dict[str, tuple[str, ...]] = {
    "seconds": ("ts",), "subsecond": ("tu",), "elapsed": ("tr",), "began": ("tS",), "client": (">a", ">A"),
    "client_port": (">p",), "result": ("Ss",), "status": (">Hs", "<Hs"), "received": ("<st",), "sent": (">st",),
    "method": (">rm", "rm"), "url": (">ru", "ru"), "hierarchy": ("Sh",), "peer": ("<a", "<A"),
    "peer_port": ("<p",), "proxy": (">la",), "content_type": ("mt", "<h:content-type"), "agent": (">h:user-agent",),
    "referer": (">h:referer",), "forwarded": (">h:x-forwarded-for",), "sni": ("ssl::>sni",), "scheme": (">rs", "<rs"),
    "domain": (">rd", "<rd"), "url_port": (">rP", "<rP"), "path": (">rp", "rp"),
}  # fmt: skip
"""The codes that are used; of several the first that the layout logs."""


class _Fields(NamedTuple):
    """The texts of one line; ``-`` where it is not logged."""

    seconds: str
    subsecond: str
    elapsed: str
    began: str
    client: str
    client_port: str
    result: str
    status: str
    received: str
    sent: str
    method: str
    url: str
    hierarchy: str
    peer: str
    peer_port: str
    proxy: str
    content_type: str
    agent: str
    referer: str
    forwarded: str
    sni: str
    scheme: str
    domain: str
    url_port: str
    path: str


_EXCHANGE = (
    "start", "end", "src", "src_port", "dst", "dst_port", "proto", "service", "name", "via", "bytes_out", "bytes_in",
    "bytes_kind", "state", "vantage", "source", "record", "host", "method", "url", "status", "user_agent", "referer",
    "content_type", "how", "is_flow", "is_request",
)  # fmt: skip
_NAME = ("time", "address", "name", "how", "client", "source", "record")

_Local = tuple[int, "Callable[[str, tzinfo | None], int]", bool]
"""Where a written-out time stands in a line, how it is read, and whether it is on the log's own clock."""


class Reader:
    """Turns the lines of one layout into rows.

    Parameters
    ----------
    layout
        How its lines are split.
    evidence
        The log; what was assumed goes to its notes.
    rows
        Where the rows go.
    clock
        The clock of the log.
    """

    def __init__(self, layout: Layout, evidence: Evidence, rows: Rows, clock: Clock) -> None:
        places = {code: place for place, code in reversed(list(enumerate(layout.codes)))}
        chosen = [next((code for code in codes if code in places), None) for codes in USED.values()]
        self._pick = itemgetter(*(-1 if code is None else places[code] for code in chosen))
        self._decode = [(i, layout.decoders[code]) for i, code in enumerate(chosen) if code in layout.decoders]
        self._layout, self._evidence, self._clock = layout, evidence, clock
        self._unit = layout.items[places["tu"]].unit if "tu" in places else 0
        self._local: _Local | None = None
        if "ts" not in places and (local := next((c for c in ("tl", "tg") if c in places), None)):
            self._local = self._local_time(places[local], local)
        self._flows = bool({"Ss", ">Hs", "<st", ">st"} & set(places))
        self._exchange = rows.appender("exchanges", *_EXCHANGE)
        self._name = rows.appender("names", *_NAME)

    def _local_time(self, place: int, code: str) -> _Local | None:
        """Return where a written-out time stands, how it is read, and whether it is on the log's own clock."""
        time = self._layout.items[place].time
        return None if time is None else (place, time.read, not time.zoned and code == "tl")

    def check_zone(self, number: int, line: str) -> None:
        """Raise `TimezoneNeededError` where the layout writes local times and nobody said of which zone."""
        for item in self._layout.items:
            used = self._local is not None and item.code == "tl" and item.time is not None and not item.time.zoned
            if used and self._evidence.hints.timezone is None:
                raise zone_needed(self._evidence.source, number, line)

    def add(self, number: int, match: re.Match[str]) -> str | None:
        """Put a line into the rows; return the reason where it cannot be read."""
        groups = tuple(text or "-" for text in match.groups("-"))  # an empty field is nothing, too
        fields = _Fields(*self._pick((*groups, "-")))
        if self._decode:
            fields = self._decoded(fields)
        try:
            start, end = self._times(fields, groups)
        except (ValueError, OverflowError) as error:
            return f"time is {error}"
        src = client_of(fields.client)
        if src is None:
            return "client is neither an address nor a host name"
        if address_of(src) is None:
            self._count("clients_by_name")
        if self._layout.mime_headers and groups[-1] != "-":
            fields = _with_headers(fields, groups[-1])
        self._put(number, fields, start, end, src)
        return None

    def _decoded(self, fields: _Fields) -> _Fields:
        """Return the fields with their encodings undone."""
        texts = list(fields)
        for place, decode in self._decode:
            texts[place] = decode(texts[place])
        return _Fields._make(texts)

    def _times(self, fields: _Fields, groups: tuple[str, ...]) -> tuple[int, int]:
        """Return start and end of the request; Squid stamps its end. [us]"""
        elapsed = 0 if fields.elapsed == "-" else int(fields.elapsed) * 1000
        part = int(fields.subsecond) * self._unit if self._unit else 0
        if fields.seconds != "-":
            end = int(fields.seconds) * 1_000_000 + part
        elif self._local is not None:
            place, read, bare = self._local
            end = read(groups[place], None)
            end = (self._clock.utc(_civil(end), (0, "")).item() if bare else end) + part
        else:
            end = _decimal(fields.began) + max(elapsed, 0)
        if elapsed < 0:
            self._count("negative_elapsed")  # the clock was set back during the request
        elif fields.elapsed == "-" and fields.began != "-":
            return min(_decimal(fields.began), end), end
        return end - max(elapsed, 0), end

    def _count(self, note: str) -> None:
        """Count something worth telling in the notes of the file."""
        self._evidence.note(note, 1)

    def _put(self, number: int, fields: _Fields, start: int, end: int, src: str) -> None:
        """Append the rows of one line."""
        source, vantage = self._evidence.source, self._evidence.vantage
        result, method = fields.result, fields.method
        url, (service, name, literal, port) = _asked(fields)
        icp = result[:4] == "UDP_" or method[:4] == "ICP_"
        sni = None if fields.sni == "-" else name_of(fields.sni)
        dst = peer_of(fields.hierarchy, fields.peer) or literal
        if port is None and dst:
            port = _count(fields.peer_port)
        via = vantage if fields.proxy == "-" else address_of(fields.proxy) or vantage
        sent, received = _count(fields.sent), _count(fields.received)
        src_port = _count(fields.client_port)
        if fields.forwarded != "-":
            self._count("forwarded_for_not_used")
        if icp and not self._flows:
            return
        state = fields.status if result == "-" else result if fields.status == "-" else f"{result}/{fields.status}"
        proto, service = ("udp", "icp") if icp else ("tcp", "ssl" if sni else service)
        # a query of another cache is not an HTTP request
        how = None if icp else "proxy" if name else "sni" if sni else None
        self._exchange(
            (start, end, src, src_port, dst, port, proto, service, name or sni, via, sent, received, "application",
             _text(state), vantage, source, number, name or sni or literal, _text(method), url,
             _count(fields.status) or None, _text(fields.agent), _text(fields.referer), _text(fields.content_type),
             how, self._flows, not icp)
        )  # fmt: skip
        if how == "proxy" and sni:
            self._name((start, dst, sni, "sni", src, source, number))


def _civil(local: int) -> Civil:
    """Return one time of a clock whose zone the text does not tell."""
    return Civil(np.array([local], np.int64), np.array([NO_OFFSET], np.int32), np.array([True]))


def _text(field: str) -> str | None:
    """Return a field's text, None where it is not logged."""
    return None if field == "-" else field


def _count(field: str) -> int | None:
    """Return a field's number, None where it is not logged."""
    return None if field == "-" else int(field)


def _decimal(field: str) -> int:
    """Return a time with fraction that the layout's expression has checked. [us]"""
    whole, _, part = field.partition(".")
    if not part:
        raise ValueError("not logged")
    return int(whole) * 1_000_000 + int(part.ljust(6, "0"))


def client_of(field: str) -> str | None:
    """Return the client's address, or its name, which Squid logs under ``log_fqdn``; None where it cannot be one."""
    bare = field.replace("-", "").replace(".", "").replace("_", "")
    return address_of(field) or (name_of(field) if bare.isalnum() and not bare.isdecimal() else None)


def peer_of(hierarchy: str, peer: str) -> str | None:
    """Return the address of the server itself, None where another proxy or nobody was asked."""
    return address_of(peer) if hierarchy.removeprefix("TIMEOUT_") in DIRECT else None


def _asked(fields: _Fields) -> tuple[str | None, Target]:
    """Return the URL and the server it asks for; the URL is put together where it is logged in pieces."""
    url = fields.url
    if url == "-" and fields.domain != "-":
        port = "" if fields.url_port == "-" else f":{fields.url_port}"
        scheme = "" if fields.scheme == "-" else f"{fields.scheme}://"
        url = f"{scheme}{fields.domain}{port}" + ("" if fields.path == "-" else fields.path)
    method = fields.method
    if method == "-" and "/" not in url and host_port(url)[1]:
        method = "CONNECT"  # it is not logged, but only a CONNECT has such a target
    if method == "CONNECT" and url.startswith(TUNNEL):
        return url, target(method, url.removeprefix(TUNNEL).removesuffix("/"))
    return (None, NOWHERE) if url == "-" else (url, target(method, url))


def _with_headers(fields: _Fields, block: str) -> _Fields:
    r"""Return the fields with user agent and referer of the request headers that ``log_mime_hdrs`` appends."""
    lines = (line.partition(":") for line in brackets(block).splitlines())
    headers = {name.lower(): value.strip() for name, _, value in lines}
    return fields._replace(
        agent=headers.get("user-agent") or fields.agent,
        referer=headers.get("referer") or fields.referer,
        forwarded=headers.get("x-forwarded-for") or fields.forwarded,
    )
