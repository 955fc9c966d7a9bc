r"""HAProxy's ``log-format`` definitions as layouts: the built-in ones for HTTP, HTTPS and TCP, and any other.

Example::

    compile_logformat("sized", "%ci:%cp [%tr] %ft %b/%s %Ta %ST %B %U %{+Q}r")

Traps: ``%hr`` and ``%hs`` are absent where nothing is captured, with the space behind them, so that a definition with
them is several layouts. Times have no zone, but for ``%T``, ``%Tl``, ``%trg`` and ``%trl``.

References
----------
.. [1] HAProxy configuration manual, section 8.2, https://docs.haproxy.org/2.6/configuration.html#8.2: *Log formats*.
"""

from __future__ import annotations

import re
from functools import lru_cache

from forensics.formats._delimited import Dialect
from forensics.formats._layouts import Code, Layout, layout_of

__all__ = ["KNOWN", "compile_logformat"]

BALANCER = Dialect(b" ", quote=b'"', escape=b"#", brackets=b"[]{}")
"""How HAProxy keeps fields apart; the escape is of its own kind."""

_ADDRESS = r"[0-9A-Fa-f.:]+|unix|-"
_PORT = "[0-9]{1,10}|-"
_COUNT = r"\+?[0-9]{1,18}|-"
_TIMER = r"[+-]?[0-9]{1,15}|-"
_SECOND = r"[0-3][0-9]/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2}"
_LOCAL = Code("time", "time", _SECOND + r"\.[0-9]{3}", "%d/%b/%Y:%H:%M:%S.%f")
_ZONED = Code("time", "time", _SECOND + " [+-][0-9]{4}", "%d/%b/%Y:%H:%M:%S %z")

_CODES: dict[str, Code] = {
    "ci": Code("client", "client", _ADDRESS),
    "cp": Code("client_port", "client port", _PORT),
    "fi": Code("server", "frontend address", _ADDRESS),
    "fp": Code("port", "frontend port", _PORT),
    **dict.fromkeys(("t", "tr"), _LOCAL),
    **dict.fromkeys(("T", "Tl", "trg", "trl"), _ZONED),
    "Ts": Code("epoch", "time", "[0-9]{9,11}", unit=1_000_000),
    **dict.fromkeys(("Ta", "Tt"), Code("elapsed", "elapsed time", _TIMER, unit=1_000)),
    "ft": Code("frontend", "frontend", "[^ ]+"),
    "f": Code("", "frontend", "[^ ]+"),
    "b": Code("", "backend", "[^ /]+"),
    "s": Code("", "server", "[^ ]+"),
    "ST": Code("status", "status", "-?[0-9]{1,3}|-"),
    "B": Code("received", "reply size", _COUNT),
    "U": Code("sent", "request size", _COUNT),
    "ts": Code("state", "termination state", "[A-Za-z-]{2}"),
    "tsc": Code("state", "termination state", "[A-Za-z-]{4}"),
    "r": Code("request", "request"),
    "HM": Code("method", "method", "[^ ]+"),
    "HU": Code("url", "URL"),
    "sslv": Code("secure", "version of TLS", "[^ ]+"),
    **dict.fromkeys(("TR", "Tw", "Tc", "Tr", "Td", "Th", "Ti", "Tq", "Tu"), Code("", "timer", _TIMER)),
    **dict.fromkeys(("ac", "fc", "bc", "sc", "rc", "sq", "bq"), Code("", "counter", _COUNT)),
}  # fmt: skip

_EXPRESSIONS: dict[str, Code] = {
    "src": _CODES["ci"],
    "src_port": _CODES["cp"],
    "dst": _CODES["fi"],
    "dst_port": _CODES["fp"],
    "ssl_fc_sni": Code("vhost", "SNI", "[^ /]*"),
    "req.hdr(host)": Code("host", "host"),
    "req.hdr(user-agent)": Code("agent", "user agent"),
    "req.hdr(x-forwarded-for)": Code("forwarded", "X-Forwarded-For"),
}

_HTTP = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc %sq/%bq %hr %hs %{+Q}r"

KNOWN: dict[str, str] = {
    "https": _HTTP + " %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/%[ssl_fc_is_resumed]"
    " %[ssl_fc_sni]/%sslv/%sslc",
    "http": _HTTP,
    "tcp": "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq",
    "http before 1.7": _HTTP.replace("%TR/%Tw/%Tc/%Tr/%Ta", "%Tq/%Tw/%Tc/%Tr/%Tt"),
}
"""Formats that HAProxy has built in."""

_CODE = re.compile(
    r"%(?:\{(?P<flags>[^}]*)\})?(?:\[(?P<expression>(?:[^\[\]]|\[[^\]]*\])*)\]|(?P<name>[A-Za-z]+|%))", re.ASCII
)
_CAPTURES = ("", "{%captured} ", "{%captured} {%captured} ")


@lru_cache(maxsize=64)
def compile_logformat(name: str, definition: str) -> tuple[Layout, ...]:
    """Return the layouts of a definition: several where captured headers may be absent.

    Parameters
    ----------
    name
        What it is called.
    definition
        The text behind ``log-format``.

    Raises
    ------
    ValueError
        If it is no definition, or logs no time or no client, without which no row can be made.
    """
    text = re.sub(r"\\(.)", r"\1", definition)
    if "%hr %hs " in text:
        variants = [text.replace("%hr %hs ", captured) for captured in _CAPTURES]
    else:
        variants = [text.replace("%hr ", one).replace("%hs ", one) for one in _CAPTURES[: 1 + ("%h" in text)]]
    return tuple(_compiled(name, variant) for variant in dict.fromkeys(variants))


def _compiled(name: str, text: str) -> Layout:
    """Return the layout of one variant."""
    parts, at, quoted = list[str | Code](), 0, False
    while at < len(text):
        found = _CODE.match(text, at)
        if found is None:
            if text[at] == "%":
                raise ValueError(f"unknown log-format code at {text[at : at + 12]!r}")
            parts.append(text[at])
            at += 1
            continue
        at, flags = found.end(), found["flags"] or ""
        if found["name"] == "o":
            quoted = "+Q" in flags or (quoted and "-Q" not in flags)
            at += text.startswith(" ", at)
            continue
        code = _code(found)
        around = '"' if ("+Q" in flags or quoted) and "-Q" not in flags and isinstance(code, Code) else ""
        parts += [around, code, around] if around else [code]
    roles = {part.role for part in parts if isinstance(part, Code)}
    if not roles & {"time", "epoch"}:
        raise ValueError(f"log-format {name!r} logs no time (%tr)")
    if "client" not in roles:
        raise ValueError(f"log-format {name!r} logs no client (%ci)")
    last = [part for part in parts if isinstance(part, Code)][-1]
    return layout_of(name, parts, BALANCER, open_end=last.role in ("request", "url"))


def _code(found: re.Match[str]) -> str | Code:
    """Return what a code writes."""
    name, expression = found["name"], found["expression"]
    if name == "%":
        return "%"
    if name is not None:
        return _CODES.get(name) or Code("", "captured headers" if name == "captured" else f"%{name}")
    return _EXPRESSIONS.get(expression.lower()) or Code("", f"%[{expression}]")
