"""What a report is made of.

Example: ``ReportData(title="Case 7", ...)``; every field is named, so that nothing is forgotten in silence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from networkx import MultiDiGraph

__all__ = ["ReportData", "Rows"]

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything that stands in a report. It holds no time of its making: the same data give the same report.

    Parameters
    ----------
    title
        Name of the case.
    timezone
        IANA name of the zone in which times are told.
    made_by
        Name and version of what made it, such as ``forensics 0.1.0``.
    statement
        The main result in one line, such as ``at least 4 relays observed``.
    summary
        The results in plain sentences.
    graph
        The hop graph.
    spikes, beacons
        Findings, with the columns `forensics.schema.FINDING_COLUMNS`. Values of spikes are bytes, of beacons seconds.
    others
        Findings of the other detectors, with the same columns.
    relays
        Relay candidates: rank, dst, names, score, terminals, first_seen, last_seen, bytes_out, bytes_in, reasons.
    charts
        Caption, and SVG text or PNG bytes, of each chart of volumes.
    rasters
        The same of the contacts of regular contacts.
    sources
        Rows of the table ``sources``.
    coverage
        What each detector tested: detector, tested, not_tested, why.
    assumptions
        What was assumed, in sentences.
    settings
        Settings by name.
    settings_hash
        SHA-256 of the settings.
    reproduce
        Lines that make this report again: commands, or Python.
    """

    title: str
    timezone: str
    made_by: str
    statement: str
    summary: Sequence[str]
    graph: MultiDiGraph[str]
    spikes: Rows
    beacons: Rows
    others: Rows
    relays: Rows
    charts: Sequence[tuple[str, str | bytes]]
    rasters: Sequence[tuple[str, str | bytes]]
    sources: Rows
    coverage: Rows
    assumptions: Sequence[str]
    settings: Mapping[str, Any]
    settings_hash: str
    reproduce: Sequence[str]
