"""What all tests share: the samples, the corpus, tshark, and the switch that forbids skipping.

``FORENSICS_CORPUS``
    Folder of real captures and logs with known truth. Tests that take the `corpus` fixture skip without it.
``FORENSICS_NO_SKIP``
    Set to 1 where everything is installed (CI): a skip is then a failure. Only where there is no corpus are its
    tests left out, and counted as deselected.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from forensics.clocks import find_clocks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from forensics.case import Case

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_pcaps"
NO_SKIP = os.environ.get("FORENSICS_NO_SKIP") == "1"
CORPUS = os.environ.get("FORENSICS_CORPUS")

# Compiling a loop takes seconds the first time: no deadline. CI repeats the same examples, so that it judges the
# change and not the day's luck; everyone else's run looks for new ones.
settings.register_profile("forensics", deadline=None, print_blob=True, derandomize=NO_SKIP)
settings.load_profile("forensics")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the switch that writes golden files anew instead of comparing with them; read them before committing."""
    parser.addoption("--update-golden", action="store_true", help="write the expected output of samples anew")


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Return the folder of real evidence with known truth."""
    if not CORPUS:
        pytest.skip("FORENSICS_CORPUS names no folder of real evidence")
    path = Path(CORPUS).resolve()
    if not path.is_dir():
        pytest.fail(f"FORENSICS_CORPUS is {CORPUS!r}, which is no folder")
    return path


@pytest.fixture(scope="session")
def offsets_of() -> Callable[[Case], dict[str, float]]:
    """Return what gives the clock offsets of a case's sources, without those that could not be compared. [s]"""

    def offsets(case: Case) -> dict[str, float]:
        clocks = find_clocks(case)
        found = {source: clocks.main_offset(source) for source in clocks.references}
        return {source: offset for source, offset in found.items() if offset is not None}

    return offsets


@pytest.fixture(scope="session")
def lab() -> Path:
    """Return the samples recorded in the laboratory: real programs in a small network."""
    return SAMPLES / "lab"


@pytest.fixture(scope="session")
def campaign() -> Path:
    """Return the samples of the made-up campaign with planted truth."""
    return SAMPLES / "campaign"


@pytest.fixture(scope="session")
def tshark() -> str:
    """Return the path of tshark, the oracle of everything read from captures."""
    path = shutil.which("tshark")
    if path is None:
        pytest.skip("tshark is not installed (apt install tshark)")
    return path


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that need the corpus where skipping is forbidden and there is no corpus."""
    if not NO_SKIP or CORPUS:
        return
    needing = [item for item in items if "corpus" in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=needing)
    items[:] = [item for item in items if item not in needing]


def _fail_where_skipped(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure that gives the skip's reason; an expected failure stays one."""
    if NO_SKIP and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"FORENSICS_NO_SKIP=1 allows no skip, and this was one: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge the skips of tests and fixtures."""
    report = yield
    _fail_where_skipped(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge the skips of whole modules."""
    report = yield
    _fail_where_skipped(report)
    return report
