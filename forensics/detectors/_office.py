"""The office as queries need it: its terminals, the servers outside of it, and its days and hours."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.roles import find_roles, once_per_case
from forensics.workdays import is_workday

if TYPE_CHECKING:
    from collections.abc import Container

    from forensics.case import Case

__all__ = ["QUARTER", "clients_of", "day_of", "inside_of", "numbered", "office_of", "others_of", "quarters_of"]

QUARTER = 900_000_000
"""A quarter of an hour: no zone's offset of today is finer. [us]"""

HOURS = 24
DAY = 86_400
EPOCH = date(1970, 1, 1).toordinal()
LAST_DAY = date.max.toordinal() - EPOCH

SERVERS = """
SELECT server, max(moved) AS moved
FROM (
    SELECT server, 1 AS moved FROM traffic GROUP BY server
    UNION ALL
    SELECT server, 0 AS moved FROM contacts GROUP BY server
) s
GROUP BY server
ORDER BY server NULLS LAST
"""
"""All servers of a case, and whether there is a volume of each."""

QUARTERS = """
SELECT DISTINCT CAST(floor(unix_micros(start) / 900000000) AS BIGINT) AS quarter
FROM contacts
ORDER BY quarter NULLS LAST
"""


MIXED = """
SELECT src
FROM (SELECT DISTINCT src, vantage, bytes_kind FROM traffic) t
GROUP BY src
HAVING count(*) > 1
ORDER BY src NULLS LAST
"""
"""Clients whose volumes were seen in several places, or counted in several ways."""


def office_of(case: Case) -> dict[str, pa.Table]:
    """Return the terminals of a case and its servers, as tables for a query.

    Parameters
    ----------
    case
        The case.

    Returns
    -------
    dict
        ``terminals`` with the columns ``src`` and ``number``, and ``outside`` with the columns ``server`` and
        ``number``: servers outside of the office. Numbers go up as the addresses do; a query groups by them faster than
        by text. Both are found once per case and again when evidence was added.
    """
    known = _known(case)
    return {name: known[name] for name in ("terminals", "outside")}


def inside_of(case: Case) -> pa.Table:
    """Return the servers of the office, as a table with the column ``server``; found once like those outside.

    Parameters
    ----------
    case
        The case.
    """
    return _known(case)["inside"]


def others_of(case: Case) -> pa.Table:
    """Return the servers that are not of the office, as a table with the columns ``server`` and ``number``.

    Beside those of `office_of` it has the servers of which no volume is known. It is found once like them.

    Parameters
    ----------
    case
        The case.
    """
    return _known(case)["others"]


def _known(case: Case) -> dict[str, pa.Table]:
    """Return what is found once per case."""
    return once_per_case(case, "office", _tables_of)


def _tables_of(case: Case) -> dict[str, pa.Table]:
    roles = find_roles(case)
    servers = case.sql(SERVERS).to_arrow()
    inside = pa.array(list(map(roles.is_inside, servers["server"].to_pylist())), pa.bool_())
    moved = pc.greater(servers["moved"], 0)
    return {
        "terminals": numbered(pa.table({"src": pa.array(sorted(roles.terminals), pa.string())})),
        "outside": numbered(servers.filter(pc.and_(pc.invert(inside), moved)).select(["server"])),
        "inside": servers.filter(inside).select(["server"]),
        "others": numbered(servers.filter(pc.invert(inside)).select(["server"])),
    }


def numbered(table: pa.Table) -> pa.Table:
    """Return a table with a column more, ``number``, which counts its rows from 0."""
    return table.append_column("number", pa.array(np.arange(len(table)), pa.int32()))


def clients_of(case: Case) -> pa.Table:
    """Return the clients of the office, terminals and gateways, as a table for a query; found once like the servers.

    Its columns are ``address``, ``number``, ``own`` (whether it is a terminal's) and ``mixed``: whether its volumes
    were seen in several places or counted in several ways, so that a conversation may be there more than once.

    Parameters
    ----------
    case
        The case.
    """
    return once_per_case(case, "clients of the office", _clients_of)


def _clients_of(case: Case) -> pa.Table:
    roles = find_roles(case)
    addresses = pa.array(sorted(roles.terminals | roles.gateways), pa.string())
    own = [address in roles.terminals for address in addresses.to_pylist()]
    mixed = pc.is_in(addresses, case.sql(MIXED).to_arrow()["src"].combine_chunks())
    return numbered(pa.table({"address": addresses, "own": pa.array(own, pa.bool_()), "mixed": mixed}))


def quarters_of(case: Case, *, hours: tuple[float, float], holidays: Container[date]) -> pa.Table:
    """Return the quarters of an hour in which a case has contacts, by the calendar of the office.

    Parameters
    ----------
    case
        The case; its zone is that of the office.
    hours
        When the office opens and closes on working days. [h]
    holidays
        Days off besides weekends.

    Returns
    -------
    pyarrow.Table
        ``quarter``: its number since 1970 in UTC; ``day``: its local date, in days since 1970; ``period``: the day on
        which the time between two office hours begins that it lies in, null within office hours (the whole of a day
        off is one period with the night before it); ``workday``: whether its local date is a working day.
    """
    import pandas as pd

    known = _known(case)
    if "quarters" not in known:
        known["quarters"] = case.sql(QUARTERS).to_arrow()
    quarters = known["quarters"]["quarter"].to_numpy()
    utc = pd.DatetimeIndex(quarters * (QUARTER // 1_000_000) * np.timedelta64(1, "s") + np.datetime64(0, "s"), tz="UTC")
    local = utc.tz_convert(case.timezone).tz_localize(None).to_numpy().astype("datetime64[s]").astype(np.int64)
    day, hour = local // DAY, local % DAY / (DAY / HOURS)
    work = _workdays(day, holidays)
    opened, closed = hours
    inside = work & (hour >= opened) & (hour < closed)
    # Before the office opens it is still the night of the day before; a day off is a period by itself.
    begin = np.where(work & (hour < opened), day - 1, day)
    return pa.table(
        {
            "quarter": pa.array(quarters, pa.int64()),
            "day": pa.array(day, pa.int64()),
            "period": pa.array(begin, pa.int64(), mask=inside),
            "workday": pa.array(work, pa.bool_()),
        }
    )


def _workdays(days: np.ndarray, holidays: Container[date]) -> np.ndarray:
    """Return which days are working days; days beyond the calendar are none."""
    distinct, place = np.unique(days, return_inverse=True)
    known = [1 - EPOCH <= day <= LAST_DAY and is_workday(day_of(day), holidays) for day in distinct.tolist()]
    return np.array(known, dtype=bool)[place]


def day_of(number: int) -> date:
    """Return a date by its days since 1970.

    Examples
    --------
    >>> day_of(16_576).isoformat()
    '2015-05-21'
    """
    return date.fromordinal(EPOCH + number)
