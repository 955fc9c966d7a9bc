r"""Contacts with what the analyst's own lists name: addresses, networks, domains, URLs, JA3 and JA4.

For an indicator :math:`i` the records :math:`R_i` are those whose server or client lies in its network, whose name is
its domain or lies under it, whose request is its URL, or whose program gave its fingerprint away; each pair of client
and server in :math:`R_i` is one finding, with :math:`\text{value} = |R_i(\text{src}, \text{dst})|`. Look-ups of a name
count, whether a connection followed or not.

A list is CSV with a header (a column ``indicator`` or ``value``, and ``type`` where the value alone does not tell),
text with one entry a line, a STIX 2.1 bundle, or an export of MISP. ``hxxp://`` and ``[.]`` are understood. Entries of
other kinds (hashes of files, mail addresses) are counted in the coverage.

When it misleads
----------------
A hacked site is visited innocently too: a domain on a list accuses the server, not who met it. Addresses of hosting
providers pass from hand to hand; compare the list's date with the evidence's. JA3 and JA4 name a program, which many
share.

References
----------
.. [1] OASIS, *STIX Version 2.1*, https://docs.oasis-open.org/cti/stix/v2.1/stix-v2.1.html.
.. [2] D. Bianco, *The Pyramid of Pain*, 2013: what an indicator is worth by its kind.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from forensics.addresses import address_text, host_name
from forensics.detectors._findings import Coverage, findings_frame
from forensics.detectors._indicator_lists import read_lists
from forensics.engines import query_text

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Sequence

    import pandas as pd

    from forensics.case import Case
    from forensics.detectors._indicator_lists import Indicator

__all__ = ["SCORE", "TITLE", "VALUE", "coverage", "detect"]

TITLE = "Contacts with what the analyst's lists name"
VALUE = "records [1]"
SCORE = "confidence of the list [1]"

MATCHED = pa.schema([("number", pa.int64()), ("host", pa.string())])
PROGRAMS = pa.schema([("number", pa.int64()), ("kind", pa.string()), ("fingerprint", pa.string())])
PAGES = pa.schema(
    [(name, pa.int64() if name == "number" else pa.string()) for name in ("number", "host", "url", "target")]
)


def detect(case: Case, *, lists: Sequence[str | os.PathLike[str]] = ()) -> pd.DataFrame:
    """Return the contacts of a case with what lists name, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    lists
        Files of indicators; without any there is nothing to find.

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`), one for each indicator, client and server: ``value`` is the
        number of records [1], ``score`` how sure the list is [1]; the rest is null.

    Raises
    ------
    forensics.EvidenceError
        A list cannot be read.
    """
    wanted = read_lists(lists).indicators
    if not wanted:
        return findings_frame(case, [])
    hosts = case.sql(query_text("indicator_hosts")).to_arrow()["host"].to_pylist()
    rows = (
        case.sql(
            query_text("indicator_hits"),
            matched=_matched(wanted, hosts),
            programs=_programs(wanted),
            pages=_pages(wanted),
        )
        .to_arrow()
        .to_pylist()
    )
    grouped: dict[tuple[int, str | None, str | None], list[dict[str, Any]]] = {}
    for row in rows:
        grouped.setdefault((row["number"], row["src"], row["dst"]), []).append(row)
    return findings_frame(case, [_finding(wanted[number], parts) for (number, _, _), parts in grouped.items()])


def coverage(case: Case, *, lists: Sequence[str | os.PathLike[str]] = ()) -> Coverage:
    """Return how many entries of the lists were looked for, and how many cannot be, with the reasons.

    Parameters
    ----------
    case
        The case.
    lists
        Files of indicators.
    """
    read = read_lists(lists)
    looked = len(read.indicators) if len(case.sources) else 0
    why = [f"{count:,} {reason}" for reason, count in sorted(read.refused.items())]
    why += ["no list was given"] if not lists else []
    return Coverage("indicators", looked, read.refused.total(), "; ".join(why), "indicators")


def _matched(wanted: Sequence[Indicator], hosts: Iterable[str]) -> pa.Table:
    """Return which hosts of the case are of which indicators."""
    domains: dict[str, list[int]] = {}
    for number, one in enumerate(wanted):
        if one.kind == "domain":
            domains.setdefault(one.value, []).append(number)
    networks = _Networks(wanted)
    found = []
    for host in hosts:
        if address_text(host):
            found += [{"number": number, "host": host} for number in networks.of(host)]
        else:
            labels = host.split(".")
            above = (".".join(labels[place:]) for place in range(len(labels)))
            found += [{"number": number, "host": host} for name in above for number in domains.get(name, ())]
    return pa.Table.from_pylist(found, MATCHED)


class _Networks:
    """The networks of indicators, looked up by their prefixes."""

    def __init__(self, wanted: Sequence[Indicator]) -> None:
        self._numbers: dict[tuple[int, int, int], list[int]] = {}
        for number, one in enumerate(wanted):
            if one.kind == "network":
                network = ip_network(one.value)
                key = (network.version, network.prefixlen, int(network.network_address))
                self._numbers.setdefault(key, []).append(number)
        self._lengths = sorted({(version, length) for version, length, _ in self._numbers})

    def of(self, host: str) -> Iterable[int]:
        """Return the indicators whose networks hold an address."""
        address = ip_address(host)
        for version, length in self._lengths:
            if version == address.version:
                prefix = int(address) >> (address.max_prefixlen - length) << (address.max_prefixlen - length)
                yield from self._numbers.get((version, length, prefix), ())


def _programs(wanted: Sequence[Indicator]) -> pa.Table:
    rows = [
        {"number": number, "kind": one.kind, "fingerprint": one.value}
        for number, one in enumerate(wanted)
        if one.kind in ("ja3", "ja4")
    ]
    return pa.Table.from_pylist(rows, PROGRAMS)


def _pages(wanted: Sequence[Indicator]) -> pa.Table:
    """Return URLs as requests have them: whole, as a proxy is asked, and without the server, as the server is."""
    rows = []
    for number, one in enumerate(wanted):
        if one.kind == "url":
            parts = urlsplit(one.value)
            host = address_text(parts.hostname or "") or host_name(parts.hostname or "")
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            rows.append({"number": number, "host": host, "url": one.value, "target": target})
    return pa.Table.from_pylist(rows, PAGES)


def _finding(one: Indicator, parts: list[dict[str, Any]]) -> dict[str, object]:
    src, dst = parts[0]["src"], parts[0]["dst"]
    name = next((part["name"] for part in parts if part["name"]), None)
    hits = sum(part["hits"] for part in parts)
    told = f", {one.label}" if one.label else ""
    shown = one.value.removesuffix("/32").removesuffix("/128") if one.kind == "network" else one.value
    reason = (
        f"{src or 'a client that the evidence does not name'} met {shown} ({one.kind} of {one.origin}{told}) in "
        f"{hits:,} record{'s' * (hits > 1)}"
    )
    return {
        "detector": "indicators",
        "start": min(part["start"] for part in parts),
        "end": max(part["end"] for part in parts) + np.timedelta64(1, "us").item(),
        "src": src,
        "dst": dst,
        "name": name,
        "value": float(hits),
        "expected": None,
        "score": one.confidence,
        "p_value": None,
        "q_value": None,
        "reason": reason,
        "evidence": [(part["source"], record) for part in parts for record in part["records"]],
    }
