r"""Direct connections with outside servers, of terminals that otherwise use the proxy.

Programs that people use go through the proxy, since they are told to. Malware that does not know of it, or does not
want to be logged, tries the direct way; the advice of 2015 to the offices attacked with Emdivi was to look for just
that. A finding is a terminal, a server and a port with a direct connection

- on a day on which the terminal used a proxy as well, which the case must show: a proxy's log, or requests to a proxy
  in a capture;
- to a port that the proxy is there for (``ports``: the web's), of a server outside of the office: private addresses
  are what proxy rules exclude everywhere;
- which no proxy's log has too: a proxy in the path sees what terminals take for direct;
- with a server that ``crowd`` or more of the proxy's users (at least `FEW`) do not reach directly: what many do is a
  rule of the proxy's configuration.

There is no p-value; these are facts. With :math:`t` contacts through the proxy and :math:`d` connections past it, the
score is the share of the proxy in what the terminal does,

.. math:: s = \frac{t}{t + d}

halved where no answer was seen: a firewall that lets nobody past leaves such attempts, and they are findings, since
some program tried.

When it misleads
----------------
Update programs, telephones and clocks often know no proxy. A notebook that was at home the same day went out directly
there. What stands in the proxy rules for one or two terminals is not told from malware: ask who keeps the rules.

References
----------
.. [1] IPA, advice on targeted attacks of 10 June 2015 (in Japanese), as reported by Mynavi News, 12 June 2015: look for
   direct connections that go past the proxy.
.. [2] RFC 1918, RFC 4193: private addresses.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from forensics.addresses import is_private
from forensics.detectors._findings import (
    Coverage,
    findings_frame,
    records_of,
    server_text,
    size_text,
    time_text,
    with_evidence,
)
from forensics.detectors._office import office_of, quarters_of
from forensics.detectors._remembered import remembered
from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from forensics.case import Case

__all__ = ["SCORE", "TITLE", "VALUE", "WEB", "coverage", "detect"]

TITLE = "Direct connections past the proxy"
VALUE = "direct connections [1]"
SCORE = "share of the proxy in the terminal's contacts, halved without an answer [1]"

WEB = (80, 443, 8000, 8008, 8080, 8443, 8888)
"""Ports of the web: TCP, and UDP where QUIC runs over them."""

FEW = 3
"""Fewer terminals than this are no crowd in any office."""

LEAST = timedelta(microseconds=1)

EVIDENCE = """
SELECT f.finding AS finding, c.source AS source, c.record AS record
FROM flows c
JOIN found f ON c.src = f.src AND c.dst = f.server AND c.dst_port = f.port AND c.proto = f.proto
WHERE c.via IS NULL AND c.start >= f.start AND c.start <= f."end"
"""


def detect(case: Case, *, ports: Sequence[int] = WEB, crowd: float = 0.2) -> pd.DataFrame:
    """Return the direct connections past the proxy of a case, as findings, in order of time.

    Parameters
    ----------
    case
        The case.
    ports
        Ports of servers that are for the proxy.
    crowd
        Share of the proxy's users whose common direct servers are a rule and no finding. [1]

    Returns
    -------
    pandas.DataFrame
        Findings (`forensics.schema.FINDING_COLUMNS`), one per terminal, server and port: ``value`` is the number of
        direct connections [1], ``score`` the share of the proxy [1]; ``expected`` and both probabilities are null.

    Raises
    ------
    ValueError
        An option is out of its range.
    """
    if not ports or not all(0 < port < 65_536 for port in ports) or not 0 < crowd <= 1:  # noqa: PLR2004  # RFC 9293
        raise ValueError("ports from 1 to 65535 and 0 < crowd <= 1 are needed")
    users = _users(case)
    if not users:
        return findings_frame(case, [])
    both = [(port, proto) for port in sorted(set(ports)) for proto in ("tcp", "udp")]
    table = pa.table({"port": pa.array([one[0] for one in both], pa.int32()), "proto": [one[1] for one in both]})
    quarters = quarters_of(case, hours=(0, 24), holidays=())
    rows = case.sql(query_text("proxy_bypass"), ports=table, quarters=quarters, **office_of(case)).to_arrow()
    most = max(FEW, crowd * len(users))
    # no proxy is asked for private addresses, whichever network they are of
    kept = [row for row in rows.to_pylist() if row["terminals"] < most and not is_private(row["server"])]
    found = [_finding(case, row, users[row["src"]]) for row in kept]
    return findings_frame(case, _with_evidence(case, kept, found))


def coverage(case: Case) -> Coverage:
    """Return how many terminals use a proxy, and how many do not, or were never seen without one.

    Parameters
    ----------
    case
        The case.
    """
    users, terminals = _users(case), len(office_of(case)["terminals"])
    why = []
    if not users:
        why = ["the case shows no proxy"] if terminals else []
    elif len(users) < terminals:
        why = [f"{terminals - len(users):,} terminals use no proxy"]
    if users and not sum(past for _, past in users.values()):
        why.append("no evidence shows connections that do not go through the proxy: it is a proxy's log alone")
    return Coverage("proxy_bypass", len(users), terminals - len(users), "; ".join(why), "terminals")


@remembered
def _users(case: Case) -> dict[str, tuple[int, int]]:
    """Return the terminals that use a proxy, with their contacts through it and past it."""
    rows = case.sql(query_text("proxy_users"), **office_of(case)).to_arrow().to_pylist()
    return {row["src"]: (row["through"], row["past"]) for row in rows if row["through"]}


def _finding(case: Case, row: dict[str, Any], uses: tuple[int, int]) -> dict[str, object]:
    through, past = uses
    share = through / (through + max(past, row["connections"]))
    named = row["name"] if row["name"] != row["server"] else None
    shown = server_text(row["server"], named)
    since = time_text(row["start"], case.timezone)
    answer = {1: "", 0: "; nothing was answered", None: "; whether it was answered is not known"}[row["answered"]]
    sent = f", {size_text(row['sent'])} sent" if row["sent"] is not None else ""
    times = f"{row['connections']:,} connection{'s' * (row['connections'] > 1)}"
    return {
        "detector": "proxy_bypass",
        "start": row["start"],
        "end": max(row["end"], row["start"] + LEAST),
        "src": row["src"],
        "dst": row["server"],
        "name": named,
        "value": float(row["connections"]),
        "expected": None,
        "score": share if row["answered"] != 0 else share / 2,
        "p_value": None,
        "q_value": None,
        "reason": f"{row['src']} went past the proxy to {shown} port {row['port']} ({row['proto']}): {times} from "
        f"{since}{sent}{answer}; its other {through:,} contacts went through the proxy",
    }


def _with_evidence(case: Case, rows: list[dict[str, Any]], found: list[dict[str, object]]) -> list[dict[str, object]]:
    """Return findings with the flows behind them."""
    moment = pa.timestamp("us", "UTC")
    text = {name: pa.string() for name in ("src", "server", "proto")}
    schema = pa.schema({"finding": pa.int64(), "port": pa.int32(), "start": moment, "end": moment} | text)
    keys = [{"finding": number} | row for number, row in enumerate(rows)]
    behind = records_of(case, EVIDENCE, pa.Table.from_pylist(keys, schema))
    return with_evidence(found, behind)
