r"""nginx's ``log_format`` definitions as layouts, and what an nginx.conf says about the logs beside it.

Example::

    compile_logformat("sized", '$remote_addr [$time_local] "$request" $status $bytes_sent $request_length')

Traps: variables about upstreams are lists (``192.0.2.7:80, 192.0.2.8:80 : 192.0.2.9:80``), and so is
``$http_x_forwarded_for``, with spaces and often without quotes. ``escape=json`` escapes otherwise, and an empty
variable is nothing there, a dash elsewhere.

References
----------
.. [1] nginx, Module ngx_http_log_module, https://nginx.org/en/docs/http/ngx_http_log_module.html
.. [2] nginx, Alphabetical index of variables, https://nginx.org/en/docs/varindex.html
.. [3] Ingress-NGINX, *Log format*, https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/log-format/
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from forensics.formats._apache_logformat import CLIENT, HOST, NUMBER, TIME, WEB
from forensics.formats._layouts import Code, Layout, Layouts, layout_of
from forensics.formats._lines import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["COMBINED", "CONF", "ONLY", "compile_logformat", "configured", "only_nginx"]

CONF = "nginx.conf"
"""Name of the companion file."""

_SECONDS = r"[0-9]{1,11}(?:\.[0-9]{1,6})?|-"
_UPSTREAM = r"[^ ,]+(?:(?:, | : )[^ ,]+)*"
_LIST = r"[^ ,\"\[\]]+(?:, ?[^ ,\"\[\]]+)+"
_HOST = f"(?:{HOST})?"  # nothing, where the request names none
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:Z|[+-][0-9]{2}:[0-9]{2})"

_FORWARDED = Code("forwarded", "X-Forwarded-For")

_CODES: dict[str, Code] = {
    **dict.fromkeys(("remote_addr", "binary_remote_addr", "the_real_ip"), Code("client", "client", CLIENT)),
    "remote_port": Code("client_port", "client port", "[0-9]{1,5}|-"),
    "remote_user": Code("", "user"),
    "time_local": TIME._replace(ends=True),
    "time_iso8601": Code("time", "time", _DAY, "iso", ends=True),
    "msec": Code("epoch", "time", r"[0-9]{1,11}\.[0-9]{3}", unit=1_000_000, ends=True),
    "request": Code("request", "request"),
    "request_method": Code("method", "method", "[^ ]+"),
    "request_uri": Code("url", "URL"),
    "uri": Code("url", "URL"),
    "status": Code("status", "status", "[0-9]{3}|-"),
    "bytes_sent": Code("received", "reply size", NUMBER),
    "body_bytes_sent": Code("body", "reply size", NUMBER),
    "request_length": Code("sent", "request size", NUMBER),
    "request_time": Code("elapsed", "elapsed time", _SECONDS, unit=1_000_000),
    "http_referer": Code("referer", "referer"),
    "http_user_agent": Code("agent", "user agent"),
    "http_x_forwarded_for": _FORWARDED,
    "proxy_add_x_forwarded_for": Code("listed", "clients"),
    "http_host": Code("host", "host", _HOST),
    "host": Code("host", "host", _HOST),
    "server_name": Code("vhost", "server name", _HOST),
    "server_port": Code("port", "server port", "[0-9]{1,5}|-"),
    "server_addr": Code("server", "server address", "[0-9A-Fa-f.:]+|-"),
    "scheme": Code("secure", "scheme", "[a-z]*|-"),
    "https": Code("secure", "HTTPS", "on|-|"),
    "ssl_protocol": Code("secure", "version of TLS", '[^ "]*'),
    "sent_http_content_type": Code("content_type", "content type"),
    **{f"upstream_{name}": Code("", f"upstream {name}", _UPSTREAM)
       for name in ("addr", "response_length", "response_time", "status", "connect_time", "header_time", "bytes_sent",
                    "bytes_received")},
}  # fmt: skip

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))", re.ASCII)
_URLS = re.compile(r"\$(?:request_)?uri(?:\$is_args\$(?:args|query_string))?(?!\w)")

COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
)
"""The format that nginx has built in."""

_INGRESS = (
    " $request_length $request_time [$proxy_upstream_name] [$proxy_alternative_upstream_name] $upstream_addr"
    " $upstream_response_length $upstream_response_time $upstream_status $req_id"
)
_REST = COMBINED.removeprefix("$remote_addr")

ONLY: dict[str, str] = {
    "ingress": COMBINED + _INGRESS,
    "ingress of old": COMBINED.replace("- $remote_user", "- [$the_real_ip] - $remote_user") + _INGRESS,
    **{
        f"{name}{more}": f"{start}{_REST}{more and end}"
        for name, start in (
            ("list", "$listed_for"), ("list client", "$list_for $remote_addr"),
            ('"list" client', '"$list_for" $remote_addr'), ("host list", "$host $listed_for"),
            ("host list client", "$host $list_for $remote_addr"),
            ('host "list" client', '$host "$list_for" $remote_addr'),
        )
        for more, end in ((" and X-Forwarded-For", ' "$http_x_forwarded_for"'), ("", ""))
    },
}  # fmt: skip
"""Formats that nobody else writes. A list of several clients stands at the front of many."""

_OURS = {
    "listed_for": Code("listed", "X-Forwarded-For", _LIST),
    "list_for": Code("forwarded", "X-Forwarded-For", _LIST),
}


@lru_cache(maxsize=64)
def compile_logformat(name: str, definition: str) -> Layout:
    """Return the layout of a definition.

    Parameters
    ----------
    name
        What it is called.
    definition
        The text of the format, or the whole directive.

    Raises
    ------
    ValueError
        If it logs no time or no client, without which no row can be made.
    """
    text = _text(definition)[1]
    parts, at = list[str | Code](), 0
    while at < len(text):
        found = _URLS.match(text, at)
        if found:
            parts.append(_CODES["uri"])
        elif found := _VARIABLE.match(text, at):
            variable = found[1] or found[2]
            parts.append(
                (_OURS if name in ONLY else {}).get(variable) or _CODES.get(variable) or Code("", f"${variable}")
            )
        else:
            parts.append(text[at])
        at = found.end() if found else at + 1
    roles = {part.role for part in parts if isinstance(part, Code)}
    if not roles & {"time", "epoch"}:
        raise ValueError(f"log_format {name!r} logs no time ($time_local)")
    if not roles & {"client", "listed", "forwarded"}:
        raise ValueError(f"log_format {name!r} logs no client ($remote_addr)")
    if not roles & {"client", "listed"}:
        parts = [part._replace(role="listed") if isinstance(part, Code) and part.role == "forwarded" else part
                 for part in parts]  # fmt: skip
    return layout_of(name, parts, WEB, loose=any(part in _OURS.values() for part in parts))


_DIRECTIVE = re.compile(
    r"""\s*log_format\s+(?P<name>[^\s;]+)\s+(?:escape=(?P<escape>\w+)\s+)?
        (?P<texts>(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s;'"]+|\s+)+);?\s*""",
    re.VERBOSE,
)
_WORD = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s;'"]+)""")
_ACCESS = re.compile(r"^\s*access_log\s+(?!off)[^\s;]+(?:\s+([^\s;=]+))?(?=[\s;])", re.MULTILINE)


def _text(definition: str) -> tuple[str, str]:
    """Return name and text of a definition that may be the whole directive."""
    found = _DIRECTIVE.fullmatch(definition)
    if found is None:
        return "", definition
    words = ("".join(word) for word in _WORD.findall(found["texts"]))
    return found["name"], "".join(re.sub(r"\\(['\"\\])", r"\1", word) for word in words)


def configured(companions: Mapping[str, bytes]) -> dict[str, str]:
    """Return the formats that an nginx.conf logs with, by name, then those it defines."""
    if CONF not in companions:
        return {}
    text = re.sub(r"^\s*#.*$", "", text_of(companions[CONF]), flags=re.MULTILINE)
    defined = dict(_text(found[0]) for found in _DIRECTIVE.finditer(text)) | {"combined": COMBINED}
    used = [name or "combined" for name in _ACCESS.findall(text)]
    return {name: defined[name] for name in dict.fromkeys((*used, *defined)) if name in defined}


@cache
def _only() -> Layouts:
    """Return the layouts that nobody else writes."""
    return Layouts([compile_logformat(name, text) for name, text in ONLY.items()])


def only_nginx(line: bytes) -> bool:
    """Tell whether a line is of a format that nobody else writes."""
    return _only().fitting(line) is not None
