"""The result of an investigation in a few sentences.

Example: ``summary_of(graph, spikes, relays, "Asia/Tokyo", words)``; the first sentence is the main result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from forensics.drawing.style import format_bytes, format_time
from forensics.words import ENGLISH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from networkx import MultiDiGraph

    from forensics.words import Words

__all__ = ["WEIGHT", "clocks_told", "pivot_told", "statement_of", "summary_of"]

Row = Mapping[str, Any]

REASONS = 3
"""How many reasons of a candidate the summary tells."""

WEIGHT = re.compile(r"\(([+-][0-9.]+)\)$")
"""The weight of a candidate's reason, at its end."""


def statement_of(graph: MultiDiGraph[str], words: Words) -> str:
    """Return the main result in one line, as `forensics.build_hop_graph` says it, or in another language."""
    if words.language == ENGLISH.language:
        return str(graph.graph["statement"])
    relays = [bool(data.get("passes_on")) for _, data in graph.nodes(data=True) if data.get("role") == "relay"]
    told = "Relays that passed traffic on, on record: at least {passing:,}; other candidates: {alike:,}."
    return words(told, passing=sum(relays), alike=len(relays) - sum(relays))


def summary_of(
    graph: MultiDiGraph[str], spikes: Sequence[Row], relays: Sequence[Row], zone: str, words: Words
) -> list[str]:
    """Return the result in sentences, the most important first.

    Parameters
    ----------
    graph
        The hop graph.
    spikes, relays
        The findings and candidates that are told, in their order; of a candidate the reasons that weigh most.
    zone
        IANA name of the zone in which times are told.
    words
        The language. In English, spikes stand as the detectors give them; in others, as their columns say.

    Returns
    -------
    list of str
        Sentences. They hold text of the evidence as it is; escape them for where they are shown.
    """
    chains = graph.graph["chains"]
    statement = statement_of(graph, words)
    if words.language == ENGLISH.language:
        text = [f"{statement.capitalize()}."]
        text += [f"{chain['reason']}: {' -> '.join(chain['hops'])}." for chain in chains]
        text += [f"{row['reason']}." for row in spikes]
        text += [
            f"{_kind(graph, row['dst'])} no. {row['rank']}: {_named(row)}; {'; '.join(_strongest(row))}."
            for row in relays
        ]
        return text
    return [
        statement,
        *(_chain(chain, words) for chain in chains),
        *(_spike(row, zone, words) for row in spikes),
        *(_relay(graph, row, words) for row in relays),
    ]


def clocks_told(rows: Sequence[Row], words: Words) -> list[str]:
    """Return in sentences what was assumed of clocks.

    Parameters
    ----------
    rows
        Rows of `forensics.find_clock_offsets`.
    words
        The language.
    """
    text = []
    for row in rows:
        source, reference = row["source"], row["reference"]
        if reference == source:
            told = "{source}: its clock was taken to be right, and others were compared with it."
            text.append(words(told, source=source))
        elif reference is not None:
            note = f" ({words.told(row['note'])})" if row["note"] else ""
            told = "{source}: its clock differs by {offset:+z,.3f} s from that of {reference}{note}."
            differs = words(told, source=source, reference=reference, note=note, offset=row["offset"])
            told = "Events that agree: {matches:,}; half of them lie within {spread:.3f} s."
            text.append(f"{differs} {words(told, matches=row['matches'], spread=row['spread'])}")
    alone = {row["source"]: f"{row['source']} {row['matches']:,}" for row in rows if row["reference"] is None}
    if alone:
        told = "The clocks of {sources} could not be compared with another and were taken to be right."
        taken = words(told, sources=", ".join(alone))
        told = "Events that another source may have seen, too, are too few: {counts}."
        text.append(f"{taken} {words(told, counts=', '.join(alone.values()))}")
    return text


def pivot_told(pivot: Row, words: Words) -> str:
    """Return in a sentence what a terminal reached while it was in contact with a relay."""
    relay, terminal, host = pivot["hops"]
    told = "{terminal} reached {host} by {services} while in contact with {relay}."
    return words(told, terminal=terminal, host=host, relay=relay, services=", ".join(pivot["services"]))


def _kind(graph: MultiDiGraph[str], server: str) -> str:
    """Return what a ranked server is called: a rank is no proof, a chain through it is."""
    passes_on = server in graph and graph.nodes[server].get("passes_on")
    return "Relay" if passes_on else "Candidate"


def _named(row: Row) -> str:
    """Return a server with its names."""
    return f"{row['dst']} ({row['names']})" if row["names"] else str(row["dst"])


def _strongest(row: Row) -> list[str]:
    """Return the reasons that weigh most for a candidate; the list of relays has all of them."""
    reasons = [(float(found[1]), text) for text in row["reasons"].split("; ") if (found := WEIGHT.search(text))]
    chosen = sorted(reasons, key=lambda reason: -reason[0])[:REASONS]
    return [text for _, text in chosen] or [str(row["reasons"])]


def _chain(chain: Row, words: Words) -> str:
    hops = [str(hop) for hop in chain["hops"]]
    told = "{hops}: {count:,} sessions match in timing and volume at {relays}."
    return words(told, hops=" \N{RIGHTWARDS ARROW} ".join(hops), count=chain["sessions"], relays=", ".join(hops[1:-1]))


def _spike(row: Row, zone: str, words: Words) -> str:
    start, end = (format_time(row[key], zone) for key in ("start", "end"))
    told = "{src} sent {bytes} to {dst} between {start} and {end}."
    return words(told, src=row["src"], dst=row["dst"], bytes=format_bytes(row["value"]), start=start, end=end)


def _relay(graph: MultiDiGraph[str], row: Row, words: Words) -> str:
    told = f"{_kind(graph, row['dst'])} no. {{rank}}: {{server}}. Terminals: {{terminals}}. Main reasons: {{reasons}}."
    reasons = words.joint.join(map(words.told, _strongest(row)))
    return words(told, rank=row["rank"], server=_named(row), terminals=row["terminals"], reasons=reasons)
