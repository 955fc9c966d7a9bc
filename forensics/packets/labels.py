"""What the packets of flows told about them, each distinct thing kept once."""

from __future__ import annotations

from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forensics.packets.layout import Longs

__all__ = ["Label", "Labels"]

_SPARE = 65_536  # labels without a flow that are put up with


class Label(NamedTuple):
    """What the packets of one flow told about it.

    Parameters
    ----------
    service
        Application protocol, as Zeek names it.
    name
        Host name that the client asked for.
    proxied
        Whether the flow's server is a proxy that the client spoke through to one single host.
    address
        That host, where the client gave an address and no name.
    """

    service: str | None = None
    name: str | None = None
    proxied: bool = False
    address: str | None = None


class Labels:
    """The labels of flows, by their serial numbers."""

    def __init__(self) -> None:
        self._codes: dict[int, int] = {}
        self._known = [Label()]
        self._numbers = {Label(): 0}

    def _number(self, label: Label) -> int:
        """Return the number of a label."""
        number = self._numbers.setdefault(label, len(self._known))
        if number == len(self._known):
            self._known.append(label)
        return number

    def __contains__(self, serial: int) -> bool:
        """Tell whether anything is known of a flow."""
        return serial in self._codes

    def __setitem__(self, serial: int, label: Label) -> None:
        """Note what is known of a flow."""
        self._codes[serial] = self._number(label)

    def get(self, serial: int) -> Label | None:
        """Return what is known of a flow."""
        code = self._codes.get(serial)
        return None if code is None else self._known[code]

    def put(self, serials: Iterable[int], labels: list[Label], which: Longs) -> None:
        """Note what is known of many flows.

        Parameters
        ----------
        serials
            The n flows.
        labels
            Distinct labels.
        which
            For each flow the index of its own. (n,)
        """
        numbers = np.array([self._number(label) for label in labels], dtype=np.int64)
        self._codes.update(zip(serials, numbers[which].tolist(), strict=True))

    def of(self, serials: Longs) -> tuple[Longs, list[Label]]:
        """Return for each flow the index of its label in a list of those that they have; the empty one for none."""
        codes = np.fromiter(map(self._codes.get, serials.tolist(), repeat(0)), dtype=np.int64, count=len(serials))
        encoded = pa.array(codes).dictionary_encode()
        return encoded.indices.to_numpy(), [self._known[code] for code in encoded.dictionary.to_pylist()]

    def forget(self, serials: list[int]) -> None:
        """Drop what is known of flows, and labels that none has any more where they have piled up."""
        deque(map(self._codes.pop, serials, repeat(None)), maxlen=0)
        if len(self._known) > 2 * len(self._codes) + _SPARE:
            codes, known = self._codes, self._known
            self._codes, self._known, self._numbers = {}, known[:1], {known[0]: 0}
            for serial, code in codes.items():
                self[serial] = known[code]
