"""The charts of a report: volumes toward relays with their spikes, and the contacts of beacons.

Example: ``beacon_rasters(case, beacons)`` is pairs of caption and SVG.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forensics.detectors import volume_spikes
from forensics.drawing import draw_beacon, draw_volume
from forensics.roles import find_roles

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case
    from forensics.words import Words

__all__ = ["MOST_CHARTS", "beacon_rasters", "volume_charts"]

MOST_CHARTS = 6
"""Charts in a report: one per relay that received spikes, the first ones of the ranking; and of regular contacts."""


def volume_charts(case: Case, spikes: pd.DataFrame, relays: pd.DataFrame, words: Words) -> list[tuple[str, str]]:
    """Return a chart of the volume toward each relay that received spikes, over the whole time of the case.

    Parameters
    ----------
    case
        The case.
    spikes, relays
        What was found in it.
    words
        Language of the titles.

    Returns
    -------
    list of tuple
        Caption and SVG, at most `MOST_CHARTS`.
    """
    import pandas as pd

    window = volume_spikes.window_of(case)
    charted = [dst for dst in relays["dst"] if dst in set(spikes["dst"])][:MOST_CHARTS]
    first, last = volume_spikes.span_of(case)
    if not charted or first is None or last is None:
        return []
    series = volume_spikes.series_by(case, window, charted)
    whole = pd.date_range(pd.Timestamp(first).floor(window), pd.Timestamp(last).floor(window), freq=window)
    charts = []
    for dst in charted:
        mine = spikes[spikes["dst"] == dst]
        toward = _toward(case, series[(series["server"] == dst) & series["bytes_out"].notna()], set(mine["src"]))
        summed = toward.groupby("start")["bytes_out"].sum().reindex(whole, fill_value=0)
        senders = toward["src"].nunique()
        title = words("Sent to {server}; senders: {senders:,}", server=dst, senders=senders)
        chart = draw_volume(
            [time.to_pydatetime() for time in summed.index],
            [float(value) for value in summed],
            expected=_expected(mine, summed.index),
            spikes=[(a.to_pydatetime(), b.to_pydatetime()) for a, b in zip(mine["start"], mine["end"], strict=True)],
            title=title,
            language=words.language,
            timezone=str(case.timezone),
            source=", ".join(sorted({name for text in mine["source"] for name in text.split("; ")})),
        )
        told = words("{title}; dashed: what the baseline expects of those with a spike, in its time", title=title)
        charts.append((told, chart.render("svg").decode()))
    return charts


def _expected(spikes: pd.DataFrame, windows: pd.Index[Any]) -> list[float | None]:
    """Return what the spikes' baselines expect in each window, evenly over each spike; None where there is no spike."""
    import numpy as np

    total = np.full(len(windows), np.nan)
    for row in spikes[spikes["expected"].notna()].to_dict("records"):
        inside = (windows >= row["start"]) & (windows < row["end"])
        if inside.any():
            total[inside] = np.nan_to_num(total[inside]) + row["expected"] / inside.sum()
    return [None if np.isnan(value) else float(value) for value in total]


def beacon_rasters(case: Case, beacons: pd.DataFrame, words: Words) -> list[tuple[str, str]]:
    """Return a raster of the contacts of each of the strongest beacons.

    Parameters
    ----------
    case
        The case.
    beacons
        The beacons that were found in it.
    words
        Language of captions and pictures.

    Returns
    -------
    list of tuple
        Caption and SVG, at most `MOST_CHARTS`.
    """
    strongest = beacons.sort_values("score", ascending=False, kind="stable").head(MOST_CHARTS)
    return [
        (words.told(str(row["reason"])), draw_beacon(case, row, language=words.language).render("svg").decode())
        for row in strongest.to_dict("records")
    ]


def _toward(case: Case, series: pd.DataFrame, senders: set[str]) -> pd.DataFrame:
    """Return what the office sent: the terminals' own rows, and a gateway's where there are none of theirs."""
    roles = find_roles(case)
    own = series["src"].isin(roles.terminals)
    rest = series["src"].isin(senders | roles.gateways) & ~series["start"].isin(series[own]["start"])
    return series[own | rest]
