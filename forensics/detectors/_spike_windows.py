"""Windows of candidates and the sums of all others, as `volume_spikes` takes them from a case."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.detectors._findings import size_text
from forensics.detectors._held import windows_held
from forensics.detectors._office import clients_of, inside_of, office_of
from forensics.engines import query_text
from forensics.roles import once_per_case
from forensics.workdays import holidays_in, is_workday

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import date

    import pandas as pd

    from forensics.case import Case

__all__ = [
    "INSTEAD",
    "SENT",
    "SETTLING",
    "SHORT_CASE",
    "Measure",
    "Pool",
    "Series",
    "Windows",
    "read_windows",
    "settled_of",
    "settling_of",
    "span_of",
    "window_of",
]

SHORT_CASE = timedelta(hours=60)
"""Cases that say for a shorter time than this what was sent are looked at by the minute, longer ones by the hour: of
hours a day is compared with the days before it alone, and nothing could be said of the first, or only, of two days."""

SETTLING = 0.1
"""Share of the case's time that is learnt from and not judged, at least. [1]"""

FIRST_NIGHT = timedelta(hours=36)
"""What is learnt from at least, where `MOST_SETTLING` allows it: wherever in a day a case begins, so much of it holds a
whole night, so that what happens every night has been seen once."""

MOST_SETTLING = 0.25
"""Share of the time of a case of several days that is learnt from, at most. [1]"""

STEPS = 1024
"""Steps of x in a query, over 1: whole numbers have the same sum in any order. [1]"""

SPANS = """
SELECT
    min(minute) AS any_first,
    max(minute) AS any_last,
    min(CASE WHEN bytes_out IS NOT NULL THEN minute END) AS sent_first,
    max(CASE WHEN bytes_out IS NOT NULL THEN minute END) AS sent_last
FROM volumes
"""

OPTIONS = pa.schema(
    [
        ("size", pa.int64()),
        ("period", pa.int64()),
        ("least", pa.float64()),
        ("least_total", pa.float64()),
        ("settled", pa.timestamp("us", "UTC")),
        ("measure", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Measure:
    """What windows are compared by.

    Parameters
    ----------
    name
        What the query calls it.
    title
        Its name in words.
    text
        Name of the query.
    verb
        What a terminal did, with braces for how much.
    words
        Writes an amount in words.
    floor
        Returns the least amount of a finding, given the floor of bytes sent.
    """

    name: str
    title: str
    text: str
    verb: str
    words: Callable[[float], str]
    floor: Callable[[float], float]


SENT = Measure("bytes_out", "bytes sent", "spike_windows", "sent {} to", size_text, lambda least: least)

INSTEAD = (
    Measure("requests", "requests", "spike_counts", "made {} to", "{:,.0f} requests".format, lambda least: least / 5e3),
    Measure(
        "seconds", "durations", "spike_counts", "was connected for {} to", "{:,.0f} s".format, lambda least: least / 5e2
    ),
    Measure("bytes_in", "reply sizes", "spike_counts", "received {} from", size_text, lambda least: 100 * least),
)
"""What pairs are compared by of which no record says what was sent; floors go with that of bytes sent."""


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Sums of windows by period (a day, or a minute in a short case), of many series together.

    Parameters
    ----------
    until
        End of the period, ascending; shape (n,). [us since 1970 UTC]
    owner
        Which pool each row belongs to; shape (n,).
    sums
        Count, sum and sum of squares of x; shape (n, 3).
    """

    until: np.ndarray
    owner: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Windows of several series in order of time; a series is a pair of terminal and server, or a terminal.

    Parameters
    ----------
    src, dst, name
        Of each series; ``dst`` and ``name`` are None where it is a terminal's; each of length p.
    pool
        Which pool each series learns from; shape (p,).
    of
        Series of each window; shape (n,).
    start, day
        Start of each window [us since 1970 UTC] and day of the case's zone [d since 1970]; each of shape (n,).
    hour
        Hour of the case's zone; shape (n,). [h]
    rest
        Whether the day is no working day; shape (n,).
    amount
        What was sent; shape (n,). [B]
    judged
        Whether the window is judged, or only learnt from; shape (n,).
    others
        Windows of the series that are no candidates.
    """

    src: list[str]
    dst: list[str | None]
    name: list[str | None]
    pool: np.ndarray
    of: np.ndarray
    start: np.ndarray
    day: np.ndarray
    hour: np.ndarray
    rest: np.ndarray
    amount: np.ndarray
    judged: np.ndarray
    others: Pool


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """What a case has to be tested.

    Parameters
    ----------
    measure
        What the amounts are.
    window
        Length of a window.
    pairs, terminals
        The candidates.
    first
        First windows of all pairs, ``owner`` being the quarter of x they are in.
    office
        Most terminals that were active in one window. [1]
    typical
        Median of the first windows of all pairs, in units of the measure; 0 where there are none.
    usual
        Usual spread of x within a pair; NaN where no pair has enough windows. [ln B]
    judged, learnt, unobserved
        Windows of pairs that are judged, that are learnt from, and whose bytes were not recorded.
    totals
        Windows of terminals that are judged.
    """

    measure: Measure
    window: timedelta
    pairs: Series
    terminals: Series
    first: Pool
    office: int
    typical: float
    usual: float
    judged: int
    learnt: int
    unobserved: int
    totals: int


def window_of(case: Case, measure: Measure = SENT, *, short: timedelta = SHORT_CASE) -> timedelta:
    """Return the window by which a case is looked at: an hour, or a minute where it is shorter than ``short``."""
    first, last = span_of(case, measure)
    return timedelta(minutes=1) if first is not None and last - first < short else timedelta(hours=1)


def span_of(case: Case, measure: Measure | None = SENT) -> tuple[datetime | None, datetime]:
    """Return the first and the last minute of a case; None and 1970 where it has none.

    Of what was sent they are those in which some row says it, if any does: a capture of the last day beside the log of
    ten has a day to be compared by, not ten. Where no measure is named, all rows count.
    """
    spans: dict[str, Any] = once_per_case(case, "spans", lambda one: one.sql(SPANS).to_arrow().to_pylist()[0])
    which = "sent" if measure is SENT and spans["sent_first"] else "any"
    return spans[f"{which}_first"], spans[f"{which}_last"] or datetime.fromtimestamp(0, UTC)


def settled_of(case: Case, measure: Measure = SENT) -> datetime:
    """Return from when on windows are judged; by the hour, the first day has nothing before it to be judged by."""
    first, last = span_of(case, measure)
    begin = first or last
    settled = begin + settling_of(last - begin)
    if window_of(case, measure) < timedelta(hours=1):
        return settled
    day = begin.astimezone(case.timezone).date() + timedelta(days=1)
    return max(settled, datetime.combine(day, time(), case.timezone).astimezone(UTC))


def settling_of(length: timedelta) -> timedelta:
    """Return how much of the beginning of a case is learnt from and not judged."""
    if length < SHORT_CASE:
        return length * SETTLING
    return max(length * SETTLING, min(FIRST_NIGHT, length * MOST_SETTLING))


def read_windows(
    case: Case,
    measure: Measure,
    *,
    least: float,
    least_total: float,
    holidays: Collection[date] | None,
) -> Windows:
    """Return the candidates' windows of a case and the sums of all others.

    Parameters
    ----------
    case
        The case.
    measure
        What to compare windows by.
    least, least_total
        Floor that a pair must pass on some day to be a candidate, and that of a terminal, in units of the measure.
    holidays
        Days on which nobody works, beside weekends; None for those of the case's zone.
    """
    window, settled = window_of(case, measure), settled_of(case, measure)
    period = window if window < timedelta(hours=1) else timedelta(days=1)
    size, step = (length // timedelta(microseconds=1) for length in (window, period))
    row = {"size": size, "period": step, "settled": settled, "measure": measure.name}
    row |= {"least": least / 2, "least_total": least_total / 2}
    asked = {"options": pa.Table.from_pylist([row], OPTIONS), "members": clients_of(case)}
    if measure is SENT:
        with windows_held(case, window):
            rows = case.sql(query_text(measure.text), **asked, outside=office_of(case)["outside"]).to_arrow()
    else:
        rows = case.sql(query_text(measure.text), **asked, inside=inside_of(case)).to_arrow()
    frame = rows.to_pandas()
    parts = {str(part): rows for part, rows in frame.groupby("part")}
    empty = frame.iloc[:0]
    calendar = _Calendar(case, settled, holidays, period)
    counts, office = parts["counts"].iloc[0], parts.get("active", empty)
    first_rows, usual = parts.get("first", empty), parts.get("usual", empty)["amount"]
    return Windows(
        measure,
        window,
        _series(parts.get("pair", empty), parts.get("server", empty), calendar, ["src", "server"]),
        _series(parts.get("terminal", empty), parts.get("office", empty), calendar, ["src"]),
        _pool(first_rows, first_rows["amount"].to_numpy(dtype=np.int64), calendar.period),
        int(office["n"].fillna(0).max()) if len(office) else 0,
        _typical(first_rows),
        float(usual.iloc[0]) / STEPS if len(usual) else float("nan"),
        judged=int(counts["n"]),
        learnt=int(counts["amount"]),
        unobserved=int(counts["square"]),
        totals=int(counts["total"]),
    )


class _Calendar:
    """Tells days, hours and working days of a case's zone."""

    def __init__(self, case: Case, settled: datetime, holidays: Collection[date] | None, period: timedelta) -> None:
        self.settled, self.period = settled, period
        self._zone, self._holidays = case.timezone, holidays

    def read(self, start: pd.Series) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return day, hour, and whether the day is one of rest."""
        local = start.dt.tz_convert(self._zone).dt.tz_localize(None)
        days, code = np.unique(local.to_numpy().astype("datetime64[D]"), return_inverse=True)
        known: list[date] = days.tolist()
        years = range(known[0].year, known[-1].year + 1) if known else range(0)
        holidays = holidays_in(str(self._zone), years) if self._holidays is None else self._holidays
        rest = np.array([not is_workday(day, holidays) for day in known], dtype=bool)
        return days.astype(np.int64)[code], local.dt.hour.to_numpy(dtype=np.int64), rest[code]


def _micros(times: pd.Series) -> np.ndarray:
    found: np.ndarray = times.to_numpy(dtype="datetime64[us]").astype(np.int64)
    return found


def _typical(first: pd.DataFrame) -> float:
    """Return the median of the first windows of all pairs, from their counts by quarters of x."""
    counts = first.groupby("amount")["n"].sum()
    if not len(counts):
        return 0.0
    middle = counts.index[int(np.searchsorted(counts.cumsum().to_numpy(), counts.sum() / 2))]
    return float(np.expm1((float(middle) + 0.5) / 4))


def _pool(rows: pd.DataFrame, owner: np.ndarray, period: timedelta) -> Pool:
    until = _micros(rows["start"]) + period // timedelta(microseconds=1)
    sums = rows[["n", "total", "square"]].to_numpy(dtype=np.float64) / (1.0, STEPS, STEPS**2)
    return Pool(until, owner, sums)


def _series(rows: pd.DataFrame, others: pd.DataFrame, calendar: _Calendar, keys: list[str]) -> Series:
    rows = rows.sort_values(["start", "src", "server"], kind="stable")
    groups = rows.groupby(keys, sort=True)
    of = groups.ngroup().to_numpy(dtype=np.int64)
    heads = groups.agg({"src": "first", "server": "first", "name": "last"}) if len(rows) else rows
    dst = [None if server is None or server != server else str(server) for server in heads["server"]]  # noqa: PLR0124
    name = [None if text is None or text != text else str(text) for text in heads["name"]]  # noqa: PLR0124
    places = {server: place for place, server in enumerate(dict.fromkeys(dst))}
    other_place = [places[server if isinstance(server, str) else None] for server in others["server"]] if dst else []
    day, hour, rest = calendar.read(rows["start"]) if len(rows) else (np.zeros(0, np.int64),) * 3
    return Series(
        src=[str(src) for src in heads["src"]],
        dst=dst,
        name=name,
        pool=np.array([places[server] for server in dst], dtype=np.int64),
        of=of,
        start=_micros(rows["start"]),
        day=day,
        hour=hour,
        rest=rest.astype(bool),
        amount=rows["amount"].to_numpy(dtype=np.float64),
        judged=(rows["start"] >= calendar.settled).to_numpy(dtype=bool),
        others=_pool(others if dst else others.iloc[:0], np.array(other_place, dtype=np.int64), calendar.period),
    )
