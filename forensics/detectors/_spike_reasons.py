"""The findings of `volume_spikes`: when exactly, by whom, and in which words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.detectors._findings import KEYS, server_text, time_text
from forensics.detectors._office import inside_of
from forensics.detectors._spike_windows import SENT
from forensics.engines import query_text

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case
    from forensics.detectors._spike_runs import Run, Tested
    from forensics.detectors._spike_windows import Series, Windows
    from forensics.roles import Roles

__all__ = ["attributed", "finding", "is_upload", "trimmed"]

TRIMMED = 0.005
"""Share of a finding's bytes at either end that may lie outside of its start and end. [1]"""

MICROSECOND, MINUTE = timedelta(microseconds=1), timedelta(minutes=1)

UNSAID = "no record says what was sent"

ASKED = """
SELECT DISTINCT k.finding AS finding, c.src AS src
FROM keys k
JOIN contacts c ON c.server = k.server AND c.start < k."end" AND c."end" >= k.start
ORDER BY finding NULLS LAST, src NULLS LAST
"""


def is_upload(found: pd.DataFrame) -> pd.Series:
    """Return which findings of `detect` say how many bytes were sent; the others stand on other measures.

    Parameters
    ----------
    found
        Findings of this detector.
    """
    return ~found["reason"].astype(str).str.contains(UNSAID, regex=False)


def finding(case: Case, tested: Tested, run: Run, significance: tuple[float, float]) -> dict[str, Any]:
    """Return a run as a finding; its start and end are those of its windows.

    Parameters
    ----------
    case
        The case.
    tested, run
        The windows of the finding.
    significance
        Its p-value and q-value.
    """
    windows, series, judged = tested.windows, tested.series, tested.judged
    one = int(series.of[run.windows[0]])
    value = float(series.amount[run.windows].sum())
    expected = float(np.expm1(judged.centre[run.windows]).sum())
    score = judged.drain[run.windows].max() if run.kind == "drain" else judged.z[run.windows].max()
    first, last = (datetime.fromtimestamp(time / 1e6, UTC) for time in (run.first, run.last))
    row = {
        "detector": "volume_spikes",
        "start": first,
        "end": last + windows.window,
        "src": series.src[one],
        "dst": series.dst[one],
        "name": series.name[one],
        "value": value,
        "expected": expected,
        "score": float(score),
        "p_value": significance[0],
        "q_value": significance[1],
        "measure": windows.measure,
    }
    return row | {"reason": _reason(case, windows, series, run, row)}


def _reason(case: Case, windows: Windows, series: Series, run: Run, row: dict[str, Any]) -> str:
    server, name = row["dst"], row["name"]
    shown = "all servers together" if server is None else server_text(server, name)
    unit = "hour" if windows.window >= timedelta(hours=1) else "minute"
    count = len(run.windows)
    days = len(np.unique(series.day[run.windows]))
    when = f"in {count} {unit}{'s' * (count > 1)}"
    when += f" of {days} days" if days > 1 else ""
    value, expected = (windows.measure.words(row[key]) for key in ("value", "expected"))
    kind = {
        "drain": f"; steadily above its baseline since then, none of its {unit}s a spike by itself",
        "nights": "; at the same hour each day",
    }.get(run.kind, "")
    said = "" if windows.measure is SENT else f" ({UNSAID})"
    verb = windows.measure.verb
    since = time_text(row["start"], case.timezone)
    return f"{row['src']} {verb.format(value)} {shown} {when} from {since}; {expected} was to be expected{kind}{said}"


def trimmed(case: Case, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the findings with the minutes in which it began and ended, instead of the edges of windows.

    Minutes at either end that hold less than `TRIMMED` of what was sent do not count: other business with that server.
    """
    sent = [place for place, one in enumerate(found) if one["measure"] is SENT]
    keys = [
        {"finding": place, "server": found[place]["dst"]} | {key: found[place][key] for key in ("src", "start", "end")}
        for place in sent
    ]
    tables = {"keys": pa.Table.from_pylist(keys, KEYS), "inside": inside_of(case)}
    minutes = case.sql(query_text("spike_minutes"), **tables).to_arrow().to_pandas()
    trimmed_ = [{key: value for key, value in one.items() if key != "measure"} for one in found]
    for place, rows in minutes.groupby("finding"):
        one = trimmed_[int(place)]
        passed = rows["amount"].cumsum().to_numpy() / rows["amount"].sum()
        first = int(np.searchsorted(passed, TRIMMED, side="right"))
        last = int(np.searchsorted(passed, 1 - TRIMMED, side="left"))
        times = rows["minute"].tolist()
        begin = time_text(one["start"], case.timezone)
        one["start"], one["end"] = times[first], times[min(last, len(times) - 1)] + MINUTE
        one["reason"] = str(one["reason"]).replace(begin, time_text(one["start"], case.timezone), 1)
    return trimmed_


def attributed(case: Case, found: list[dict[str, Any]], roles: Roles) -> list[dict[str, Any]]:
    """Return the findings with a gateway's put to the terminal that alone asked for the server in that time."""
    behind = [(place, one) for place, one in enumerate(found) if one["src"] in roles.gateways]
    keys = [{"finding": place, "server": f["dst"], "start": f["start"], "end": f["end"]} for place, f in behind]
    rows = case.sql(ASKED, keys=pa.Table.from_pylist(keys, KEYS)).to_arrow().to_pylist() if keys else []
    for place, one in behind:
        asked = [row["src"] for row in rows if row["finding"] == place and row["src"] in roles.terminals]
        if len(asked) == 1:
            seen_as = one["src"]
            reason = one["reason"].replace(seen_as, asked[0], 1)
            reason += f" (recorded as {seen_as}'s; of the terminals only {asked[0]} asked for this server then)"
            found[place] = one | {"src": asked[0], "seen_as": seen_as, "reason": reason}
    return found
