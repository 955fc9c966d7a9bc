"""The one session of Spark that all tests share: it takes seconds to start."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


QUICK = (
    "--conf spark.sql.codegen.wholeStage=false --conf spark.sql.codegen.factoryMode=NO_CODEGEN "
    "--conf spark.sql.adaptive.enabled=false "
    '--driver-java-options "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=160m -XX:+UseSerialGC" pyspark-shell'
)
"""Compile no plan and little of Spark: for few rows that takes longer than it saves."""


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Return a session on this machine."""
    pytest.importorskip("pyspark", reason="PySpark is not installed (pip install 'forensics[spark]')")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed (apt install default-jre-headless)")
    from forensics.engines._session import session_of

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", QUICK)
        session = session_of("local[2]")
    yield session
    session.stop()
