"""Cases made of a few rows, for the tests of what is found in them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from forensics.case import Case
from forensics.memory import MemoryStore
from forensics.reading.spread import spread_over_minutes
from forensics.schema import TABLES

Row = Mapping[str, object]
MakeCase = Callable[..., Case]

START = int(datetime(2015, 5, 11, tzinfo=UTC).timestamp()) * 1_000_000
"""A Monday, 09:00 in Tokyo. [us]"""


def _flow(number: int, row: Row) -> dict[str, object]:
    defaults: dict[str, object] = {"bytes_kind": "application", "vantage": "access", "source": "access.log"}
    return {"record": number, "end": row["start"], **defaults, **row}


@pytest.fixture
def make_case() -> MakeCase:
    """Return a maker of cases: rows of flows, names and requests in, a case in memory out."""

    def make(
        flows: Iterable[Row], names: Iterable[Row] = (), requests: Iterable[Row] = (), zone: str = "Asia/Tokyo"
    ) -> Case:
        numbered = [_flow(number, row) for number, row in enumerate(flows, 1)]
        store = MemoryStore()
        sources = sorted({str(row["source"]): str(row["vantage"]) for row in numbered}.items())
        for source, vantage in sources:
            part = store.begin()
            mine = [row for row in numbered if row["source"] == source]
            batch = pa.RecordBatch.from_pylist(mine, schema=TABLES["flows"].schema)
            part.write("flows", batch)
            for volumes in spread_over_minutes(batch):
                part.write("volumes", volumes)
            if source == sources[0][0]:
                part.write("names", pa.RecordBatch.from_pylist(list(names), schema=TABLES["names"].schema))
                part.write("requests", pa.RecordBatch.from_pylist(list(requests), schema=TABLES["requests"].schema))
            row = {"source": source, "sha256": f"hash of {source}", "size": 1, "format": "test", "vantage": vantage}
            counts = {"records": len(mine), "rejected": 0, "flows": len(mine)}
            observed = {
                f"observed_{side}": sum(r.get(f"bytes_{side}") is not None for r in mine) for side in ("out", "in")
            }
            part.commit({**row, **counts, **observed, "error": None}, None, None)
        return Case(store, title="test", timezone=ZoneInfo(zone))

    return make
