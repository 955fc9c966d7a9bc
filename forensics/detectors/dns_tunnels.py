r"""Look-ups that carry data: many distinct, long, random-looking names under one domain.

Whoever runs the name servers of a domain receives every name under it that anybody asks for. A tunnel writes what it
sends into the labels, so no name is asked for twice. For each client and registered domain the distinct subdomains
:math:`n` are counted. With :math:`\ell` the characters of all of them, and :math:`H` the entropy of their characters in
bits, they carry about

.. math:: I = \ell H / 8

bytes (shares of characters that stand in each name count fully; it is an upper bound). A finding has
``least_subdomains`` or more, ``least_bytes`` or more in all, and `LEAST_PER_NAME` or more in a name. The reason names
the threshold of RITA that the count passes: 100, 500, 800 and 1,000 subdomains (base, low, medium, high).

Registered domains are told by the public suffix list, private part included, so that each customer of a hosting or
content network is a domain by itself. What is known to look alike is left out:

- reputation look-ups of virus scanners and mail filters, which put a hash or an address into the name: those that are
  answered from 127.0.0.0/8, as such lists do, and those that ``crowd`` or more of the clients (at least `FEW`) make;
- reverse look-ups (``.arpa``), whose names are addresses.

The types of queries are not part of the tables. What a tunnel asks for (TXT, NULL, MX, private types) brings no address
back, and the reason says how many of the names had none.

When it misleads
----------------
One terminal's own reputation service that answers with TXT looks like a tunnel, and is one by any measure of its names.
A tunnel that hides behind answers from 127.0.0.0/8 is left out. A resolver that speaks for all is one client: then
no look-up is a crowd's. A tunnel that speaks with its server directly may end its names with data, so that they have no
domain in common: it is not seen. A slow tunnel stays below the count in a short case; DNS over HTTPS shows no names at
all.

References
----------
.. [1] Active Countermeasures, *RITA* v5, ``default_config.hjson``: its thresholds of C2 over DNS.
.. [2] RFC 5782, *DNS Blacklists and Whitelists*, section 2: answers from 127.0.0.0/8.
.. [3] K. Born, D. Gustafson, "Detecting DNS Tunnels Using Character Frequency Analysis", 2010, arXiv:1004.4358.
.. [4] Mozilla Foundation, *Public Suffix List*, https://publicsuffix.org/.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.detectors._findings import Coverage, findings_frame, size_text, time_text
from forensics.detectors._remembered import remembered
from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd

    from forensics.case import Case

__all__ = ["SCORE", "TITLE", "VALUE", "coverage", "detect"]

TITLE = "Look-ups that carry data"
VALUE = "distinct subdomains [1]"
SCORE = "information in their names [B]"

LEAST_SUBDOMAINS = 100
"""Distinct subdomains of a domain that a client must have looked up for a finding. [1]"""

LEAST_PER_NAME = 8.0
"""Less than this in a name is that of host names and addresses. [B]"""

LISTED = 0.5
"""Share of names answered from 127.0.0.0/8 from which on look-ups are those of a list. [1]"""

FEW = 3
"""Fewer clients than this are no crowd in any office."""

RITA = ((1000, "high"), (800, "medium"), (500, "low"), (100, "base"))
"""RITA's thresholds of distinct subdomains. [1]"""

LEVELS = 4
"""Public suffixes have this many labels at most."""

LEAST = timedelta(microseconds=1)

CLIENTS = "SELECT count(DISTINCT client) AS clients, count(*) - count(client) AS nameless FROM names WHERE how = 'dns'"


def detect(
    case: Case, *, least_subdomains: int = LEAST_SUBDOMAINS, least_bytes: int = 2000, crowd: float = 0.1
) -> pd.DataFrame:
    """Return the domains of a case under which a client looked up what carries data, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    least_subdomains
        Distinct subdomains of the domain that the client must have looked up. [1]
    least_bytes
        Information that they must carry. [B]
    crowd
        Share of the clients whose common domain is a service and no finding. [1]

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`), one per client and domain: ``dst`` and ``name`` are the domain,
        ``value`` is the number of distinct subdomains [1], ``score`` the information in them [B]; ``expected`` and both
        probabilities are null.

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    if least_subdomains < 2 or least_bytes < 0 or not 0 < crowd <= 1:  # noqa: PLR2004  # one name is no series of them
        raise ValueError("least_subdomains >= 2, least_bytes >= 0 and 0 < crowd <= 1 are needed")
    rows, _ = _pairs(case, least_subdomains)
    clients = _clients(case)["clients"]
    rows = [
        row for row in rows if row["clients"] < max(FEW, crowd * clients) and row["listed"] < LISTED * row["subdomains"]
    ]
    schema = pa.schema([("finding", pa.int64()), ("client", pa.string()), ("domain", pa.string())])
    keys = pa.Table.from_pylist([{"finding": number} | row for number, row in enumerate(rows)], schema)
    asked = case.sql(query_text("dns_tunnels_evidence"), found=keys).to_arrow().to_pylist() if rows else []
    names: list[dict[str, None]] = [{} for _ in rows]
    behind: list[list[tuple[str, int]]] = [[] for _ in rows]
    for one in asked:
        names[one["finding"]][one["name"]] = None
        behind[one["finding"]].append((one["source"], one["record"]))
    found = []
    for row, mine, evidence in zip(rows, names, behind, strict=True):
        carried = row["letters"] * _entropy(mine, len(row["domain"])) / 8
        if carried >= max(least_bytes, LEAST_PER_NAME * row["subdomains"]):
            found.append(_finding(case, row, carried) | {"evidence": evidence})
    return findings_frame(case, found)


def coverage(case: Case) -> Coverage:
    """Return how many pairs of a client and a domain were looked at, and how many look-ups tell no client.

    Parameters
    ----------
    case
        The case.
    """
    _, tested = _pairs(case, LEAST_SUBDOMAINS)
    nameless = _clients(case)["nameless"]
    why = f"{nameless:,} look-ups do not tell who asked" if nameless else ""
    return Coverage("dns_tunnels", tested, 0, why, "pairs of client and domain", nameless)


@remembered
def _clients(case: Case) -> dict[str, int]:
    """Return how many clients looked up names, and how many look-ups do not tell who asked."""
    counted: dict[str, int] = case.sql(CLIENTS).to_arrow().to_pylist()[0]
    return counted


@remembered
def _pairs(case: Case, least: int) -> tuple[list[dict[str, Any]], int]:
    """Return clients and registered domains with at least so many subdomains, and how many pairs there are in all."""
    options, suffixes = pa.table({"least_subdomains": [least]}), _suffixes_of(case)
    rows = case.sql(query_text("dns_tunnels"), options=options, suffixes=_suffix_table(suffixes)).to_arrow().to_pylist()
    return [row for row in rows[1:] if row["domain"] not in suffixes], rows[0]["tested"]


def _suffixes_of(case: Case) -> set[str]:
    """Return the public suffixes that names of a case end with."""
    is_public = _public_suffixes()
    suffixes: set[str] = set()
    for _ in range(LEVELS):
        ends = case.sql(query_text("dns_tunnels_ends"), suffixes=_suffix_table(suffixes)).to_arrow()["domain"]
        new = {end for end in ends.to_pylist() if end and end not in suffixes and is_public(end)}
        if not new:
            break
        suffixes |= new
    return suffixes


def _suffix_table(suffixes: set[str]) -> pa.Table:
    return pa.table({"suffix": pa.array(sorted(suffixes), pa.string())})


def _public_suffixes() -> Callable[[str], bool]:
    """Return what tells whether names under a domain are registered deeper than it; the list lies in its package."""
    from publicsuffixlist import PublicSuffixList

    known = PublicSuffixList()
    return lambda domain: known.privatesuffix(f"a.{domain}") != domain


def _entropy(names: Iterable[str], domain: int) -> float:
    """Return the entropy of the characters of names without their last ``domain`` ones, dots aside. [bit]

    Examples
    --------
    >>> _entropy(["ab.cd.example", "dcba.example"], len("example"))
    2.0
    """
    text = "".join(name[:-domain].replace(".", "") for name in names).encode("utf-8", "surrogatepass")
    counts = np.bincount(np.frombuffer(text, np.uint8))
    share = counts[counts > 0] / max(len(text), 1)
    return float(-(share * np.log2(share)).sum())


def _finding(case: Case, row: dict[str, Any], carried: float) -> dict[str, object]:
    count = row["subdomains"]
    level = next((f"; RITA's threshold {name} ({least:,})" for least, name in RITA if count >= least), "")
    return {
        "detector": "dns_tunnels",
        "start": row["first"],
        "end": max(row["last"], row["first"] + LEAST),
        "src": row["client"],
        "dst": row["domain"],
        "name": row["domain"],
        "value": float(count),
        "expected": None,
        "score": carried,
        "p_value": None,
        "q_value": None,
        "reason": f"{row['client']} looked up {count:,} distinct names under {row['domain']} from "
        f"{time_text(row['first'], case.timezone)}, {row['letters'] / count:.0f} characters each, which carry up to "
        f"{size_text(carried)}; {row['without_address']:,} of them were answered without an address{level}",
    }
