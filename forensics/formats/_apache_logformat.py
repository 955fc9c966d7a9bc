r"""Apache's ``LogFormat`` definitions as layouts, and what an httpd.conf says about the logs beside it.

Example::

    compile_logformat("sized", '%a %l %u %t "%r" %>s %O "%{User-Agent}i" %I %D')

Traps: ``%t`` brings its own brackets, ``%{...}t`` does not, and several of them stand for one time
(``%{%F %T}t.%{usec_frac}t``). ``%U%q`` are two codes for one URL. A condition (``%400,501{Referer}i``) leaves a dash
where it is not met.

References
----------
.. [1] Apache module mod_log_config, https://httpd.apache.org/docs/current/mod/mod_log_config.html
.. [2] Apache module mod_logio, https://httpd.apache.org/docs/current/mod/mod_logio.html: ``%I``, ``%O``, ``%S``.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from forensics.formats._delimited import Dialect
from forensics.formats._layouts import Code, Layout, layout_of
from forensics.formats._lines import text_of
from forensics.formats._times import compile_strftime

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONFS", "KNOWN", "WEB", "compile_logformat", "configured"]

CONFS = ("httpd.conf", "apache2.conf")
"""Names of companion files."""

WEB = Dialect(b" ", quote=b'"', escape=b"\\", brackets=b"[]")
"""How web servers keep fields apart."""

CLIENT = r"(?!- )[^ ,\"\[\]]+"
HOST = r"\[[0-9A-Fa-f:.]+\](?::[0-9]+)?|[^ ,\"\[\]]+"
NUMBER = "[0-9]{1,18}|-"
_TIME = r"[0-3][0-9]/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2} [+-][0-9]{4}"
TIME = Code("time", "time", _TIME, "%d/%b/%Y:%H:%M:%S %z")
"""Time of the common log format, without its brackets."""

_CODES: dict[str, Code] = {
    "a": Code("client", "client", CLIENT),
    "h": Code("named", "client", CLIENT),
    "l": Code("", "ident", r"[^ ,\"\[\]]+"),
    "u": Code("", "user"),
    "A": Code("server", "server address", "[0-9A-Fa-f.:]+|-"),
    "b": Code("body", "reply size", NUMBER),
    "B": Code("body", "reply size", NUMBER),
    "O": Code("received", "reply size", NUMBER),
    "I": Code("sent", "request size", NUMBER),
    "S": Code("", "bytes both ways", NUMBER),
    "D": Code("elapsed", "elapsed time", "-?[0-9]{1,18}|-", unit=1),
    "T": Code("elapsed", "elapsed time", "-?[0-9]{1,11}|-", unit=1_000_000),
    "p": Code("port", "server port", "[0-9]{1,5}|-"),
    "q": Code("", "query", r"(?:\?[^ ]*)?"),
    "r": Code("request", "request"),
    "m": Code("method", "method", "[^ ]+"),
    "U": Code("url", "URL"),
    "H": Code("", "protocol", "[^ ]+"),
    "s": Code("status", "status", "[0-9]{3}|-"),
    "v": Code("vhost", "virtual host", HOST),
    "V": Code("host", "virtual host", HOST),
    "X": Code("", "connection status", "[X+-]"),
    "k": Code("", "requests kept alive", NUMBER),
    "P": Code("", "process", NUMBER),
}  # fmt: skip

_ARGUED: dict[tuple[str, str], Code] = {
    ("a", "c"): Code("named", "client", CLIENT),
    ("h", "c"): Code("named", "client", CLIENT),
    ("T", "us"): Code("elapsed", "elapsed time", "-?[0-9]{1,18}|-", unit=1),
    ("T", "ms"): Code("elapsed", "elapsed time", "-?[0-9]{1,15}|-", unit=1_000),
    ("p", "remote"): Code("client_port", "client port", "[0-9]{1,5}|-"),
    ("i", "referer"): Code("referer", "referer"),
    ("i", "user-agent"): Code("agent", "user agent"),
    ("i", "x-forwarded-for"): Code("forwarded", "X-Forwarded-For"),
    ("i", "host"): Code("host", "host"),
    ("o", "content-type"): Code("content_type", "content type"),
    ("x", "SSL_PROTOCOL"): Code("secure", "version of TLS", "[^ ]+"),
    ("x", "HTTPS"): Code("secure", "HTTPS", "[^ ]+"),
    ("e", "HTTPS"): Code("secure", "HTTPS", "[^ ]+"),
    ("c", "SSL_PROTOCOL"): Code("secure", "version of TLS", "[^ ]+"),
}
"""Codes with an argument; of headers in lower case."""

_UNITS = {"sec": 1_000_000, "msec": 1_000, "usec": 1}
_PARTS = {"msec_frac": 3, "usec_frac": 6}

_CODE = re.compile(
    r"%(?:!?[0-9]{3}(?:,[0-9]{3})*)?[<>]?(?:\{(?P<before>[^}]*)\})?[<>]?(?P<code>\^t[io]|[A-Za-z%])", re.ASCII
)

_COMMON = '%h %l %u %t "%r" %>s %b'
_COMBINED = _COMMON + ' "%{Referer}i" "%{User-Agent}i"'
_OF_HOST = '%V %h - %u %t "%r" %>s %b'

KNOWN: dict[str, str] = {
    "vhost_combined and X-Forwarded-For": _OF_HOST + ' "%{Referer}i" "%{User-Agent}i" "%{X-Forwarded-For}i"',
    "vhost_combined": _OF_HOST + ' "%{Referer}i" "%{User-Agent}i"',
    "vhost_common": _OF_HOST,
    "combined and X-Forwarded-For": _COMBINED + ' "%{X-Forwarded-For}i"',
    "combined": _COMBINED,
    "common": _COMMON,
    "combinedio": _COMBINED + " %I %O",
    "ssl_request": '%t %h %{SSL_PROTOCOL}x %{SSL_CIPHER}x "%r" %b',
}
"""Formats that a log is tried with where nobody says how it is made up. With a virtual host the ident is a dash.
What has more fields comes first: a text that was not escaped may look like several."""


@lru_cache(maxsize=64)
def compile_logformat(name: str, definition: str) -> Layout:
    """Return the layout of a definition.

    Parameters
    ----------
    name
        What it is called.
    definition
        The text between the quotes of ``LogFormat``, its own quotes with or without backslashes.

    Raises
    ------
    ValueError
        If it is no definition, or logs no time or no client, without which no row can be made.
    """
    parts = _one_time(_parts(definition.replace('\\"', '"')))
    roles = {part.role for part in parts if isinstance(part, Code)}
    if not roles & {"time", "epoch"}:
        raise ValueError(f"LogFormat {name!r} logs no time (%t)")
    if not roles & {"client", "named", "forwarded"}:
        raise ValueError(f"LogFormat {name!r} logs no client (%h or %a)")
    if "client" not in roles and "named" not in roles:
        parts = [part._replace(role="listed") if isinstance(part, Code) and part.role == "forwarded" else part
                 for part in parts]  # fmt: skip
    return layout_of(name, parts, WEB)


def _parts(definition: str) -> list[str | Code]:
    """Return the literal texts and codes of a definition."""
    parts, at = list[str | Code](), 0
    whole = re.compile(r"%m %U(?:%q)?(?: %H)?")
    while at < len(definition):
        if found := whole.match(definition, at):
            parts.append(_CODES["r"])
        elif definition.startswith("%U%q", at):
            parts.append(_CODES["U"])
            at += 4
            continue
        elif found := _CODE.match(definition, at):
            parts += _made(found)
        elif definition[at] == "%":
            raise ValueError(f"unknown LogFormat code at {definition[at : at + 12]!r}")
        else:
            parts.append({"n": "\n", "t": "\t"}.get(definition[at + 1 : at + 2], definition[at + 1 : at + 2])
                         if definition[at] == "\\" else definition[at])  # fmt: skip
            at += 2 if definition[at] == "\\" else 1
            continue
        at = found.end()
    return parts


def _made(found: re.Match[str]) -> list[str | Code]:
    """Return what a code writes."""
    letter, argument = found["code"], found["before"]
    if letter == "%":
        return ["%"]
    if letter == "t" and argument is None:
        return ["[", TIME, "]"]
    if letter == "t":
        return [_time(argument)]
    if argument is not None:
        known = _ARGUED.get((letter, argument if letter in "xec" else argument.lower()))
        if known is None and letter not in "pPT":
            return [Code("", f"%{{{argument}}}{letter}")]
        return [known or _CODES[letter]]
    return [_CODES.get(letter, Code("", f"%{letter}"))]


def _time(argument: str) -> Code:
    """Return the code of ``%{argument}t``."""
    which, colon, rest = argument.partition(":")
    moment = rest if colon and which in ("begin", "end") else argument
    ends = which == "end" and bool(colon)
    if moment in _UNITS:
        return Code("epoch", "time", "[0-9]{1,18}", unit=_UNITS[moment], ends=ends)
    if moment in _PARTS:
        return Code("fraction", "fraction of the time", f"[0-9]{{{_PARTS[moment]}}}", ends=ends)
    if moment in ("begin", "end") or not moment:
        return TIME._replace(pattern=rf"\[{_TIME}\]", stamp="[%d/%b/%Y:%H:%M:%S %z]", ends=moment == "end")
    return Code("part", "time", compile_strftime_part(moment), moment, ends=ends)


def compile_strftime_part(text: str) -> str:
    """Return the pattern of a text that ``strftime`` writes, which may be a part of a time only."""
    try:
        return compile_strftime(text).pattern
    except ValueError:
        pattern = compile_strftime(f"%s{text}").pattern
        return pattern.removeprefix(f"(?:{compile_strftime('%s').pattern.removeprefix('(?:').removesuffix(')')})")


def _one_time(parts: list[str | Code]) -> list[str | Code]:
    """Return the parts with the pieces of a time that stand apart put together."""
    places = [i for i, part in enumerate(parts) if isinstance(part, Code) and part.role in ("part", "fraction")]
    if not places:
        return parts
    first, last = places[0], places[-1]
    inner = parts[first : last + 1]
    if any(isinstance(part, Code) and part.role not in ("part", "fraction") for part in inner):
        raise ValueError("the parts of its time (%{...}t) do not follow each other")
    layout = "".join(_layout(part) for part in inner)
    pattern = "".join(part.pattern if isinstance(part, Code) else re.escape(part) for part in inner)
    ends = any(isinstance(part, Code) and part.ends for part in inner)
    return [*parts[:first], Code("time", "time", pattern, layout, ends=ends), *parts[last + 1 :]]


def _layout(part: str | Code) -> str:
    """Return a part of a time as a layout has it."""
    if isinstance(part, str):
        return part.replace("%", "%%")
    return "%f" if part.role == "fraction" else part.stamp


_DIRECTIVE = re.compile(
    r'\s*(LogFormat|CustomLog|TransferLog)\s+("(?:[^"\\]|\\.)*"|\S+)(?:\s+("(?:[^"\\]|\\.)*"|\S+))?'
)


def configured(companions: Mapping[str, bytes]) -> dict[str, str]:
    """Return the formats that an httpd.conf logs with, by name, then those it defines."""
    defined, used = dict[str, str](), list[str]()
    for name in CONFS:
        for line in re.sub(r"\\\r?\n", " ", text_of(companions.get(name, b""))).splitlines():
            found = _DIRECTIVE.match(line)
            if found is None:
                continue
            first, second = (_unquoted(text or "") for text in found.group(2, 3))
            if found[1] == "LogFormat":
                defined[second or "default"] = first
            elif found[1] == "CustomLog":
                used.append(second)
                if "%" in second:
                    defined[second] = second
    return {name: defined[name] for name in dict.fromkeys((*used, *defined)) if name in defined}


def _unquoted(text: str) -> str:
    """Return a word of a configuration."""
    return re.sub(r'\\(["\\])', r"\1", text[1:-1]) if text[:1] == '"' else text
