"""What a server is like: a few numbers per candidate, reduced in SQL, and the level of each trait that they mean.

Candidates are all servers outside that less than `POPULAR_SHARE` of the terminals meet, in an office of fewer than
`CROWD` terminals all servers outside; and every server that a finding names.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.detectors._spike_windows import span_of
from forensics.engines import query_text
from forensics.relays.passing import ENDS, PASSING
from forensics.relays.sites import find_sites, hosts_of
from forensics.roles import find_roles
from forensics.schema import FINDING_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from forensics.case import Case

__all__ = ["NO_FINDING", "TRAITS", "Candidates", "find_candidates", "levels_of"]

POPULAR_SHARE = 0.5
"""A server that at least this share of the terminals meets is no candidate, unless a finding names it. [1]"""

CROWD = 8
"""Terminals that an office must have for popularity to mean anything."""

LEAST_GAPS = 5
"""Gaps between visits that a pair needs for its rhythm to be told."""

BY_CHANCE = 0.41
"""Share of regular gaps among contacts at random: :math:`(2^{1/3} - 2^{-1/3}) (1/2 + 1/4 + 1/8)`. [1]"""

CERTAIN = 2.6
"""Certainty from which a pair is a machine's: five gaps that are all regular reach it. [standard deviations]"""

SETTLING = 0.1
"""Share of the case's time within which a terminal's standing services show. [1]"""

SUSTAINED = timedelta(hours=1)
"""A volume spike that lasts longer than this is as good as one that was repeated: no person sends one file so long."""

SHORT = timedelta(hours=24)
"""Cases shorter than this do not tell what is new."""

NO_FINDING = ">= 0"
"""Level of a detector that has no finding of a candidate."""

UNKNOWN = ""
"""Level of a trait that the evidence does not tell; it weighs nothing."""

CLIENTS = """
SELECT c.src AS src, min(c.start) AS first_seen
FROM contacts c
JOIN terminals t ON c.src = t.src
GROUP BY c.src
ORDER BY src NULLS FIRST
"""


@dataclass(frozen=True)
class Candidates:
    """The candidates of a case, with what is known of each pair of terminal and candidate.

    Parameters
    ----------
    sites
        One row per candidate, by ``site``: ``dst``, ``names``, ``addresses``.
    pairs
        One row per candidate and terminal: what ``relay_pairs.sql`` and ``relay_requests.sql`` give, and ``accused``:
        whether a finding or the pair's own rhythm speaks against the terminal's use of it.
    findings
        The findings that name a candidate, with ``site``.
    office
        Terminals. [1]
    length
        Length of the case's time.
    detectors
        Names of the detectors that were asked: of another one's findings nothing is known.
    """

    sites: pd.DataFrame
    pairs: pd.DataFrame
    findings: pd.DataFrame
    office: int
    length: timedelta
    detectors: frozenset[str]

    def found_by(self, *detectors: str) -> pd.DataFrame:
        """Return the findings of some detectors that name a candidate."""
        return self.findings[self.findings["detector"].isin(detectors)]


def find_candidates(case: Case, findings: Mapping[str, pd.DataFrame]) -> Candidates:
    """Return the candidates of a case.

    Parameters
    ----------
    case
        The case.
    findings
        Findings by the detector's name.
    """
    import pandas as pd

    roles = find_roles(case)
    terminals = pa.table({"src": pa.array(sorted(roles.terminals), pa.string())})
    met = case.sql(query_text("relay_servers"), terminals=terminals).to_pandas()
    parts = [frame.assign(detector=name) for name, frame in sorted(findings.items()) if len(frame)]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["detector", *FINDING_COLUMNS[1:]])
    found = found[found["dst"].notna()]
    met = pd.concat([met, _unmet(met, found)], ignore_index=True)
    servers = pd.Series(met["server"].unique(), dtype=object)
    outside = set(servers[~servers.map(roles.is_inside).astype(bool)])
    sites = find_sites(met[met["server"].isin(outside)])
    found = _at_sites(found, sites)
    few = sites.groupby("site")["terminals"].max()
    office = len(roles.terminals)
    rare = set(few.index[few < POPULAR_SHARE * office]) if office >= CROWD else set(few.index)
    sites = sites[sites["site"].isin(rare | set(found["site"]))]
    pairs = _pairs(case, sites, terminals)
    first, last = span_of(case, None)
    length = (last - first) if first else timedelta(0)
    pairs = _accused(pairs, found)
    return Candidates(_described(sites), pairs, found, office, length, frozenset(findings))


def _unmet(met: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Return the servers that findings name and that no terminal's own rows show: only a gateway was seen there."""
    import pandas as pd

    new = found[~found["dst"].isin(set(met["server"]))]
    rows = pd.DataFrame({"server": new["dst"], "name": new["name"].fillna("")}).drop_duplicates()
    return rows.assign(terminals=0, least_src="", greatest_src="", contacts=0)


def _at_sites(found: pd.DataFrame, sites: pd.DataFrame) -> pd.DataFrame:
    """Return findings with the site that each is about: by server and name, else by the server."""
    exact = sites.set_index(["server", "name"])["site"]
    any_name = sites.sort_values("contacts", ascending=False, kind="stable").drop_duplicates("server")
    by_server = any_name.set_index("server")["site"]
    keys = zip(found["dst"], found["name"].fillna(""), strict=True)
    known = exact.to_dict()
    site = [known.get(key, by_server.get(key[0], -1)) for key in keys]
    at = found.assign(site=np.array(site, np.int64))
    return at[at["site"] >= 0]


def _pairs(case: Case, sites: pd.DataFrame, terminals: pa.Table) -> pd.DataFrame:
    wanted = pa.Table.from_pandas(sites[["server", "name", "site"]], preserve_index=False)
    columns = [("server", pa.string()), ("name", pa.string()), ("site", pa.int64())]
    tables = {"terminals": terminals, "sites": wanted.cast(pa.schema(columns))}
    pairs = case.sql(query_text("relay_pairs"), **tables).to_pandas()
    tables = {"terminals": terminals, "hosts": hosts_of(sites).cast(pa.schema([("host", pa.string()), columns[2]]))}
    asked = case.sql(query_text("relay_requests"), **tables).to_pandas()
    pairs = pairs.merge(asked, how="left", on=["site", "src"])
    told = ("site", "src", "first_seen", "last_seen")  # the others are numbers
    pairs = pairs.astype({name: "float64" for name in pairs.columns if name not in told})
    first = case.sql(CLIENTS, terminals=terminals).to_pandas().set_index("src")["first_seen"]
    pairs["terminal_first"] = first.reindex(pairs["src"]).to_numpy() if len(first) else pairs["first_seen"]
    return pairs


def _accused(pairs: pd.DataFrame, found: pd.DataFrame) -> pd.DataFrame:
    """Add the rhythm of each pair, and whether a finding names it or its rhythm is a machine's."""
    gaps = pairs["gaps"].where(pairs["gaps"] >= LEAST_GAPS)
    certainty = (pairs["regular"] - BY_CHANCE * gaps) / np.sqrt(BY_CHANCE * (1 - BY_CHANCE) * gaps)
    named = set(zip(found["site"], found["src"], strict=True))
    by_finding = np.array([key in named for key in zip(pairs["site"], pairs["src"], strict=True)], dtype=bool)
    accused = by_finding | (certainty >= CERTAIN).to_numpy(dtype=bool)
    return pairs.assign(regularity=pairs["regular"] / gaps, certainty=certainty, accused=accused)


def _described(sites: pd.DataFrame) -> pd.DataFrame:
    """Return one row per site: its address, its names and addresses in words."""
    grouped = sites.sort_values(["site", "name", "server"], kind="stable").groupby("site")
    return grouped.agg(
        dst=("dst", "first"),
        names=("name", lambda names: "; ".join(sorted({name for name in names if name}))),
        addresses=("server", lambda servers: "; ".join(sorted(set(servers)))),
    )


def levels_of(candidates: Candidates) -> pd.DataFrame:
    """Return the level of each trait of each candidate; `UNKNOWN` where the evidence does not tell.

    Returns
    -------
    pandas.DataFrame
        One row per candidate, one column per trait of `TRAITS` that is not about others' findings.
    """
    import pandas as pd

    pairs = candidates.pairs
    mine = pairs[pairs["accused"]]
    everyone = pairs.groupby("site")
    by = {"all": everyone, "accused": mine.groupby("site")}
    index = candidates.sites.index
    table = pd.DataFrame(index=index)
    share = everyone.size().reindex(index).fillna(0) / max(candidates.office, 1)
    crowded = share if candidates.office >= CROWD else share * np.nan
    table["met_by"] = _cut(crowded, (0, 0.02, 0.05, 0.12, 0.25, 0.5))
    best = pairs.sort_values("certainty", na_position="first", kind="stable").drop_duplicates("site", keep="last")
    best = best.set_index("site").reindex(index)
    table["rhythm"] = _cut(best["regularity"], (0, 0.5, 0.7, 0.85), nothing="untold")
    table["certainty"] = _cut(best["certainty"], (-np.inf, 2.6, 5, 10, 20), nothing="untold")
    table["machines"] = _cut(by["accused"].size().reindex(index).fillna(0), (0, 1, 2, 4))
    table["onset"] = _onset(candidates, mine)
    table["visits"] = _cut(by["accused"]["visits"].median().reindex(index), (0, 12, 40, 150), nothing="none")
    for name, (part, whole, edges) in _SHARES.items():
        grouped = by["accused"]
        value = grouped[part].sum(min_count=1) / grouped[whole].sum(min_count=1).replace(0, np.nan)
        table[name] = _cut(value.reindex(index), edges)
    table["reply_sizes"] = _cut(by["accused"]["spread_in"].median().reindex(index), (0, 0.2, 0.7))
    table["sent"] = _cut(by["all"]["bytes_out"].max().reindex(index), (0, 1e4, 1e5, 1e6, 1e7, 1e8))
    out, back = (by["accused"][name].sum(min_count=1) for name in ("bytes_out", "bytes_in"))
    table["upload_share"] = _cut((out / (out + back).replace(0, np.nan)).reindex(index), (0, 0.2, 0.5, 0.8))
    readers = (~pairs["accused"]).groupby(pairs["site"]).sum().reindex(index).fillna(0)
    table["readers"] = _cut(readers, (0, 1, 4))
    seen = index.isin(pairs["site"])  # of what only a gateway met, nobody knows who and how
    table = table.where(np.repeat(seen[:, None], len(table.columns), axis=1), UNKNOWN)
    return table.join(_of_findings(candidates, seen))


_SHARES = {
    "not_found": ("missing", "answered", (0, 0.02)),
    "posted": ("posted", "methods", (0, 0.02)),
    "strange_program": ("strange", "agents", (0, 0.5)),
    "lone": ("visits", "contacts", (0, 0.6, 0.95)),
    "pages": ("urls", "requests", (0, 0.05, 0.3)),
}
"""Traits that are shares of the accused terminals' requests: part, whole, edges of the levels."""


def _cut(values: pd.Series[Any], edges: tuple[float, ...], nothing: str = UNKNOWN) -> pd.Series[str]:
    """Return levels by their lower edges, written ``>= edge``; ``nothing`` for null."""
    import pandas as pd

    number = values.astype("float64").to_numpy()
    place = np.clip(np.searchsorted(np.asarray(edges), number, side="right") - 1, 0, len(edges) - 1)
    words = np.array([f">= {edge:g}" for edge in edges], dtype=object)[place]
    return pd.Series(np.where(np.isnan(number), nothing, words), index=values.index, dtype=object)


def _onset(candidates: Candidates, mine: pd.DataFrame) -> pd.Series[str]:
    """Return whether the accused terminals began to meet the candidate while they were under observation."""
    import pandas as pd

    index = candidates.sites.index
    if candidates.length < SHORT:
        return pd.Series(UNKNOWN, index=index, dtype=object)
    begun = mine["first_seen"] > mine["terminal_first"] + candidates.length * SETTLING
    share = begun.groupby(mine["site"]).mean().reindex(index)
    return _cut(share, (0, 0.5, 1.0), nothing="none")


def _of_findings(candidates: Candidates, seen: np.ndarray) -> pd.DataFrame:
    """Return how many terminals each detector's findings name, by candidate; of spikes, whether one was repeated.

    That a detector found nothing says something of servers that the office met alone.
    """
    import pandas as pd

    index = candidates.sites.index
    table = pd.DataFrame(index=index)
    met = seen | index.isin(candidates.found_by(*candidates.detectors - {PASSING, ENDS})["site"])
    for detector in sorted(candidates.detectors):
        found = candidates.found_by(detector)
        count = found.groupby("site")["src"].nunique().reindex(index).fillna(0)
        level = _cut(count, (0, 1, 2, 4))
        if detector == "volume_spikes":
            again = found.duplicated(["site", "src"], keep=False) | ((found["end"] - found["start"]) > SUSTAINED)
            repeated = again.groupby(found["site"]).any().reindex(index, fill_value=False)
            level = level + np.where(repeated, " repeated", "")
        table[detector] = level.where((level != NO_FINDING) | met, UNKNOWN)
    return table


TRAITS = {
    "met_by": "share of the terminals that meet it",
    "rhythm": "share of regular gaps of its most regular terminal",
    "machines": "terminals whose use of it a finding or its rhythm speaks against",
    "certainty": "how far the regular gaps of that terminal exceed chance",
    "onset": "share of these that began to meet it under observation",
    "visits": "visits by each of these",
    "not_found": "share of 404 in the replies to these",
    "posted": "share of POST in the requests of these",
    "strange_program": "share of these requests by another program than the terminal's usual one",
    "lone": "visits over contacts of these: 1 where each contact comes alone",
    "pages": "different URLs over requests of these",
    "reply_sizes": "spread of the sizes of replies to these",
    "sent": "bytes that its busiest terminal sent",
    "upload_share": "share sent of all bytes of these",
    "readers": "terminals that met it without a machine's rhythm",
}
"""Traits that need no detector, with what is measured; in the order in which reasons are told."""
