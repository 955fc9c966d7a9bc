r"""Squid's ``logformat`` definitions, compiled into what splits a line of such a log.

Example::

    layout = compile_logformat("squid", PREDEFINED["squid"])
    layout.split("1286536309.450    180 192.0.2.21 TCP_MISS/200 411 GET http://www.example/ - HIER_NONE/- text/html")

A definition is literal text and codes: ``% [encoding] [-] [[0]width] [.precision] [{argument}] code [{argument}]``.
Each code becomes one part of a regular expression. Parts are possessive and end at the text that follows the code, so
that no line, however hostile, takes more than one pass; only a user name may hold spaces.

Traps: a code inside literal quotes or brackets is encoded as if it had that encoding; Squid's own ``common`` and
``combined`` write headers between quotes *without* escaping them; ``log_mime_hdrs`` adds two bracketed fields to the
predefined formats.

References
----------
.. [1] Squid configuration directive logformat, https://www.squid-cache.org/Doc/config/logformat/
.. [2] RFC 1738, section 2.2: the percent-encoding Squid writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from forensics.formats._times import Strftime, compile_strftime

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PREDEFINED", "TYPED", "Item", "Layout", "Problem", "brackets", "compile_logformat"]

PREDEFINED: dict[str, str] = {
    "squid": "%ts.%03tu %6tr %>a %Ss/%03>Hs %<st %rm %ru %[un %Sh/%<a %mt",
    "common": """%>a %[ui %[un [%tl] "%'rm %'ru %'rv" %>Hs %<st %Ss:%Sh""",
    "combined": """%>a %[ui %[un [%tl] "%'rm %'ru %'rv" %>Hs %<st "%'{Referer}>h" "%'{User-Agent}>h" %Ss:%Sh""",
    "referrer": "%ts.%03tu %>a %{Referer}>h %ru",
    "useragent": """%>a [%tl] "%'{User-Agent}>h\"""",
}
"""The formats that Squid knows by name, as it really writes them: headers unescaped, ``NONE/0.0`` for ``HTTP/%rv``."""

_DEFAULT_TIME = "%d/%b/%Y:%H:%M:%S %z"

_ALIASES = {"Hs": ">Hs", "oa": "<la", ">v": "rv", "us": "un"}

_TITLES = {
    "ts": "time", "tu": "subsecond", "tl": "local time", "tg": "GMT time", "tr": "elapsed", "tS": "start time",
    ">a": "client", ">A": "client", ">p": "client port", "<a": "peer", "<p": "peer port", "Ss": "result code",
    ">Hs": "status", "<Hs": "received status", "<st": "reply size", ">st": "request size", "rm": "method",
    ">rm": "method", "ru": "URL", ">ru": "URL", "un": "user", "ul": "user", "ue": "user", "ui": "ident",
    "Sh": "hierarchy code", "mt": "content type", "rv": "version", ">la": "proxy address", "ssl::>sni": "SNI",
    ">h:user-agent": "user agent", ">h:referer": "referer",
}  # fmt: skip

_NUMBER = ("-?[0-9]{1,18}|-", "is not a number")
_COUNT = ("[0-9]{1,18}|-", "is not a number")
_PORT = (
    "[0-9]{1,4}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]|-",
    "is not a port",
)
_TAG = ("[A-Z][A-Z0-9_]*+|-", "is not a code in capitals")
TYPED: dict[str, tuple[str, str]] = {
    "ts": ("[0-9]{1,10}", "is not a Unix time"),
    "tu": ("[0-9]{1,6}", "is not a number"),
    "tS": (r"[0-9]{1,10}\.[0-9]{1,6}|-", "is not a Unix time"),
    "tr": ("-?[0-9]{1,11}|-", "is not a number"),
    ">Hs": ("[0-9]{1,3}|-", "is not a status"),
    "<Hs": ("[0-9]{1,3}|-", "is not a status"),
    "Ss": _TAG,
    "Sh": _TAG,
    **dict.fromkeys(("<st", ">st"), _COUNT),
    **dict.fromkeys(("st", "<sh", ">sh", "<sH", "<sS", "<bs", "<pt", "<tt", "dt", "sn"), _NUMBER),
    **dict.fromkeys((">p", "<p", ">lp", "<lp", "lp", ">rP", "<rP"), _PORT),
}
"""Pattern of codes that write no free text, and what is said where it is not met."""

_URL_ENCODED = frozenset((">h", "<h", ">ha", ">ru", "<ru", ">rd", "<rd", "et", "ea", "note"))
"""Codes that Squid percent-encodes where the definition asks for no encoding."""

_USERS = frozenset(("un", "ul", "ue"))

_CODE = re.compile(
    r"""%
    (?P<encoding> ["\[\#/'] )?
    (?P<left>     -         )?
    (?P<width>    [0-9]+    )?                  # a leading 0 pads with zeros
    (?: \. (?P<precision> [0-9]+ ) )?
    (?: \{ (?P<before> [^}]* ) \} )?
    (?: http:: )?
    (?P<code> % | (?:ssl|icap|adapt|tcp|transport|proxy_protocol)::[<>]?\w+ | [<>]?(?:
        err_code | err_detail | master_xaction | request_attempts | credentials | handshake | random | nfmark | note
        | byte | eui | qos | la | lp | ha | ts | tu | tl | tg | tr | tS | dt | pt | tt | un | ul | ue | ui | us | Hs
        | bs | Ss | Sh | mt | rm | ru | rp | rv | rs | rd | rP | st | sh | sH | sS | et | ea | sn | oa
        | h | a | p | A | v ) )                 # the codes of one letter last: they begin longer ones
    (?: \{ (?P<after> [^}]* ) \} )?
    """,
    re.VERBOSE,
)

_PADDING = " *"
_MIME_HEADERS = r"(?: \[([^\]]*+)\] \[[^\]]*+\])?"


class Problem(NamedTuple):
    """Why a line is not of a layout.

    Parameters
    ----------
    field
        Which field does not fit, counted from 1 by the spaces between.
    title
        Its name.
    what
        What is wrong with it.
    fitting
        How many fields before it fit that take more than just any text; the nearest layout has most.
    """

    field: int
    title: str
    what: str
    fitting: int

    def __str__(self) -> str:
        return f"field {self.field} ({self.title}) {self.what}"


@dataclass(frozen=True)
class Item:
    """One code of a definition with the literal text that follows it."""

    code: str
    pattern: str
    what: str
    title: str
    decode: Callable[[str], str] | None
    literal: str
    time: Strftime | None = None
    unit: int = 1000  # of %tu [us]
    encoding: str = ""
    layout: str = ""  # of a written-out time
    padded: tuple[bool, bool] = (False, False)  # before and behind
    lazy: bool = False


@dataclass(frozen=True)
class Layout:
    """A compiled definition.

    Parameters
    ----------
    name
        Its name in squid.conf, or ``hints.logformat``.
    start
        Literal text before its first code.
    items
        Its codes in order.
    mime_headers
        Whether two bracketed fields of headers may follow.
    """

    name: str
    start: str
    items: tuple[Item, ...]
    mime_headers: bool = False
    prefixes: dict[int, re.Pattern[str]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """The codes in order; a header's is ``>h:name``, lower case."""
        return tuple(item.code for item in self.items)

    @cached_property
    def split(self) -> Callable[[str], re.Match[str] | None]:
        """Function that splits a line into one group for each code, encoded as they stand."""
        return self._prefix(len(self.items)).fullmatch

    @cached_property
    def decoders(self) -> dict[str, Callable[[str], str]]:
        """What undoes the encoding of a code's text, for codes that have one."""
        return {item.code: item.decode for item in self.items if item.decode}

    def problem(self, line: str) -> Problem:
        """Return which field a line that `split` refuses fails at."""
        count = len(self.items)
        good = next(k for k in range(count, -1, -1) if k == 0 or self._prefix(k).match(line))
        if good == count:
            return self._problem(count - 1, "is not the last: text follows it", good)
        rest = line[found.end() :] if (found := self._prefix(good).match(line)) else ""
        item = self.items[good]
        read = re.match(_PADDING + item.pattern, rest)
        if read is None:
            return self._problem(good, item.what if rest.strip() else "is missing", good)
        if read.end() == len(rest) and good + 1 < count:
            return self._problem(good + 1, "is missing", good)
        return self._problem(good, f"is not followed by {item.literal!r}" if item.literal.strip() else item.what, good)

    def _problem(self, place: int, what: str, good: int) -> Problem:
        """Return what is wrong with the item at a place, after `good` items that fit."""
        before = self.start + "".join("x" + item.literal for item in self.items[:place])
        fitting = sum(item.what != "is missing" for item in self.items[:good])
        return Problem(len((before + "x").split()), self.items[place].title, what, fitting)

    def _prefix(self, count: int) -> re.Pattern[str]:
        """Return the expression of the first `count` fields."""
        if count not in self.prefixes:
            text = _literal(self.start) + "".join(i.pattern + _literal(i.literal) for i in self.items[:count])
            if self.mime_headers and count == len(self.items):
                text += _MIME_HEADERS
            self.prefixes[count] = re.compile(text)
        return self.prefixes[count]


def compile_logformat(name: str, definition: str) -> Layout:
    """Return the compiled form of a definition.

    Parameters
    ----------
    name
        Its name; Squid's own formats may carry the headers that ``log_mime_hdrs`` adds.
    definition
        The text after the name in squid.conf.

    Raises
    ------
    ValueError
        If it is no definition, or logs no time or no client, without which no row can be made.
    """
    start, pieces = _pieces(definition)
    lazy = max((i for i, (m, _, _) in enumerate(pieces) if _code(m) in _USERS), default=None)
    items = []
    for i, (match, quoting, literal) in enumerate(pieces):
        following = _lookahead(*pieces[i + 1][::2]) if i + 1 < len(pieces) else ""
        items.append(_item(match, match["encoding"] or quoting, literal, following, lazy=i == lazy))
    codes = {item.code for item in items}
    if not codes & {"ts", "tl", "tg", "tS"}:
        raise ValueError(f"logformat {name!r} logs no time (%ts, %tl or %tg)")
    if not codes & {">a", ">A"}:
        raise ValueError(f"logformat {name!r} logs no client (%>a)")
    return Layout(name, start, tuple(items), definition == PREDEFINED.get(name))


def _pieces(definition: str) -> tuple[str, list[tuple[re.Match[str], str, str]]]:
    """Split a definition into its first literal, and codes with their quoting context and the literal after them."""
    start, quoting, at = "", "", 0
    pieces: list[tuple[re.Match[str], str, str]] = []
    while at < len(definition):
        match = _CODE.match(definition, at)
        if match is None and definition[at] == "%":
            raise ValueError(f"unknown logformat code at {definition[at : at + 12]!r}")
        if match is None or match["code"] == "%":
            literal = "%" if match else definition[at]
            quoting = _context(quoting, literal)
            if pieces:
                pieces[-1] = (pieces[-1][0], pieces[-1][1], pieces[-1][2] + literal)
            else:
                start += literal
        else:
            pieces.append((match, quoting, ""))
        at = match.end() if match else at + 1
    if not pieces:
        raise ValueError("no logformat code (% ...) in it")
    return start, pieces


def _context(quoting: str, literal: str) -> str:
    """Return the encoding that literal text switches on or off for the codes after it."""
    if literal == '"' and quoting in ("", '"'):
        return "" if quoting else '"'
    if literal == "[" and not quoting:
        return "["
    return "" if literal == "]" and quoting == "[" else quoting


def _code(match: re.Match[str]) -> str:
    """Return a code's name: old ones replaced, a header's with the header."""
    code = _ALIASES.get(match["code"], match["code"])
    argument = match["before"] or match["after"]
    return f"{code}:{argument.lower()}" if argument and code in (">h", "<h", ">ha") else code


def _item(match: re.Match[str], encoding: str, literal: str, following: str, *, lazy: bool) -> Item:
    """Return a code as part of the line's expression."""
    code = _code(match)
    title = _TITLES.get(code, f"%{code}")
    if code in ("tl", "tg"):
        text = match["before"] or match["after"] or _DEFAULT_TIME
        time = compile_strftime(text)
        return Item(code, f"({time.pattern})", "is not a time of its format", title, None, literal, time, layout=text)
    pattern, what = TYPED.get(code, ("", "is missing"))
    if not pattern:
        pattern = r"\S.*?" if lazy else _free(encoding, literal, following)
    pattern = (_PADDING if match["width"] else "") + f"({pattern})" + (_PADDING if match["left"] else "")
    digits = int(match["precision"] or 3)  # %tu writes milliseconds unless told how many digits
    decode = _decoder(code, encoding)
    if match["left"] and what == "is missing":  # free text took the padding in
        decode = _unpadded(decode)
    padded = bool(match["width"]), bool(match["left"])
    return Item(
        code, pattern, what, title, decode and _careful(decode), literal, unit=10 ** max(6 - digits, 0),
        encoding=encoding, padded=padded, lazy=lazy,
    )  # fmt: skip


def _free(encoding: str, literal: str, following: str) -> str:
    """Return the pattern of free text with an encoding that ends where the literal after it begins.

    Only single classes are possessive: Python before 3.11.5 goes wrong on possessive groups (its issue 106052).
    """
    if encoding == "/":
        return r'"[^"\\]*+(?:\\.[^"\\]*+)*"|[^ ]++'
    if not literal:
        return ".*+" if encoding == "'" else "[^ ]++"
    if literal[0] != '"':
        stop = re.escape(literal[0])
        return rf"[^{stop}\\]*+(?:\\.[^{stop}\\]*+)*" if encoding == '"' else f"[^{stop}]++"
    # Squid's own formats write quotes bare: one ends the text only where the rest of the literal follows.
    quote = f'"(?!{_literal(literal[1:])}{following}{"" if following or literal[1:] else "$"})'
    return rf'[^"\\]*+(?:(?:\\.|{quote})[^"\\]*+)*' if encoding == '"' else f'[^"]*+(?:{quote}[^"]*+)*'


def _lookahead(match: re.Match[str], literal: str) -> str:
    """Return the pattern of a code that writes no free text, with the literal after it; nothing for other codes."""
    typed = TYPED.get(_code(match), ("", ""))[0]
    return f"(?:{typed}){_literal(literal)}" if typed else ""


def _literal(text: str) -> str:
    """Return the pattern of literal text; a run of spaces may be of any length, since numbers are padded."""
    return re.sub(r"(?:\\ )+", " ++", re.escape(text))


_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}


def _backslashes(text: str) -> str:
    """Undo quoted-string encoding."""
    if "\\" not in text:
        return text
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), text, flags=re.DOTALL)


def brackets(text: str) -> str:
    """Undo the encoding of bracketed text: percent-escapes, line ends, doubled backslashes."""
    return unquote(_backslashes(text)) if "\\" in text or "%" in text else text


def _shell(text: str) -> str:
    """Undo shell-like encoding."""
    return _backslashes(text[1:-1]) if len(text) > 1 and text[0] == text[-1] == '"' else text


@cache
def _careful(decode: Callable[[str], str]) -> Callable[[str], str]:
    """Return a decoder that leaves alone what would then look like nothing: the client's own ``%2D`` is no ``-``."""

    def decoded(text: str) -> str:
        found = decode(text)
        return text if found in ("", "-") else found

    return decoded


def _unpadded(decode: Callable[[str], str] | None) -> Callable[[str], str]:
    """Return a decoder that takes spaces off the end first."""
    return lambda text: decode(text.rstrip(" ")) if decode else text.rstrip(" ")


def _decoder(code: str, encoding: str) -> Callable[[str], str] | None:
    """Return what undoes a code's encoding; URLs keep their percent-escapes, which are the client's own."""
    if code in TYPED or (code in ("ru", ">ru") and encoding in ("", "#", "[", "'")):
        return None
    if encoding == "" and code.partition(":")[0] in _URL_ENCODED:
        return unquote
    decoders: dict[str, Callable[[str], str]] = {'"': _backslashes, "[": brackets, "/": _shell, "#": unquote}
    return decoders.get(encoding)
