r"""From findings to ranked relay candidates, each with its reasons.

A relay (hop server) is a server that the attackers use to reach the office: most often somebody's hacked site. What
speaks for it is added up, in units of log-odds; every part is written into the reasons:

* **spike**: volume spikes toward it. `SPIKE` + log10(sent / expected), at most `RATIO_CAP`, + log2(senders); `SINGLE`
  where no terminal sent in more than one window: so people send a large file, too.
* **beacon**: contacts by the clock. `BEACON` x the best score.
* **onset**: in a case of a day or more, whether the clock started ticking some time after the terminal was first seen,
  `ONSET`, or has always ticked, -`ONSET`.
* **rare**: few terminals meet it. log2(terminals / its terminals), at most `RARE_CAP`.
* **popular**: most terminals of an office of `CROWD` or more meet it. `POPULAR`.
* **new**: first met after a quarter of the case's time. `NEW`.
* **company**: the share of its accused terminals that other candidates accuse as well. `COMPANY` x share.

When it misleads
----------------
A service that only one terminal uses and that polls by the clock looks like a relay that only beacons. Without upload
bytes there are no spikes, and the ranking stands on beacons alone.

References
----------
.. [1] A. Oprea et al., "Detection of Early-Stage Enterprise Infection by Mining Large-Scale Log Data", DSN 2015,
   doi:10.1109/DSN.2015.14: rare destinations, regular contact and shared hosts, on proxy logs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from forensics.detectors import beacons, volume_spikes
from forensics.detectors._findings import period_text, size_text, time_text
from forensics.roles import find_roles

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case

__all__ = ["RELAY_COLUMNS", "rank_relays"]

SPIKE = 3.0
BEACON = 2.0
SINGLE = -2.0
ONSET = 1.5
POPULAR = -2.0
NEW = 1.0
COMPANY = 2.0

POPULAR_SHARE = 0.5
"""A server that at least this share of the terminals meets is popular. [1]"""

CROWD = 8
"""Terminals that an office must have for popularity to mean anything."""

RATIO_CAP = 3.0
"""Most that the height of spikes counts: a thousand times what was expected."""

SETTLING = 0.1
"""Share of the case's time within which a terminal's standing services show. [1]"""

RARE_CAP = 4.0
"""Most that rarity counts: sixteen times rarer than a server that all meet."""

RELAY_COLUMNS = (
    "rank",
    "dst",
    "names",
    "score",
    "terminals",
    "first_seen",
    "last_seen",
    "bytes_out",
    "bytes_in",
    "reasons",
)

SERVERS = """
SELECT
    server,
    src,
    min(start) AS first_seen,
    max("end") AS last_seen
FROM contacts
WHERE server <> src
GROUP BY server, src
ORDER BY server NULLS LAST, src NULLS LAST
"""

CLIENTS = "SELECT src, min(start) AS first_seen FROM contacts GROUP BY src ORDER BY src NULLS LAST"

TOTALS = """
SELECT server, max(name) AS name, max(bytes_out) AS bytes_out, max(bytes_in) AS bytes_in
FROM (
    SELECT server, vantage, bytes_kind, max(name) AS name, try_sum(bytes_out) AS bytes_out,
           try_sum(bytes_in) AS bytes_in
    FROM traffic
    GROUP BY server, vantage, bytes_kind
)
GROUP BY server
ORDER BY server NULLS LAST
"""


@dataclass(frozen=True, slots=True)
class _Span:
    """The time that a case covers, and the zone in which it is told."""

    first: datetime
    length: timedelta
    zone: tzinfo

    @classmethod
    def of(cls, case: Case) -> _Span:
        row = case.sql("SELECT min(minute) AS first, max(minute) AS last FROM volumes").to_arrow().to_pylist()[0]
        first = row["first"] or datetime.fromtimestamp(0, UTC)
        return cls(first, (row["last"] or first) - first, case.timezone)


@dataclass
class _Candidate:
    """A server under consideration, and what speaks for and against it."""

    dst: str
    clients: set[str]
    first_seen: datetime
    last_seen: datetime
    accused: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    parts: list[tuple[float, str]] = field(default_factory=list)

    @property
    def score(self) -> float:
        return sum(weight for weight, _ in self.parts)


def rank_relays(
    case: Case,
    *,
    spikes: pd.DataFrame | None = None,
    found_beacons: pd.DataFrame | None = None,
    least_score: float = 4.0,
) -> pd.DataFrame:
    """Return the servers that look like relays, the likeliest first.

    Parameters
    ----------
    case
        The case.
    spikes
        Findings of `forensics.find_spikes`, where they are there already.
    found_beacons
        Findings of `forensics.find_beacons`, where they are there already.
    least_score
        Least sum of the weights for a server to be listed. [log-odds]

    Returns
    -------
    pandas.DataFrame
        Columns `RELAY_COLUMNS`. ``names`` and ``reasons`` are texts, their parts separated by ``; ``; ``terminals`` is
        the number of terminals that met the server; ``bytes_out`` and ``bytes_in`` are what the vantage that saw most
        of it saw, null where no evidence records the direction. [B]
    """
    import pandas as pd

    spikes = volume_spikes.detect(case) if spikes is None else spikes
    spikes = spikes[volume_spikes.is_upload(spikes)]
    found_beacons = beacons.detect(case) if found_beacons is None else found_beacons
    candidates = _candidates(case, set(spikes["dst"]) | set(found_beacons["dst"]))
    office = len(find_roles(case).terminals)
    first_seen = {row["src"]: row["first_seen"] for row in case.sql(CLIENTS).to_arrow().to_pylist()}
    span, window = _Span.of(case), volume_spikes.window_of(case)
    for candidate in candidates.values():
        ticking = found_beacons[found_beacons["dst"] == candidate.dst]
        _weigh_spikes(candidate, spikes[spikes["dst"] == candidate.dst], window)
        _weigh_beacons(candidate, ticking)
        _weigh_onset(candidate, ticking, first_seen, span)
        _weigh_clients(candidate, office)
        _weigh_novelty(candidate, span)
    _weigh_company(candidates)
    ranked = sorted(candidates.values(), key=lambda c: (-c.score, c.dst))
    listed = [candidate for candidate in ranked if candidate.score >= least_score]
    totals = {row["server"]: row for row in case.sql(TOTALS).to_arrow().to_pylist()}
    rows = [_row(rank, candidate, totals[candidate.dst]) for rank, candidate in enumerate(listed, 1)]
    frame = pd.DataFrame(rows, columns=list(RELAY_COLUMNS))
    return frame.astype({"bytes_out": "Int64", "bytes_in": "Int64"})


def _candidates(case: Case, servers: set[str]) -> dict[str, _Candidate]:
    """Return the servers that a finding names, with the terminals that met them."""
    roles = find_roles(case)
    found: dict[str, _Candidate] = {}
    for row in case.sql(SERVERS).to_arrow().to_pylist():
        server, src = row["server"], row["src"]
        if server not in servers or not roles.is_inside(src):
            continue
        met = found.setdefault(server, _Candidate(server, set(), row["first_seen"], row["last_seen"]))
        met.clients |= {src} & roles.terminals
        met.first_seen = min(met.first_seen, row["first_seen"])
        met.last_seen = max(met.last_seen, row["last_seen"])
    return found


def _weigh_spikes(candidate: _Candidate, spikes: pd.DataFrame, window: timedelta) -> None:
    if spikes.empty:
        return
    sent, expected = float(spikes["value"].sum()), float(spikes["expected"].sum())
    senders = sorted(set(spikes["src"]))
    candidate.names |= set(spikes["name"].dropna())
    candidate.accused |= set(senders)
    height = min(math.log10(max(sent / max(expected, 1.0), 1.0)), RATIO_CAP)
    weight = SPIKE + height + math.log2(len(senders))
    text = f"{len(spikes)} volume spike{'s' * (len(spikes) > 1)}: {size_text(sent)} from {', '.join(senders)}"
    candidate.parts.append((weight, text))
    if len(spikes) == len(senders) and (spikes["end"] - spikes["start"]).max() <= window:
        candidate.parts.append((SINGLE, "but no terminal sent more than once"))


def _weigh_beacons(candidate: _Candidate, found: pd.DataFrame) -> None:
    if found.empty:
        return
    periods = ", ".join(period_text(period) for period in sorted(set(found["value"].round(1)))[:3])
    candidate.names |= set(found["name"].dropna())
    text = f"{len(found)} terminal{'s' * (len(found) > 1)} met it by the clock (every {periods})"
    candidate.parts.append((BEACON * float(found["score"].max()), text))
    candidate.accused |= set(found["src"])


def _weigh_onset(candidate: _Candidate, found: pd.DataFrame, first_seen: dict[str, datetime], span: _Span) -> None:
    """Weigh whether the clock began to tick while the terminal was under observation."""
    if found.empty or span.length < volume_spikes.SHORT_CASE:
        return
    settled = span.length * SETTLING
    begun = [
        start for src, start in zip(found["src"], found["start"], strict=True) if start > first_seen[src] + settled
    ]
    if 2 * len(begun) > len(found):
        candidate.parts.append((ONSET, f"the clock began to tick at {time_text(min(begun), span.zone)}"))
    else:
        candidate.parts.append((-ONSET, "but the clock has ticked since the evidence begins"))


def _weigh_clients(candidate: _Candidate, office: int) -> None:
    met = len(candidate.clients)
    if not met or not office:
        return
    if met >= POPULAR_SHARE * office and office >= CROWD:
        candidate.parts.append((POPULAR, f"but {met} of {office} terminals meet it"))
    else:
        candidate.parts.append((min(math.log2(office / met), RARE_CAP), f"{met} of {office} terminals meet it"))


def _weigh_novelty(candidate: _Candidate, span: _Span) -> None:
    """Weigh whether a server was first met when the case had been running for a while."""
    if candidate.first_seen > span.first + span.length / 4:
        candidate.parts.append((NEW, f"first met at {time_text(candidate.first_seen, span.zone)}"))


def _weigh_company(candidates: dict[str, _Candidate]) -> None:
    """Weigh whether a server's terminals are accused by other servers, too."""
    accusing = {c.dst: c.accused for c in candidates.values() if c.score >= SPIKE + NEW}
    for candidate in candidates.values():
        others = set().union(*(accused for dst, accused in accusing.items() if dst != candidate.dst))
        shared = candidate.accused & others
        if shared:
            share = len(shared) / len(candidate.accused)
            text = f"{len(shared)} of its terminals also stand out at other candidates"
            candidate.parts.append((COMPANY * share, text))


def _row(rank: int, candidate: _Candidate, totals: dict[str, object]) -> dict[str, object]:
    names = candidate.names | ({str(totals["name"])} if totals["name"] else set())
    return {
        "rank": rank,
        "dst": candidate.dst,
        "names": "; ".join(sorted(names - {candidate.dst})),
        "score": round(candidate.score, 3),
        "terminals": len(candidate.clients),
        "first_seen": candidate.first_seen,
        "last_seen": candidate.last_seen,
        "bytes_out": totals["bytes_out"],
        "bytes_in": totals["bytes_in"],
        "reasons": "; ".join(f"{text} ({weight:+.1f})" for weight, text in candidate.parts),
    }
