"""Tables that several detectors stand on; while a case is ``keeping``, they are worked out once for all of them."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa

from forensics.detectors._office import clients_of, office_of, others_of, quarters_of
from forensics.engines import query_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forensics.case import Case

__all__ = ["meetings_held", "windows_held"]


@contextmanager
def windows_held(case: Case, length: timedelta) -> Iterator[None]:
    """Have windows of a case as tables until the end of the block: ``volume_windows``, and ``volume_pairs`` of them.

    Parameters
    ----------
    case
        The case.
    length
        Length of a window.
    """
    size = length // timedelta(microseconds=1)
    asked = {"options": pa.table({"size": pa.array([size], pa.int64())}), "members": clients_of(case)}
    windows = case.sql(query_text("volume_windows"), **asked, outside=office_of(case)["outside"])
    with windows.held("volume_windows", size), case.sql(query_text("volume_pairs")).held("volume_pairs", size):
        yield


@contextmanager
def meetings_held(case: Case) -> Iterator[None]:
    """Have what is known of which terminal met which server as a table ``meetings``, until the end of the block.

    Parameters
    ----------
    case
        The case.
    """
    asked = {"terminals": office_of(case)["terminals"], "servers": others_of(case)}
    asked["quarters"] = quarters_of(case, hours=(0, 24), holidays=())
    with case.sql(query_text("meetings"), **asked).held("meetings"):
        yield
