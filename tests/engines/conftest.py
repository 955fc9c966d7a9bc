"""The one session of Spark that all tests share: it takes seconds to start."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """Return a session on this machine."""
    pytest.importorskip("pyspark", reason="PySpark is not installed (pip install 'forensics[spark]')")
    if shutil.which("java") is None:
        pytest.skip("Java is not installed (apt install default-jre-headless)")
    from forensics.engines.spark import session_of

    session = session_of("local[2]")
    yield session
    session.stop()
