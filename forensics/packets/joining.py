"""Messages of TCP streams put together from their pieces, many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from forensics.packets import layout
from forensics.packets.harvest import Messages
from forensics.packets.recognising import HEAD_BYTES
from forensics.packets.texts import gathered

if TYPE_CHECKING:
    from forensics.packets.harvest import Picks
    from forensics.packets.layout import Longs

    Flags = npt.NDArray[np.bool_]

__all__ = ["EMPTY_LINE", "Joined", "changes", "join", "rounded"]

_SEQ = 0xFFFF_FFFF
_LINE_FEED = 10
EMPTY_LINE = np.frombuffer(b"\r\n", dtype=np.uint8)


class Joined(NamedTuple):
    """What the two ends of connections said: n messages, by connection, side and place.

    Parameters
    ----------
    messages
        The messages; ``P_BITS`` is what the first pick of the connection has.
    intact
        Whether the pieces of a message follow on each other, from its beginning on, and are not too many. (n,)
    done
        Place of its last piece among the picks. (n,)
    bodies
        Size of its body, -1 where no piece has it. [B] (n,)
    short
        Whether the capture has cut it inside its head. (n,)
    flows
        Number of its connection, from 0. (n,)
    fresh
        Whether it is the first of its side. (n,)
    places, owners
        Place of each piece among the picks; and the message it belongs to.
    """

    messages: Messages
    intact: Flags
    done: Longs
    bodies: Longs
    short: Flags
    flows: Longs
    fresh: Flags
    places: Longs
    owners: Longs


def changes(*columns: Longs) -> Flags:
    """Tell where sorted rows have other values than the row before; the first one has.

    Examples
    --------
    >>> changes(np.array([1, 1, 2]), np.array([0, 3, 3])).tolist()
    [True, True, True]
    """
    changed = np.zeros(len(columns[0]), dtype=np.bool_)
    changed[:1] = True
    for column in columns:
        changed[1:] |= column[1:] != column[:-1]
    return changed


def join(picks: Picks, places: Longs) -> Joined:
    """Put messages together.

    Parameters
    ----------
    picks
        Picked packets.
    places
        Which of them to take, in ascending order, at least one: pieces of TCP streams.
    """
    serials, sides = picks.columns[places, layout.P_SERIAL], picks.columns[places, layout.P_SIDE]
    order = np.lexsort((sides, serials))
    places = places[order]
    columns = picks.columns[places]
    serials, begin = columns[:, layout.P_SERIAL], columns[:, layout.P_START]
    turns = changes(serials, columns[:, layout.P_SIDE])
    first = turns | (begin != layout.CONTINUES)
    firsts = np.flatnonzero(first)
    data, offsets = gathered(picks.data, columns[:, layout.P_DATA], columns[:, layout.P_DATA_END])
    ends = np.concatenate([offsets[firsts], offsets[-1:]])

    following = columns[:, layout.P_SEQ] + columns[:, layout.P_LENGTH] & _SEQ
    joins = first.copy()
    joins[1:] |= columns[1:, layout.P_SEQ] == following[:-1]
    count = np.diff(firsts, append=len(places))
    intact = np.logical_and.reduceat(joins, firsts) & (begin[firsts] != layout.CONTINUES)
    intact &= (count == 1) | (np.diff(ends) < HEAD_BYTES)

    begins = np.flatnonzero(changes(serials))
    flows = np.cumsum(changes(serials)) - 1
    opening = np.minimum.reduceat(places, begins)
    heads = columns[firsts]
    heads[:, layout.P_BITS] = picks.columns[opening, layout.P_BITS][flows[firsts]]
    return Joined(
        messages=Messages(heads, data, ends, picks.addresses),
        intact=intact,
        done=places[firsts + count - 1],
        bodies=np.maximum.reduceat(columns[:, layout.P_BODY], firsts).clip(-1),
        short=np.minimum.reduceat(columns[:, layout.P_BODY], firsts) == layout.CUT_HEAD,
        flows=flows[firsts],
        fresh=turns[firsts],
        places=places,
        owners=np.cumsum(first) - 1,
    )


def rounded(messages: Messages, short: Flags) -> Messages:
    """Return messages, heads that were cut short without their last, broken line and with an empty one in its place.

    Parameters
    ----------
    messages
        The n messages.
    short
        Which of them were. (n,)
    """
    if not short.any():
        return messages
    data, ends = messages.data, messages.ends
    feeds = np.concatenate([[-1], np.flatnonzero(data == _LINE_FEED)])
    whole = np.maximum(feeds[np.searchsorted(feeds, ends[1:]) - 1] + 1, ends[:-1])
    begins, stops = np.full((2, 2 * len(short)), len(data))  # each message, and what is put behind it
    begins[::2], stops[::2] = ends[:-1], np.where(short, whole, ends[1:])
    stops[1::2] += short * len(EMPTY_LINE)
    packed, offsets = gathered(np.concatenate([data, EMPTY_LINE]), begins, stops)
    return messages._replace(data=packed, ends=offsets[::2])
