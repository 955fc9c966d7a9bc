"""Write glossary.md: the words, and every column of every table as `forensics.schema` declares it.

Run ``python docs/make_glossary.py`` after a change of the schema; a test fails while the page is stale.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from forensics.schema import EXCHANGES, FINDINGS, TABLES, Table

PAGE = Path(__file__).with_name("glossary.md")
NOTE = "<!-- Made by docs/make_glossary.py from forensics/schema.py: change those, not this page. -->"

WORDS = {
    "asserted": "Known from outside the evidence, for example from a report of others: the weakest tier of an edge.",
    "beacon": "Connections of one terminal to one server that recur at a near constant interval.",
    "case": "The tables of one investigation, with where each row comes from.",
    "chain": "The hops that a session took one after the other, as far as the evidence reaches.",
    "clock offset": "What the clock of a source shows minus what the reference clock shows at that moment.",
    "drift": "By how much a clock gains on the reference clock, in millionths [ppm]: 10 ppm are 0.9 s a day.",
    "finding": "One statement of a detector, with its strength, its reason and the records it stands on.",
    "flow": "One connection, or one request of a log: who, to whom, when, how much each way.",
    "gap": "What a source should tell and does not: a time without records, lost records, an end that comes too early.",
    "hop": "One link of a chain of connections: from a terminal to a relay, or from a relay to the next.",
    "matched": "What goes into a relay and what comes out of it keep step: a tier of an edge, with p- and q-value.",
    "observed": "One record names both ends: the strongest tier of an edge.",
    "proxy": "A server of the office's own through which its terminals reach the web.",
    "reference clock": "The clock of the source that shares events with most others; it is taken to be right.",
    "reject": "A record that could not be read, kept with its reason and its raw bytes.",
    "relay": "A server between a terminal and the attackers; also called hop server.",
    "set": "The files in which one log was kept over time, as rotation names them; they are of one vantage.",
    "shared": "Infected terminals use the same rare server, more than chance explains: a tier of an edge.",
    "silence": "A time without a record in which, by the log's own rhythm, there should be some.",
    "source": "One evidence file.",
    "spike": "An unusual volume from one terminal to one server in one span of time.",
    "terminal": "A computer of the organisation under investigation.",
    "tier": "How an edge of the hop graph is known: observed, shared, matched or asserted. Never upgraded.",
    "upstream": "What lies beyond a relay, as seen from the terminal.",
    "vantage": "Observation point: where a source was recorded.",
}


def table_section(table: Table) -> list[str]:
    """Return the lines that describe one table."""
    head = [
        f"### {table.name}",
        "",
        table.doc,
        "",
        "| column | type | what it holds | null means |",
        "|---|---|---|---|",
    ]
    rows = [f"| `{c.name}` | {type_name(c.type)} | {cell(c.doc)} | {cell(c.null)} |" for c in table.columns]
    return [*head, *rows, ""]


def type_name(kind: pa.DataType) -> str:
    """Return the name of an Arrow type in words of the page."""
    if pa.types.is_dictionary(kind):
        return str(kind.value_type)
    return "time (UTC)" if pa.types.is_timestamp(kind) else str(kind)


def cell(text: str) -> str:
    """Return a text that keeps to its cell of a table."""
    return text.replace("|", "\\|")


def glossary() -> str:
    """Return the whole page."""
    lines = [
        NOTE,
        "",
        "# Glossary",
        "",
        "## Words",
        "",
        *(line for word, meaning in sorted(WORDS.items()) for line in (word, f": {meaning}", "")),
        "## Tables",
        "",
        "Units stand in brackets: [B] bytes, [s] seconds. Times are UTC, to the microsecond. A null always means that",
        "something was *not observed*; no column holds a 0 in its place.",
        "",
        *(line for table in (*TABLES.values(), FINDINGS) for line in table_section(table)),
        "## Stored once",
        "",
        "On disk, a record that is a flow and a request stands once, in `exchanges.parquet`. Queries see its rows in",
        "`flows`, `requests` and `names`; how they follow from it is in [the folder of a case](reference/case.md).",
        "",
        *table_section(EXCHANGES),
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(glossary(), encoding="utf-8")
    print(f"Wrote {PAGE.name}")
