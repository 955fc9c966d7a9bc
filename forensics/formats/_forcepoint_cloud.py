"""Forcepoint's cloud logs of full traffic: a JSON list on each line.

Example::

    [
        1432166400,
        1022,
        "user@a.example",
        3221225993,
        1,
        350,
        5120,
        1026,
        "153",
        "HTTP",
        80,
        3405803783,
        "http://b.example/",
        0,
        0,
    ]

References
----------
.. [1] Forcepoint, *Configuring Full Traffic Logging*, File format definition,
   https://help.forcepoint.com/websec/en-us/cloud/traffic_logging/6590dd12-054a-47c3-990e-10c1fa473238.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from forensics.formats._hosts import address_of, target
from forensics.formats._lines import text_of
from forensics.formats._times import LATEST

if TYPE_CHECKING:
    from forensics.formats import Evidence
    from forensics.rows import Rows

__all__ = ["Cloud", "integer_address", "record_of"]

FIELDS = (
    "DateAndTime", "AccountID", "UserID", "ClientIP", "RequestCount", "RequestSize", "ResponseSize", "Disposition",
    "Categories", "Protocol", "Port", "DestinationIP", "URI",
)  # fmt: skip
"""The fields up to the last one that is read, in their order."""

EARLIEST = 10**8
"""A smaller number is no time of a log; the first field of other lists."""

MOST = 1 << 50


def integer_address(text: str) -> str | None:
    """Return an address that may be written as one number, in canonical text; ``0.0.0.0`` is none.

    Examples
    --------
    >>> integer_address("3405803783"), integer_address("192.0.2.1"), integer_address("0"), integer_address("x")
    ('203.0.113.7', '192.0.2.1', '', None)
    """
    if text.isdecimal() and text.isascii() and len(text) <= 10 and int(text) < 1 << 32:
        text = ".".join(map(str, int(text).to_bytes(4, "big")))
    address = address_of(text)
    return "" if address in ("0.0.0.0", "::") else address  # noqa: S104 - no address is bound


def record_of(line: str) -> dict[str, object] | str:
    """Return the fields of a line, or what is wrong with it."""
    try:
        values = json.loads(line)
    except RecursionError:
        return "not a JSON list: nested too deeply"
    except ValueError as error:
        return f"not a JSON list: {error}"
    if isinstance(values, list) and len(values) == 1 and isinstance(values[0], dict):
        return {name: values[0].get(name) for name in FIELDS}
    if not isinstance(values, list):
        return f"not a JSON list: it is a {type(values).__name__}"
    if len(values) < len(FIELDS):
        return f"list has {len(values)} fields, at least {len(FIELDS)} are expected"
    return dict(zip(FIELDS, values, strict=False))


class Cloud:
    """A log of the cloud service on its way into rows."""

    def __init__(self, evidence: Evidence, rows: Rows) -> None:
        self._evidence, self._rows = evidence, rows

    def add(self, number: int, line: bytes) -> None:
        """Put one line into the rows."""
        record = record_of(text_of(line))
        row = record if isinstance(record, str) else self._row(record)
        if isinstance(row, str):
            self._rows.reject(self._evidence.source, number, row, line)
        else:
            mine = {"source": self._evidence.source, "vantage": self._evidence.vantage, "record": number}
            self._rows.add("exchanges", **row, **mine)

    def _row(self, record: dict[str, object]) -> dict[str, object] | str:
        """Return the row of a record, or what is wrong with it."""
        time, sent, received, count, port = (
            _count(record[name]) for name in ("DateAndTime", "RequestSize", "ResponseSize", "RequestCount", "Port")
        )
        src, dst = (_address(record[name]) for name in ("ClientIP", "DestinationIP"))
        url = record["URI"] if isinstance(record["URI"], str) else None
        if time is None or not EARLIEST <= time <= LATEST:
            return "DateAndTime is no Unix time in seconds"
        if not src:
            return "ClientIP is not an address"
        for name, value in (("RequestSize", sent), ("ResponseSize", received), ("Port", port)):
            if value == -1 or (name == "Port" and (value or 0) > 65_535):
                return f"{name} is not a {'port' if name == 'Port' else 'count'}"
        if dst is None:
            return "DestinationIP is not an address"
        self._evidence.note("requests_of_other_rows", max((count or 1) - 1, 0))
        asked = target("", url or "")
        return {
            "start": time * 1_000_000, "end": time * 1_000_000, "src": src, "dst": dst or asked.address,
            "dst_port": asked.port or port or None, "proto": "tcp", "via": self._evidence.vantage,
            "service": asked.service, "name": asked.name, "host": asked.host,
            "bytes_out": sent, "bytes_in": received, "bytes_kind": "application", "url": url,
            "state": _text(record["Disposition"]), "how": "proxy" if asked.name else None, "is_flow": True,
            "is_request": True,
        }  # fmt: skip


def _count(value: object) -> int | None:
    """Return a number, None where there is none, -1 where it is no count."""
    if value is None or value in ("", "-"):
        return None
    text = _text(value) or ""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 17 and int(text) <= MOST else -1


def _address(value: object) -> str | None:
    """Return an address, empty where there is none, None where it is not one."""
    text = _text(value) or ""
    return integer_address(text) if text not in ("", "-") else ""


def _text(value: object) -> str | None:
    """Return a value as text."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
