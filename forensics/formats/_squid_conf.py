"""What a squid.conf says about the access log that lies beside it.

Example::

    logformat sized %ts.%03tu %6tr %>a %Ss/%03>Hs %>st %<st %rm %ru %[un %Sh/%<a %mt
    access_log stdio:/var/log/squid/access.log logformat=sized

References
----------
.. [1] Squid configuration directive access_log, https://www.squid-cache.org/Doc/config/access_log/
.. [2] Squid configuration directive logformat, https://www.squid-cache.org/Doc/config/logformat/
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from forensics.formats._head import definitions
from forensics.formats._lines import text_of
from forensics.formats._squid_logformat import PREDEFINED, Layout, compile_logformat

if TYPE_CHECKING:
    from forensics.formats import Hints

__all__ = ["CONF", "layouts"]

CONF = "squid.conf"
"""Name of the companion file."""

DEFAULT_ORDER = ("squid", "combined", "common")
"""The predefined formats an unknown log is tried with; the others hold too little to be recognised by."""


def layouts(hints: Hints) -> tuple[Layout, ...]:
    """Return the layouts a log may have, the likeliest first.

    Hints stand alone; else come the formats that a squid.conf logs with, then those Squid has built in.

    Raises
    ------
    ValueError
        If a hint is neither the name of a format nor a definition that can be used, or is one for another program.
    """
    return _layouts(definitions(hints.logformat, "squid"), hints.companions.get(CONF, b""))


@lru_cache(maxsize=32)
def _layouts(hints: tuple[str, ...], conf: bytes) -> tuple[Layout, ...]:
    defined, used = _read(conf)
    known = PREDEFINED | defined
    for hint in hints:
        if hint not in known and "%" not in hint:
            raise ValueError(f"no logformat is called {hint!r}; known are {', '.join(sorted(known))}")
    if hints:
        return tuple(compile_logformat(hint, known.get(hint, hint)) for hint in hints)
    found = []
    for name in dict.fromkeys((*used, *defined, *DEFAULT_ORDER)):
        try:
            found.append(compile_logformat(name, known[name]))
        except (KeyError, ValueError):  # undefined, or of another log: the built-in ones always remain
            continue
    return tuple(found)


def _read(conf: bytes) -> tuple[dict[str, str], list[str]]:
    """Return the formats a squid.conf defines and the names of those its access logs are written with."""
    defined: dict[str, str] = {}
    used: list[str] = []
    text = re.sub(r"\\\r?\n\s*", " ", text_of(conf))
    for line in text.splitlines():
        words = line.split(None, 2)
        if len(words) == 3 and words[0] == "logformat":
            defined[words[1]] = words[2].rstrip()
        elif len(words) > 1 and words[0] == "access_log" and words[1] != "none":
            used.append(_format_name(words[2].split() if len(words) == 3 else []))
    return defined, used


def _format_name(options: list[str]) -> str:
    """Return the format an ``access_log`` line names after its place; Squid's native one where it names none."""
    for option in options:
        if option.startswith("logformat="):
            return option.removeprefix("logformat=")
    first = options[0] if options else "squid"
    return "squid" if "=" in first else first
