r"""Templates of Zscaler's Nanolog Streaming Service as layouts: the *feed output format* that an administrator wrote.

Example::

    compile_template(r"%s{time}\t%s{cip}\t%s{reqmethod}\t%s{eurl}\t%d{reqsize}\t%d{respsize}\n")

Traps: there is no fixed order, so that nothing but the template tells the fields, unless an administrator left the
default as it was: `default_of` knows two of them, an older and a newer one, each as CSV in quotes and with tabs. Tabs
keep fields apart best; a template may as well be comma-separated with quotes, ``key=value`` or JSON. Fields whose names
begin with ``e`` are the escaped forms of others, those with ``b64`` are in Base64.

References
----------
.. [1] Zscaler, *General Guidelines for NSS Feeds and Feed Formats*,
   https://help.zscaler.com/unified/general-guidelines-nss-feeds-and-feed-formats
.. [2] Zscaler, *NSS Feed Output Format: Web Logs*, https://help.zscaler.com/zia/nss-feed-output-format-web-logs
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from forensics.formats._delimited import Dialect
from forensics.formats._layouts import Code, Layout, layout_of
from forensics.formats._times import compile_strftime

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["begins_as_feed", "compile_template", "default_of"]

_COUNT = "[0-9]{1,18}|NA|None|N/A|-|"
_TEXT_TIME = "%a %b %d %H:%M:%S %Y"

_CODES: dict[str, Code] = {
    "time": Code("time", "time", compile_strftime("%a %b %e %H:%M:%S %Y").pattern, "%a %b %e %H:%M:%S %Y", ends=True),
    "epochtime": Code("epoch", "time", "[0-9]{9,11}", unit=1_000_000, ends=True),
    "tz": Code("zone", "zone"),
    "cip": Code("client", "client"),
    "cintip": Code("public", "public address of the client"),
    "sip": Code("server", "server address"),
    "reqsize": Code("sent", "request size", _COUNT),
    "respsize": Code("received", "reply size", _COUNT),
    "reqmethod": Code("method", "method"),
    "respcode": Code("status", "status"),
    "proto": Code("protocol", "protocol"),
    "action": Code("state", "action"),
    "ctime": Code("elapsed", "transaction time", _COUNT, unit=1_000),
    **dict.fromkeys(("url", "eurl"), Code("url", "URL")),
    **dict.fromkeys(("host", "ehost"), Code("host", "host")),
    **dict.fromkeys(("ua", "eua"), Code("agent", "user agent")),
    **dict.fromkeys(("referer", "ereferer"), Code("referer", "referer")),
    "contenttype": Code("content_type", "content type"),
    "b64url": Code("url64", "URL"),
    "b64host": Code("host64", "host"),
}  # fmt: skip

_DATE = {
    "yyyy": "%Y",
    "yy": "%Y",
    "mth": "%m",
    "mon": "%b",
    "dd": "%d",
    "hh": "%H",
    "mm": "%M",
    "ss": "%S",
    "day": "%a",
}

_START = ("s{time}", "s{login}", "s{proto}", "s{eurl}", "s{action}", "s{appname}")
_MIDDLE = ("s{urlclass}", "s{urlsupercat}", "s{urlcat}", "s{malwarecat}", "s{threatname}", "d{riskscore}")
_REST = (
    "s{dlpeng}", "s{dlpdict}", "s{location}", "s{dept}", "s{cip}", "s{sip}", "s{reqmethod}", "s{respcode}", "s{eua}",
    "s{ereferer}", "s{ruletype}", "s{rulelabel}", "s{contenttype}", "s{unscannabletype}", "s{deviceowner}",
    "s{devicehostname}", "s{keyprotectiontype}",
)  # fmt: skip
_OLDER = (*_START, "s{appclass}", "d{reqsize}", "d{respsize}", "d{stime}", "d{ctime}", *_MIDDLE, *_REST)
_NEWER = (
    *_START, "s{app_status}", "s{appclass}", "d{reqsize}", "d{respsize}", *_MIDDLE, "s{threatseverity}", *_REST,
)  # fmt: skip
"""The fields of the default feeds of web logs, in their order."""

_ADDRESS = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*|NA|N/A|None")
_DIGITS = re.compile(r"[0-9]{1,18}")
_TIME = re.compile(compile_strftime("%a %b %e %H:%M:%S %Y").pattern)

_FIELD = re.compile(r"%[-0-9]*(?:s|d|u|llu|lu|x)\{(?P<name>\w+)\}", re.ASCII)
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r"}


def default_of(lines: Sequence[str]) -> str | None:
    """Return the template of the default feed that at least half of some lines are of; None where there is none.

    Parameters
    ----------
    lines
        The first lines of a file.
    """
    for names, quote, delimiter in ((n, q, d) for n in (_OLDER, _NEWER) for q, d in (('"', ","), ("", "\t"))):
        fitting = sum(_is_default(_fields(line, quote, delimiter), names) for line in lines)
        if fitting and fitting * 2 >= len(lines):
            return delimiter.replace("\t", r"\t").join(f"{quote}%{name}{quote}" for name in names) + r"\n"
    return None


def begins_as_feed(line: str) -> bool:
    """Tell whether a line begins with a time as feeds have it, behind which a field ends."""
    found = _TIME.match(line.removeprefix('"'))
    return found is not None and line.removeprefix('"')[found.end() : found.end() + 1] in {"\t", ",", '"', "|", ";"}


def _fields(line: str, quote: str, delimiter: str) -> list[str]:
    """Return the fields of a line; as one where not all of them are in quotes, or none is meant to be."""
    if not quote:
        return line.split(delimiter)
    inside = line.removeprefix(quote).removesuffix(quote)
    return inside.split(f"{quote}{delimiter}{quote}") if len(inside) == len(line) - 2 else [line]


def _is_default(fields: list[str], names: tuple[str, ...]) -> bool:
    """Tell whether fields are those of a default feed: numbers and addresses stand where it has them."""
    if len(fields) != len(names) or not _TIME.fullmatch(fields[0]):
        return False
    told = list(zip(names, fields, strict=True))
    numbers = all(_DIGITS.fullmatch(field) for name, field in told if name.startswith("d{"))
    return numbers and all(_ADDRESS.fullmatch(field) for name, field in told if name in {"s{cip}", "s{sip}"})


@lru_cache(maxsize=64)
def compile_template(template: str) -> Layout:
    r"""Return the layout of a template.

    Parameters
    ----------
    template
        The feed output format, with ``\t`` and ``\n`` as written there.

    Raises
    ------
    ValueError
        If it has no fields, or no time or no client, without which no row can be made.
    """
    parts, at = list[str | Code](), 0
    while at < len(template):
        if found := _FIELD.match(template, at):
            name = found["name"]
            date = _DATE.get(name)
            parts.append(Code("part", "time", "[0-9A-Za-z]+", date, ends=True) if date else _of(name))
            at = found.end()
        elif template[at] == "\\" and at + 1 < len(template):
            parts.append(_ESCAPES.get(template[at + 1], template[at + 1]))
            at += 2
        else:
            parts.append(template[at])
            at += 1
    while parts and isinstance(parts[-1], str) and not parts[-1].strip():
        parts.pop()
    parts = _one_date(parts)
    roles = {part.role for part in parts if isinstance(part, Code)}
    if not roles & {"time", "epoch"}:
        raise ValueError("the template has no time (%s{time})")
    if not roles & {"client", "public"}:
        raise ValueError("the template has no client (%s{cip})")
    text = "".join(part if isinstance(part, str) else "x" for part in parts)
    return layout_of("feed output format", parts, _dialect(text))


def _of(name: str) -> Code:
    """Return the code of a field."""
    return _CODES.get(name) or Code("", name)


def _dialect(text: str) -> Dialect:
    """Return how fields are kept apart, by the literal texts of a template."""
    delimiter = next((one for one in ("\t", ",", "|") if one in text), " ")
    return Dialect(delimiter.encode(), quote=b'"', doubled=delimiter == ",")


def _one_date(parts: list[str | Code]) -> list[str | Code]:
    """Return the parts with the pieces of a date put together."""
    places = [i for i, part in enumerate(parts) if isinstance(part, Code) and part.role == "part"]
    if not places:
        return parts
    inner = parts[places[0] : places[-1] + 1]
    if any(isinstance(part, Code) and part.role != "part" for part in inner):
        raise ValueError("the parts of its time do not follow each other")
    layout = "".join(part.stamp if isinstance(part, Code) else part.replace("%", "%%") for part in inner)
    if not {"%Y", "%d", "%H", "%M"} <= set(re.findall("%.", layout)):
        return [part._replace(role="") if isinstance(part, Code) and part.role == "part" else part for part in parts]
    code = Code("time", "time", compile_strftime(layout).pattern, layout, ends=True)
    return [*parts[: places[0]], code, *parts[places[-1] + 1 :]]
