"""The detectors: one module per kind of finding, found by being in this folder; all findings are of one shape.

A module is a detector when it has the members of `Detector`. There is no list to edit: add a module here and a folder
``sample_pcaps/detectors/<name>/`` with a quiet case and a loud one, and the contract tests and the reference know it.

Example::

    from forensics import detectors

    detectors.all_detectors()["beacons"].detect(case)
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import pandas as pd

    from forensics.case import Case
    from forensics.detectors._findings import Coverage

__all__ = ["Detector", "all_detectors"]


class Detector(Protocol):
    """What a module in this folder must have to be a detector; mypy checks modules against it.

    Both functions may take options beside the case: by keyword alone, each with a default.
    """

    TITLE: str
    """What it finds, in words."""

    VALUE: str
    """What ``value`` and ``expected`` of its findings are, with the unit in brackets."""

    SCORE: str
    """What ``score`` of its findings is, with the unit in brackets."""

    def detect(self, case: Case) -> pd.DataFrame:
        """Return the findings of a case, of the columns `forensics.schema.FINDING_COLUMNS`, in order of time.

        Parameters
        ----------
        case
            The case; it may be empty, or hold nothing that this detector can test.
        """

    def coverage(self, case: Case) -> Coverage:
        """Return what of a case could be tested, and what not, and why.

        Parameters
        ----------
        case
            The case.
        """


@cache
def all_detectors() -> dict[str, Detector]:
    """Return every detector by name, sorted; modules whose name begins with ``_`` are helpers, not detectors."""
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))
    return {name: cast("Detector", importlib.import_module(f"{__name__}.{name}")) for name in names}
