"""Connections that say what most say, and of which nothing out of the ordinary is known, are read together.

All picks of a connection, as far as they have come, are read here, or all of one end's: whatever else there is of it is
read one pick after the other, by `forensics.packets.applications`, and says the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from forensics.packets import layout
from forensics.packets.dialogues import read_dialogues
from forensics.packets.flights import read_handshakes
from forensics.packets.joining import join

if TYPE_CHECKING:
    from collections.abc import Container

    from forensics.packets.conversations import Conversation
    from forensics.packets.flights import Shown
    from forensics.packets.harvest import Picks
    from forensics.packets.joining import Joined
    from forensics.packets.labels import Labels
    from forensics.packets.layout import Longs
    from forensics.packets.telling import Teller

    Flags = npt.NDArray[np.bool_]

__all__ = ["read_together"]


def _speaks(said: Longs, begins: int, *others: int) -> Flags:
    """Tell whose picks are beginnings of a kind, what goes on, and others of these kinds; sums of bits."""
    allowed = sum(1 << kind for kind in (layout.CONTINUES, begins, *others))
    found: Flags = (said & ~allowed == 0) & (said >> begins & 1 == 1)
    return found


def read_together(
    picks: Picks,
    teller: Teller,
    labels: Labels,
    conversations: dict[int, Conversation],
    early: Container[int],
) -> tuple[Flags, dict[int, Shown]]:
    """Read what can be.

    Parameters
    ----------
    picks
        Picked packets.
    teller
        Writes the rows.
    labels, conversations
        What is known of flows, by their serial number.
    early
        Flows of which pieces from before a beginning are kept.

    Returns
    -------
    tuple
        Which picks were read; and certificates that are left to be told, by their places.
    """
    read: Flags = np.zeros(len(picks.columns), dtype=np.bool_)
    tcp = np.flatnonzero(picks.columns[:, layout.P_KIND] == layout.PICK_TCP)
    flows, which = np.unique(picks.columns[tcp, layout.P_SERIAL], return_inverse=True)
    said = np.zeros(len(flows), dtype=np.int64)
    np.bitwise_or.at(said, which, 1 << picks.columns[tcp, layout.P_START])
    for place, (serial, kinds) in enumerate(zip(flows.tolist(), said.tolist(), strict=True)):
        label = labels.get(serial)
        other = label is not None and (label.service == "http") != bool(kinds >> layout.BEGINS_HTTP & 1)
        if other or serial in conversations or serial in early:
            said[place] = 0
    tls = tcp[_speaks(said, layout.BEGINS_TLS)[which]]
    http = tcp[_speaks(said, layout.BEGINS_HTTP, layout.ENDS)[which]]
    shown: dict[int, Shown] = {}
    if len(tls):
        joined = join(picks, tls)
        done, shown = read_handshakes(teller, labels, joined)
        _mark(read, joined, done)
    if len(http):
        joined = join(picks, http)
        _mark(read, joined, read_dialogues(teller, labels, conversations, joined))
    return read, shown


def _mark(read: Flags, joined: Joined, done: Flags) -> None:
    """Mark the pieces of messages that were read."""
    read[joined.places[done[joined.owners]]] = True
