"""DNS of a capture: messages out of datagrams and out of TCP streams, read in batches."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from forensics.packets import layout
from forensics.packets.columns import times
from forensics.packets.harvest import Messages
from forensics.packets.labels import Label
from forensics.packets.protocols.dns import parse_messages
from forensics.packets.protocols.streams import Stream
from forensics.packets.texts import address_codes
from forensics.packets.transport import unpair

if TYPE_CHECKING:
    from forensics.packets.harvest import Pick
    from forensics.packets.labels import Labels
    from forensics.packets.layout import Longs
    from forensics.packets.telling import Teller

__all__ = ["Lookups"]

_MAX_STREAMS = 1024
_STREAM_BYTES = 2 + 65_535
_LABEL = Label("dns")


class Lookups:
    """Collects DNS messages and writes what they answer.

    Parameters
    ----------
    teller
        Writes the rows.
    labels
        What is known of flows, by their serial number.

    Attributes
    ----------
    streams
        DNS over TCP that is followed, by flow and side.
    """

    def __init__(self, teller: Teller, labels: Labels) -> None:
        self._teller = teller
        self._labels = labels
        self._streamed: list[tuple[list[int], bytes]] = []
        self.streams: OrderedDict[tuple[int, int], Stream] = OrderedDict()

    def take_segment(self, pick: Pick) -> None:
        """Take in a segment of a stream, and collect the messages that it completes."""
        columns = pick.columns
        key = (columns[layout.P_SERIAL], columns[layout.P_SIDE])
        stream = self.streams.get(key)
        if stream is None:
            if len(self.streams) >= _MAX_STREAMS:
                self.streams.popitem(last=False)
            stream = self.streams[key] = Stream(columns[layout.P_SEQ], _STREAM_BYTES)
        stream.add(columns[layout.P_SEQ], pick.data)
        at, data = 0, stream.data
        while len(data) - at >= 2 and len(data) - at - 2 >= int.from_bytes(data[at : at + 2], "big"):
            size = 2 + int.from_bytes(data[at : at + 2], "big")
            self._streamed.append((columns, data[at + 2 : at + size]))
            at += size
        if at:  # all at once: messages of no length would have it copied thousands of times
            stream.drop(at)

    def read(self, messages: Messages) -> Longs:
        """Write what messages answer; return for each 1 where it could be read, else 0."""
        answers, readable = parse_messages(messages.data, messages.ends)
        for _ in range(len(readable) - int(readable.sum())):
            self._teller.fail("dns")
        columns = messages.columns[answers.message]
        n = len(columns)
        self._teller.hold(
            "names",
            time=times(columns[:, layout.P_TIME]),
            address=answers.address,
            name=answers.name,
            how=pa.repeat(pa.scalar("dns", pa.string()), n),
            client=_receivers(columns, messages.addresses),
            record=pa.array(columns[:, layout.P_NUMBER]),
        )
        return readable

    def finish(self, addresses: Longs) -> None:
        """Read what was collected out of streams, and label their flows.

        Parameters
        ----------
        addresses
            The engine's IPv6 addresses.
        """
        if not self._streamed:
            return
        columns = np.array([columns for columns, _ in self._streamed], dtype=np.int64)
        joined = bytearray().join(message for _, message in self._streamed)  # as loops know arrays: what can be written
        data = np.frombuffer(joined or bytearray(1), dtype=np.uint8)
        ends = np.cumsum([0, *(len(message) for _, message in self._streamed)], dtype=np.int64)
        self._streamed.clear()
        readable = self.read(Messages(columns, data, ends, addresses))
        serials = columns[readable == 1, layout.P_SERIAL].tolist()
        self._labels.put(serials, [_LABEL], np.zeros(len(serials), dtype=np.int64))

    def forget(self, closed: set[int]) -> None:
        """Drop the streams of closed flows."""
        for key in [key for key in self.streams if key[0] in closed]:
            del self.streams[key]


def _receivers(columns: Longs, addresses: Longs) -> pa.Array:
    """Return whom messages were sent to, null for a group: they were asked for by no one in particular."""
    key1, ipv6 = columns[:, layout.P_KEY1], columns[:, layout.P_KEY2] & layout.KEY_IPV6
    numbers = np.where(columns[:, layout.P_SIDE], *unpair(key1))
    texts, codes = address_codes(numbers, ipv6, addresses)
    return pa.array([None if _is_group(text) else text for text in texts.to_pylist()], pa.string()).take(codes)


def _is_group(address: str) -> bool:
    """Tell whether an address, in canonical text, is a multicast address: 224.0.0.0/4 or ff00::/8."""
    first, colon, _ = address.partition(":")
    if colon:
        return len(first) == 4 and first.startswith("ff")
    return 224 <= int(address.partition(".")[0]) < 240
