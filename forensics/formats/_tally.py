"""How many there are of what a file holds, by name: what a hostile file can have any number of names for.

Example: ``tally.add(kind, 12)`` for each block, and at the end ``notes["skipped_paths"] = tally.told()``.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock

__all__ = ["LISTED", "Tally"]

LISTED = 50
"""Names that are told apart in the notes of a file; more are ``(others)``."""


class Tally:
    """Counts by name, to which several threads may add."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._lock = Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Add to the count of a name."""
        if count:
            with self._lock:
                self._counts[name if name in self._counts or len(self._counts) < LISTED else "(others)"] += count

    def told(self) -> dict[str, int]:
        """Return the counts, in the order of the names."""
        return dict(sorted(self._counts.items()))
