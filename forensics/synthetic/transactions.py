"""The table every part of the campaign fills: one row per transaction of the proxy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

ROW = np.dtype(
    [
        ("start", "i8"),  # [us since 1970 UTC]
        ("end", "i8"),  # [us since 1970 UTC]
        ("client", "i4"),  # index of the terminal
        ("server", "i4"),  # index of the server
        ("sent", "i8"),  # from client to proxy, headers and all [B]
        ("received", "i8"),  # from proxy to client, headers and all [B]
        ("page", "i2"),
        ("number", "i4"),  # fills the page's path
        ("status", "i2"),
        ("verb", "i1"),
        ("hit", "?"),  # answered from the proxy's cache: never seen on the uplink
        ("tag", "i4"),  # number of the chain session, 0 for all else
        ("port", "u2"),  # source port on the uplink; this and the next two are set by the sensor
        ("depth", "i4"),  # position in its persistent connection, from 1
        ("connection", "i8"),
    ]
)

# What the two sides of the proxy differ by; the captures are built to the same byte.
CONNECT_REQUEST = 200  # size of a CONNECT request [B]
CONNECT_REPLY = 39  # size of "HTTP/1.1 200 Connection established" with its blank line [B]
ADDED_TO_REQUEST = 64  # Via and X-Forwarded-For [B]
ADDED_TO_REPLY = 96  # X-Cache and Via [B]
LEAST_SENT = 480  # size of a request's headers on the office's side of the proxy, body excluded [B]
LEAST_RECEIVED = 400  # the same of a reply [B]


def make_rows(count: int, **columns: Any) -> Rows:  # noqa: ANN401
    """``count`` rows with these columns set, the status 200 unless given."""
    table = np.zeros(count, ROW)
    table["status"] = 200
    for name, values in columns.items():
        table[name] = values
    return table


def running_sum(values: Floats, counts: Ints) -> Floats:
    """Cumulative sums that start anew in every group; ``counts`` are the sizes of successive groups."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    result: Floats = total[1:] - np.repeat(total[np.cumsum(counts) - counts], counts)
    return result


def lognormal_int(rng: np.random.Generator, median: float, sigma: float, size: int) -> Ints:
    """Log-normal whole numbers of the given median and log standard deviation."""
    return rng.lognormal(np.log(median), sigma, size).astype(np.int64)


class Holdback:
    """Rows made out of order, given out in the order of one column: the order in which a log is written."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._held: list[Rows] = []

    def push(self, rows: Rows) -> None:
        """Take rows in any order."""
        self._held.append(rows)

    def pop(self, before: int | None = None) -> Rows:
        """Give out the rows whose key is less than ``before``, sorted; all of them if that is None."""
        if not self._held:
            return np.zeros(0, ROW)
        rows = np.concatenate(self._held)
        ready = np.ones(len(rows), bool) if before is None else rows[self._key] < before
        self._held = [rows[~ready]]
        due = rows[ready]
        # A stable sort: rows with equal times keep the order in which they were made, run after run.
        return due[np.argsort(due[self._key], kind="stable")]
