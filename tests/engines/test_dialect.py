"""The dialect of the queries: what DuckDB and Spark understand alike. Every query of the library is read.

The engines were compared on many expressions; each rule is about one on which they differ, most of them silently.
"""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "forensics"

TEMPLATES = {
    "detectors/_findings.py": {"since", "until"},
    "selection.py": {"condition"},
    "views.py": {"query", "time"},
}
"""Modules that put a query together, and from what: the analyst's own words, columns of ours, and numbers."""

ASKED = re.compile(r"\bSELECT\b.*\bFROM\b", re.DOTALL)
INSIDE = re.compile(r"--[^\n]*|'(?:[^']|'')*'")
INTEGERS = {"BIGINT", "INT", "INTEGER", "SMALLINT"}
WHOLE = re.compile(r"(NULL$|floor\(|ceil\(|round\(|count\(|sum\()", re.IGNORECASE)


class Rule(NamedTuple):
    """What must not stand in a query, why, and an example that it must refuse."""

    pattern: str
    why: str
    example: str


RULES = [
    Rule(r"\blog\(", "log is of base 10 on one and of base e on the other: write ln", "SELECT log(n) FROM t"),
    Rule(r"\bln\((?!nullif\(|1 \+)", "ln(0) differs: write ln(nullif(x, 0)) or ln(1 + x)", "SELECT ln(n) FROM t"),
    Rule(r"\bconcat\(", "concat with NULL differs: write ||", "SELECT concat(a, b) FROM t"),
    Rule(r"\bskewness\(", "of the sample, or of the population", "SELECT skewness(n) FROM t"),
    Rule(r"\bsubstr(ing)?\([^()]*,\s*0\b", "places begin at 1", "SELECT substring(a, 0, 2) FROM t"),
    Rule(r"\bsplit\(", "a text on one, a pattern on the other", "SELECT split(a, b) FROM t"),
    Rule(r"//|\bDIV\b", "only one of them knows it: write floor(a / b)", "SELECT a // 2 FROM t"),
    Rule(r"(?<!/)/(?!/|\s*(?:nullif\(|[1-9]))", "by 0 is an error on one: write / nullif(b, 0)", "SELECT a / b FROM t"),
    Rule(r"(?<![\w.])\d+\.\d*(?![\deE])", "a decimal on one: write 1.5e0", "SELECT 1.5 * a FROM t"),
    Rule(r"(?<!CAST\()\bsum\((?!CAST\()", "of 128 bits on one: write try_sum", "SELECT sum(n) FROM t"),
    Rule(r"\bTRY_CAST\(sum\(", "may be an error on one: write try_sum", "SELECT TRY_CAST(sum(n) AS BIGINT) FROM t"),
    Rule(r"\bepoch_\w+\(", "write unix_micros", "SELECT epoch_us(start) FROM t"),
    Rule(r"\bmake_timestamp", "write timestamp_micros", "SELECT make_timestamptz(1) FROM t"),
    Rule(r"\b(\w+_agg|listagg|list)\(", "any order: write sort_array(collect_list())", "SELECT string_agg(a) FROM t"),
    Rule(r"(?<!sort_array\()\bcollect_list\(", "any order: put it into sort_array", "SELECT collect_list(a) FROM t"),
    Rule(r"\b(first|last|any_value|arbitrary)\(", "gives any row: write min or max_by", "SELECT first(a) FROM t"),
    Rule(r"\bVARCHAR\b", "needs a length on one: write STRING", "SELECT CAST(a AS VARCHAR) FROM t"),
    Rule(r"::|`|\bQUALIFY\b", "only one of them knows it", "SELECT a::INT FROM t"),
]  # fmt: skip


def texts() -> dict[str, str]:
    """Return every query of the library by the place where it stands."""
    found = {f"sql/{path.name}": path.read_text("utf-8") for path in sorted((LIBRARY / "sql").glob("*.sql"))}
    for path in sorted(LIBRARY.rglob("*.py")):
        if path.parent.name != "engines":  # what an engine says to itself
            place = path.relative_to(LIBRARY).as_posix()
            found |= {f"{place}:{line}": text for line, text in queries(path.read_text("utf-8"))}
    return found


def queries(code: str) -> list[tuple[int, str]]:
    """Return the texts of a module that are queries, with their lines; what is filled in stands in braces."""
    tree = ast.parse(code)
    passed = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # documentation
    passed |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)]
    written = [(node.lineno, written_out(node)) for node in strings if id(node) not in passed]
    return [(line, text) for line, text in written if ASKED.search(text)]


def written_out(node: ast.Constant | ast.JoinedStr) -> str:
    """Return a text as it stands in a module."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def problems(text: str) -> list[str]:
    """Return what is wrong with a query."""
    plain = INSIDE.sub("''", text)
    found = [rule.why for rule in RULES if re.search(rule.pattern, plain, re.IGNORECASE)]
    return found + unordered(plain) + rounded(plain)


def inside(text: str, start: int) -> str:
    """Return what stands from a place on up to the parenthesis that ends it."""
    depth = 0
    for end in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth < 0:
            return text[start:end]
    return text[start:]


def parts(text: str) -> list[str]:
    """Return what commas part, those in parentheses aside."""
    flat = text
    while flat != (flat := re.sub(r"\([^()]*\)", lambda found: "_" * len(found[0]), flat)):
        pass
    cuts = [-1, *(found.start() for found in re.finditer(",", flat)), len(flat)]
    return [text[a + 1 : b] for a, b in pairwise(cuts)]


def unordered(text: str) -> list[str]:
    """Return the keys of an order that do not say where nulls go: first on one engine, last on the other."""
    found = []
    for order in re.finditer(r"\bORDER BY\b", text):
        clause = re.split(r"\b(LIMIT|ROWS|RANGE)\b", inside(text, order.end()))[0]
        found += [key.strip() for key in parts(clause) if not re.search(r"NULLS (FIRST|LAST)\s*$", key)]
    return [f"{key}: write NULLS FIRST or NULLS LAST" for key in found if key != "{}"]


def rounded(text: str) -> list[str]:
    """Return what is made a whole number in a way that differs: 2.5 becomes 3 on one engine, 2 on the other."""
    found = []
    for cast in re.finditer(r"\b(TRY_)?CAST\(", text):
        value, _, kind = inside(text, cast.end()).rpartition(" AS ")
        if kind.strip() in INTEGERS and not WHOLE.match(value.strip()):
            found.append(f"{value.strip()}: write CAST(floor(x) AS {kind.strip()})")
    return found


@pytest.mark.parametrize(("place", "text"), texts().items(), ids=texts().keys())
def test_a_query_keeps_to_the_dialect(place: str, text: str) -> None:
    """Nothing stands in a query on which the engines differ; a query that is put together is so from known words."""
    filled = set(re.findall(r"\{(\w+)\}", text))

    assert problems(text) == []
    assert filled <= TEMPLATES.get(place.partition(":")[0], set())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.example)
def test_a_rule_refuses_its_example(rule: Rule) -> None:
    """No rule is blind."""
    assert rule.why in problems(rule.example)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT a FROM t ORDER BY a",
        "SELECT a FROM t ORDER BY a NULLS LAST, b DESC",
        "SELECT row_number() OVER (PARTITION BY a ORDER BY b) AS n FROM t ORDER BY n NULLS LAST",
        "SELECT CAST(a / 2 AS BIGINT) AS n FROM t",
        "SELECT TRY_CAST(a AS INT) AS n FROM t",
    ],
)
def test_orders_and_whole_numbers_are_checked(text: str) -> None:
    """Keys without a place for nulls, and fractions that are rounded, are noticed wherever they stand."""
    assert problems(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 'log(x) / 0' AS a FROM t -- ORDER BY a // 2",
        "SELECT a / nullif(b, 0) + 1.5e0 * c / 2 FROM t ORDER BY coalesce(a, b) DESC NULLS LAST, c NULLS FIRST LIMIT 3",
        "SELECT try_sum(a), CAST(floor(b) AS BIGINT), sum(CAST(a AS DOUBLE)), CAST(NULL AS INT) FROM t",
        "SELECT sort_array(collect_list(a)) AS logs, first, t.last FROM t",
    ],
)
def test_what_is_lawful_passes(text: str) -> None:
    """The rules refuse no more than they must."""
    assert problems(text) == []


def test_all_queries_are_read() -> None:
    """Queries in modules are found, those that are put together too; documentation is none."""
    code = '"""SELECT a FROM doc."""\nQ = "SELECT a FROM t"\n"""SELECT b FROM doc."""\nf(f"SELECT {x} FROM t")\n'

    assert queries(code) == [(2, "SELECT a FROM t"), (4, "SELECT {} FROM t")]
    assert {place.partition(":")[0] for place in texts()} >= {"relays/traits.py", "views.py", "detectors/_pairs.py"}
