"""The steps of a query are found where they are written plainly, and a query is left alone where they are not."""

from __future__ import annotations

import pytest

from forensics.engines._steps import steps_of


def test_steps_and_what_stands_after_them() -> None:
    """Comments, quoted parentheses and parentheses within a step mislead nobody; letters may be large or small."""
    text = """-- what for
    with One AS (SELECT ')' AS a, count(*) AS n FROM (SELECT 1 AS x) /* ( */ GROUP BY 1), -- )
    two as (SELECT n FROM one JOIN One o ON true)
    SELECT n FROM TWO ORDER BY n NULLS LAST"""

    steps, rest = steps_of(text)

    assert [(step.name, step.named) for step in steps] == [("One", 2), ("two", 1)]
    assert steps[0].text == "SELECT ')' AS a, count(*) AS n FROM (SELECT 1 AS x) /* ( */ GROUP BY 1"
    assert rest == "SELECT n FROM TWO ORDER BY n NULLS LAST"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT 1",
        "WITH",
        "WITH a AS (",
        "WITH a AS (SELECT 1",
        "WITH a AS (SELECT 1)",
        "WITH a AS (SELECT 1), SELECT 2",
        "WITH a(n) AS (SELECT 1) SELECT n FROM a",
        "WITH RECURSIVE a AS (SELECT 1) SELECT * FROM a",
        "WITH a AS (SELECT 1) DROP VIEW a",
    ],
)
def test_other_queries_are_left_alone(text: str) -> None:
    """What is written in another way, or is no query, goes to the engine as it is."""
    assert steps_of(text) == ([], text)
