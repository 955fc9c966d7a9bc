"""How many there are of what a file holds, by name: what a hostile file can have any number of names for.

Example: ``tally.add(kind, 12)`` for each block, and at the end ``notes["skipped_paths"] = tally.told()``.
"""

from __future__ import annotations

from collections import Counter
from threading import Lock

__all__ = ["LISTED", "Tally"]

LISTED = 50
"""Names that are told apart in the notes of a file: the first in their order; all others are ``(others)``."""

_OTHERS = "(others)"


class Tally:
    """Counts by name, to which several threads may add."""

    def __init__(self) -> None:
        self._counts = Counter[str]()
        self._others = 0
        self._lock = Lock()

    def add(self, name: str, count: int = 1) -> None:
        """Add to the count of a name."""
        if not count:
            return
        with self._lock:
            self._counts[name] += count
            if len(self._counts) > LISTED:  # which names are kept must not depend on which thread came first
                self._others += self._counts.pop(max(self._counts))

    def told(self) -> dict[str, int]:
        """Return the counts, in the order of the names."""
        others = {_OTHERS: self._others} if self._others else {}
        return dict(sorted((self._counts | others).items()))
