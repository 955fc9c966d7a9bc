"""Requests of proxies and web servers in logs of the W3C extended format.

A proxy names the server in pieces of a URL or in a whole one, a web server is the server itself. What is put together
is made once for each distinct server of a run, not for each line.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.formats._hosts import Target, address_of, name_of, server_of, target
from forensics.formats._sheet import Ints, Words

if TYPE_CHECKING:
    from forensics.formats._elff_columns import Lines
    from forensics.formats._sheet import Bools

__all__ = ["HOST", "METHOD", "URI", "Asked", "asked_of_proxy", "asked_of_server", "put_requests"]

METHOD = ("cs-method", "s-operation", "x-cs-method")
HOST = ("cs-host", "cs(host)", "x-host-header", "r-host")
URI = ("cs-uri", "cs-url", "c-uri")
PATH = ("cs-uri-path", "cs-uri-stem")
AGENT = ("cs(user-agent)", "c-agent")
REFERER = ("cs(referer)", "cs(referrer)")
TYPE = ("rs(content-type)", "sc(content-type)", "cs-mime-type", "x-rs-content-type")


class Asked(NamedTuple):
    """What requests ask for, and of whom.

    Parameters
    ----------
    url
        The URL or target.
    service, name, address, port
        The server, as `forensics.formats._hosts.Target` has it.
    """

    url: pa.Array | None
    service: Words
    name: Words
    address: Words
    port: Ints


def put_requests(
    lines: Lines, asked: Asked, taken: Ints, *, dst: Words, via: Words | str | None, plus: bool = False,
    how: str | None = None, state: Words | None = None, tunnels: Bools | None = None,
) -> None:  # fmt: skip
    """Put the rows of a run into ``exchanges``.

    Parameters
    ----------
    lines
        The run.
    asked
        What its requests ask for.
    taken
        How long they took; the time of a line is the end. [us]
    dst
        Addresses of the servers.
    via
        The proxies.
    plus
        Whether the program writes ``+`` for spaces in headers.
    how
        How names are known; None where they are no rows of ``names``.
    state
        Result codes.
    tunnels
        Rows that are a CONNECT, where the log says so in another field than that of the method.
    """
    end = lines.times()
    method = lines.words(*METHOD, convert=_method)
    if tunnels is not None:
        method = method.otherwise(Words.constant("CONNECT", tunnels))
    lines.sheet.put(
        "exchanges",
        start=lines.began(end, taken),
        end=end,
        src=lines.client(),
        src_port=lines.ports("c-port"),
        dst=dst,
        dst_port=asked.port,
        proto="tcp",
        service=asked.service,
        name=asked.name,
        via=via,
        bytes_out=lines.counts("cs-bytes", what="cs-bytes"),
        bytes_in=lines.counts("sc-bytes", what="sc-bytes"),
        bytes_kind="application",
        state=state,
        host=asked.name.otherwise(asked.address),
        method=method,
        url=asked.url,
        status=_status(lines),
        user_agent=_agent(lines, plus=plus),
        referer=lines.text(*REFERER),
        content_type=lines.words(*TYPE),
        how=None if how is None else Words.constant(how, asked.name.known),
        is_flow=True,
        is_request=method.known,
    )


def _method(text: str) -> str | None:
    """Return a method; of FTP without the number of the session."""
    if text.startswith("["):
        text = text.partition("]")[2]
    return None if text in {"unknown", ""} else text[:64]


def _status(lines: Lines) -> Ints:
    """Return the status codes; what is no code of HTTP is none."""
    status = lines.counts("sc-status")
    return Ints(status.values, status.known & (status.values > 0) & (status.values < 1000))


def _agent(lines: Lines, *, plus: bool) -> pa.Array | None:
    """Return the programs of the clients."""
    if lines.field(*AGENT) is None:
        return None
    return lines.words(*AGENT, convert=_spaced if plus else str).array(pa.string())


def _spaced(text: str) -> str:
    """Return a header with the spaces that the program replaced."""
    return text.replace("+", " ")


def asked_of_proxy(lines: Lines) -> Asked:
    """Return what the requests of a proxy ask for: a whole URL, or its pieces."""
    whole = lines.field(*URI)
    method = lines.field(*METHOD)
    if whole is None:
        return _pieces(lines)
    found = lines.sheet.targets(whole if method is None else method, whole, null=(b"-", b""))
    host = lines.words(*HOST)
    named = ~(found.name.known | found.address.known)
    name, address = host.mapped(name_of).only(named), host.mapped(address_of).only(named)
    return Asked(
        lines.text(*URI),
        found.service,
        found.name.otherwise(name.only(~address.known)),
        found.address.otherwise(address),
        found.port.otherwise(lines.ports("r-port", "cs-uri-port")),
    )


def _pieces(lines: Lines) -> Asked:
    """Return what requests ask for whose URLs are logged in pieces."""
    scheme = lines.words("cs-uri-scheme", "cs-protocol", convert=str.lower)
    host, port = lines.words(*HOST), lines.ports("cs-uri-port", "r-port")
    method = lines.words(*METHOD)
    connect = np.isin(method.codes, [code for code, text in enumerate(method.values) if text == "CONNECT"])
    keys, place = _groups(scheme, host, port, connect)
    found = [_server(*key) for key in keys]
    codes = place.astype(np.int32)
    ports = np.array([asked.port or -1 for _, asked in found] or [-1], np.int64)[codes]
    prefix = Words.of(codes, [text for text, _ in found])
    return Asked(
        _url(lines, prefix, connect),
        Words.of(codes, [asked.service for _, asked in found]),
        Words.of(codes, [asked.name for _, asked in found]),
        Words.of(codes, [asked.address for _, asked in found]),
        Ints(np.maximum(ports, 0), ports > 0),
    )


_Key = tuple[str | None, str | None, int | None, bool]


def _groups(scheme: Words, host: Words, port: Ints, connect: Bools) -> tuple[list[_Key], np.ndarray]:
    """Return the distinct servers of a run, and which one each row asks for."""
    ports = np.where(port.known, port.values, 0)
    both = (scheme.codes.astype(np.int64) + 1) << 48 | (host.codes.astype(np.int64) + 1) << 17 | ports << 1 | connect
    found = pa.array(both).dictionary_encode()
    distinct, place = found.dictionary.to_numpy(), found.indices.to_numpy()
    keys: list[_Key] = []
    for key in distinct.tolist():
        one, two, three = key >> 48, key >> 17 & 0x7FFFFFFF, key >> 1 & 0xFFFF
        keys.append(
            (
                scheme.values[one - 1] if one else None,
                host.values[two - 1] if two else None,
                three or None,
                bool(key & 1),
            )
        )
    return keys, place


@lru_cache(maxsize=65536)
def _server(scheme: str | None, host: str | None, port: int | None, connect: bool) -> tuple[str | None, Target]:  # noqa: FBT001
    """Return the first part of a URL, and the server it asks for."""
    if host is None:
        return None, Target(None, None, None, port)
    plain = f"[{host}]" if ":" in host and not host.startswith("[") and address_of(host) else host
    if connect:
        text = f"{plain}:{port}" if port else plain
        return text, target("CONNECT", text)
    text = f"{scheme or 'http'}://{plain}"
    asked = target("GET", text)
    if port and port != asked.port:
        text, asked = f"{text}:{port}", asked._replace(port=port)
    service = {"ssl": "ssl", "tcp": None}.get(scheme or "", asked.service)
    if scheme is None:
        service = "ssl" if port == 443 else None
    return text, asked._replace(service=service)


def _url(lines: Lines, prefix: Words, connect: Bools) -> pa.Array:
    """Return URLs put together; a CONNECT has no path."""
    path, query = lines.text(*PATH), lines.text("cs-uri-query")
    parts = [prefix.array(pa.string())]
    if path is not None:
        parts.append(_filled(path, ~connect))
    if query is not None:
        queried = _filled(query, ~connect)
        bare = pc.and_(pc.greater(pc.binary_length(queried), 0), pc.invert(pc.starts_with(queried, "?")))
        parts += [pc.if_else(bare, "?", ""), queried]
    return pc.binary_join_element_wise(*parts, "")


def _filled(texts: pa.Array, where: Bools) -> pa.Array:
    """Return texts, empty ones where there is nothing or none is wanted."""
    filled = texts.fill_null("")
    return filled if where.all() else pc.if_else(pa.array(where), filled, "")


def asked_of_server(lines: Lines) -> Asked:
    """Return what the requests of a web server ask for: a path of its own, under a name."""
    host = lines.words("cs-host", "cs(host)", "x-host-header", convert=server_of)
    port = lines.ports("s-port")
    site = lines.words("s-sitename", convert=_site).otherwise(lines.words(*METHOD, convert=_session))
    secure = Words(np.where(port.known & (port.values == 443), 1, 0).astype(np.int32), ("http", "ssl"))
    literal = host.mapped(address_of)
    return Asked(_target(lines), site.otherwise(secure), host.only(~literal.known), literal, port)


def _target(lines: Lines) -> pa.Array | None:
    """Return the targets of the requests of a web server."""
    stem = lines.text(*URI, *PATH)
    query = None if lines.field(*URI) is not None else lines.text("cs-uri-query")
    if stem is None or query is None:
        return stem
    mark = pc.if_else(query.is_valid(), "?", "")
    url = pc.binary_join_element_wise(stem.fill_null(""), mark, query.fill_null(""), "")
    return pc.if_else(pc.or_(stem.is_valid(), query.is_valid()), url, pa.scalar(None, pa.string()))


def _site(text: str) -> str | None:
    """Return the protocol of a site of IIS, where it is not HTTP."""
    text = text.upper()
    return "ftp" if text.startswith(("MSFTPSVC", "FTPSVC")) else "smtp" if text.startswith("SMTPSVC") else None


def _session(text: str) -> str:
    """Return the protocol of a method that bears the number of a session, as only FTP's do."""
    return "ftp" if text.startswith("[") else ""
