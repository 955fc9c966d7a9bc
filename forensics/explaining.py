"""A finding explained: the series around it with its baseline, the rows behind it, a chart and a text.

Example::

    spikes = fx.find_spikes(case)
    fx.explain(case, spikes.iloc[0]).chart.save("spike.png")

A detector whose findings have a baseline offers ``series_of(case, finding)``: a data frame of ``start``, ``value`` and
``expected`` around the finding. Without it the series is what the finding's terminal sent to its server.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from forensics.detectors import all_detectors
from forensics.drawing import draw_beacon, draw_volume
from forensics.engines import query_text
from forensics.errors import EvidenceError
from forensics.escaping import markup_safe, terminal_safe

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from forensics.case import Case
    from forensics.drawing import Drawing

__all__ = ["Explanation", "explain"]

LONG = timedelta(hours=6)
"""Findings that last longer are looked at by the hour, others by the minute."""

AROUND = 24
"""Windows before and after a finding that are shown at least; at most as many as it lasts."""

NEEDED = ("detector", "start", "end", "src", "dst", "value", "expected", "score", "reason", "source")
"""Columns of a finding that are read."""

ASKED = pa.schema(
    [
        *((name, pa.string()) for name in ("src", "server")),
        *((name, pa.timestamp("us", "UTC")) for name in ("start", "end", "first", "last")),
        ("hourly", pa.bool_()),
    ]
)

SHOWN_ROWS = 20
"""Rows behind a finding that a notebook shows."""


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """What a finding stands on; it prints its text, and shows itself in a notebook.

    Parameters
    ----------
    series
        Data frame of ``start``, ``value`` and ``expected`` for each window around the finding; null where nothing was
        recorded, or no baseline expects anything.
    rows
        Data frame of the contacts, requests and names (``kind`` says which) of the finding's terminal and server in its
        time, with the ``source`` and ``record`` of each; the first 10,000.
    text
        What was found, by what measure, what stands behind it, and when such findings mislead.
    chart
        The series as a drawing, of regular contacts their raster; None where no volume was recorded around the finding.
    """

    series: pd.DataFrame
    rows: pd.DataFrame
    text: str
    chart: Drawing | None

    def __str__(self) -> str:
        """Return the text; nothing in it acts on a terminal."""
        return self.text

    def _repr_html_(self) -> str:
        """Show text, chart and the first rows in a notebook; whatever evidence wrote is escaped."""
        picture = self.chart.render("svg").decode() if self.chart else ""
        shown = self.rows.head(SHOWN_ROWS).astype("object")
        shown = shown.mask(shown.isna(), "not observed")
        head = "".join(f"<th>{markup_safe(str(name))}</th>" for name in shown.columns)
        cells = ("".join(f"<td>{markup_safe(str(value))}</td>" for value in row) for row in shown.to_numpy())
        body = "".join(f"<tr>{row}</tr>" for row in cells)
        paragraphs = "".join(f"<p>{markup_safe(line)}</p>" for line in self.text.splitlines() if line)
        return f"{paragraphs}{picture}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def explain(case: Case, finding: Mapping[Any, Any] | pd.Series[Any]) -> Explanation:
    """Explain a finding of any detector by what surrounds it and what is behind it.

    Parameters
    ----------
    case
        The case that it was found in.
    finding
        A row of a detector's findings: a mapping, or a row of the data frame (``spikes.iloc[0]``).

    Returns
    -------
    Explanation
        Its ``series``, ``rows``, ``text`` and ``chart``.

    Raises
    ------
    EvidenceError
        The row is no finding.

    Examples
    --------
    >>> fx.explain(case, spikes.iloc[0]).rows  # doctest: +SKIP
    """
    asked = _plain(case, finding)
    detector = all_detectors().get(asked["detector"])
    series_of = getattr(detector, "series_of", None)
    series, counted = (series_of(case, asked), str(getattr(detector, "VALUE", ""))) if series_of else (None, "")
    if series is None or series.empty:  # a finding of another's rows has none of its own
        series, counted = _volumes(case, asked)
    rows = case.sql(query_text("explained_rows"), asked=_asked(asked, asked["start"], asked["end"])).to_pandas()
    found = int(rows["found"].iloc[0]) if len(rows) else 0
    text = "\n".join(_said(asked, series, counted, found))
    if asked["detector"] == "beacons":
        chart = draw_beacon(case, asked) if (rows["kind"] == "contacts").any() else None
    else:
        chart = _chart(case, asked, series, counted)
    return Explanation(series, rows.drop(columns="found"), text, chart)


def _plain(case: Case, finding: Mapping[Any, Any] | pd.Series[Any]) -> dict[str, Any]:
    """Return a finding as a mapping, what is missing as None."""
    import pandas as pd

    missing = [name for name in NEEDED if name not in finding]
    if missing:
        raise EvidenceError(case.title, f"this row lacks {', '.join(missing)}: give a finding of a detector")
    plain = {str(name): None if pd.isna(value) else value for name, value in finding.items()}
    for name in ("start", "end"):
        time = plain[name]
        if not isinstance(time, datetime) or time.tzinfo is None:
            raise EvidenceError(case.title, f"{name} of this row is {time}: a finding has a time with its zone")
        plain[name] = pd.Timestamp(time)
    return plain


def _asked(finding: Mapping[str, Any], first: pd.Timestamp, last: pd.Timestamp, *, hourly: bool = False) -> pa.Table:
    times = {"start": finding["start"], "end": finding["end"], "first": first, "last": last}
    row = {"src": finding["src"], "server": finding["dst"], "hourly": hourly, **times}
    return pa.Table.from_pylist([row], ASKED)


def _volumes(case: Case, finding: Mapping[str, Any]) -> tuple[pd.DataFrame, str]:
    """Return what the terminal sent to the server around the finding, and what the values are.

    Where nothing of what it sent was recorded, it is what it received.
    """
    import pandas as pd

    hourly = finding["end"] - finding["start"] > LONG
    window = timedelta(hours=1) if hourly else timedelta(minutes=1)
    margin = max(finding["end"] - finding["start"], AROUND * window)
    first, last = finding["start"] - margin, finding["end"] + margin
    asked = _asked(finding, first, last, hourly=hourly)
    known = case.sql(query_text("explained_series"), asked=asked).to_pandas().set_index("start")
    sent = bool(known["bytes_out"].notna().any()) or not known["bytes_in"].notna().any()
    values = known["bytes_out" if sent else "bytes_in"].astype("float64")
    if len(values):
        values = values.reindex(pd.date_range(values.index.min(), values.index.max(), freq=window))
    # the same columns whether or not anything is known
    series = pd.DataFrame({"start": values.index, "value": values.to_numpy(), "expected": float("nan")})
    return series, "bytes sent [B]" if sent else "bytes received [B]"


def _said(finding: Mapping[str, Any], series: pd.DataFrame, counted: str, found: int) -> list[str]:
    """Return the lines of the text."""
    detector = all_detectors().get(finding["detector"])
    lines = [str(finding["reason"]), ""]
    if detector is not None:
        lines.append(f"{finding['detector']}: {detector.TITLE}.")
        known = (("value", detector.VALUE), ("expected", detector.VALUE), ("score", detector.SCORE))
        lines += [f"{name}: {finding[name]:,.4g}, {what}" for name, what in known if finding[name] is not None]
    recorded = int(series["value"].notna().sum())
    lines.append(f"series: {counted}; windows around the finding: {len(series):,}, with a record: {recorded:,}")
    lines.append(f"rows behind it: {found:,}, of {finding['source']}")
    page = inspect.getdoc(detector) or ""
    misleads = page.partition("When it misleads\n----------------\n")[2].partition("\nReferences\n")[0]
    lines += ["", f"When it misleads: {' '.join(misleads.split())}"] if detector is not None and misleads else []
    return [terminal_safe(line) for line in lines]


def _chart(case: Case, finding: Mapping[str, Any], series: pd.DataFrame, counted: str) -> Drawing | None:
    """Return the series as a drawing, the finding marked in it."""
    if not series["value"].notna().any():
        return None
    pair = " to ".join(str(finding[end] or "any") for end in ("src", "dst"))
    baseline = [None if value != value else float(value) for value in series["expected"]]  # noqa: PLR0124 - not a number
    return draw_volume(
        [time.to_pydatetime() for time in series["start"]],
        [float(value) for value in series["value"]],
        expected=baseline if any(value is not None for value in baseline) else None,
        spikes=[(finding["start"].to_pydatetime(), finding["end"].to_pydatetime())],
        marked="finding",
        title=f"{pair}: {counted.partition(';')[0]}, {finding['detector']}",
        timezone=str(case.timezone),
        source=str(finding["source"]),
    )
