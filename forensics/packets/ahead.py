"""One iterator's items made in a thread of its own, a bounded number ahead of who uses them.

The packet loops, NumPy, Arrow and the hash all let other threads run while they work, so that two of them keep two
cores busy.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

__all__ = ["made_ahead"]

_Item = TypeVar("_Item")

PATIENCE = 0.1
"""How long the thread waits for room before it looks whether anyone still wants its items. [s]"""


class _Maker(threading.Thread):
    """Runs an iterator and puts its items into a queue, an exception as the last of them."""

    def __init__(self, items: Iterator[object], depth: int) -> None:
        super().__init__(name="made-ahead", daemon=True)
        self.made: queue.Queue[tuple[object, BaseException | None]] = queue.Queue(depth)
        self.unwanted = threading.Event()
        self._items = items

    def run(self) -> None:
        """Make all items, or those that are wanted."""
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item, None):
                    return
            error = StopIteration()
        except BaseException as failure:  # noqa: BLE001 - whatever it is, the user's thread must see it
            error = failure
        self._put(None, error)

    def _put(self, item: object, error: BaseException | None) -> bool:
        """Hand an item over once there is room; tell whether it was wanted."""
        while not self.unwanted.is_set():
            try:
                self.made.put((item, error), timeout=PATIENCE)
            except queue.Full:
                continue
            return True
        return False


def made_ahead(
    items: Iterator[_Item], depth: int = 3, meanwhile: Callable[[], object] = lambda: None
) -> Generator[_Item]:
    """Yield the items of an iterator, which runs in a thread of its own.

    Parameters
    ----------
    items
        The iterator; nothing else may use it, or what it uses, until this one is closed.
    depth
        How many items may lie ready; one more is in the making.
    meanwhile
        What this thread does while the first item is made.

    Raises
    ------
    BaseException
        Whatever the iterator raises, in its place among the items.
    """
    maker = _Maker(items, depth)
    maker.start()
    try:
        meanwhile()
        while True:
            item, error = maker.made.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # what came out of an iterator of these items
    finally:
        maker.unwanted.set()
        maker.join()
