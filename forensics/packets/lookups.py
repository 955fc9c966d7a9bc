"""DNS of a capture: messages are collected, out of datagrams and out of TCP streams, and read in batches."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from forensics.packets import layout
from forensics.packets.columns import Label, address_of
from forensics.packets.protocols.dns import parse_messages
from forensics.packets.protocols.streams import Stream

if TYPE_CHECKING:
    from forensics.packets.engine import Pick
    from forensics.packets.layout import Longs
    from forensics.packets.telling import Teller

__all__ = ["Lookups"]

_BATCH = 4096
_MAX_STREAMS = 1024
_MAX_RECEIVERS = 65_536
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
    """

    def __init__(self, teller: Teller, labels: dict[int, Label]) -> None:
        self._teller = teller
        self._labels = labels
        self._messages: list[bytes] = []
        self._picks: list[tuple[int, int, int, str | None]] = []  # time, number, serial, client
        self._streams: dict[tuple[int, int], Stream] = {}
        self._receivers: dict[tuple[int, int], str | None] = {}

    def take(self, pick: Pick, addresses: Longs) -> None:
        """Collect a picked packet: a datagram, or a segment of a stream."""
        columns = pick.columns
        if columns[layout.P_KIND] == layout.PICK_DNS:
            self._collect(pick.data, columns, addresses, -1)  # its flow is marked already
            return
        key = (columns[layout.P_SERIAL], columns[layout.P_SIDE])
        stream = self._streams.get(key)
        if stream is None:
            if len(self._streams) >= _MAX_STREAMS:
                del self._streams[next(iter(self._streams))]
            stream = self._streams[key] = Stream(columns[layout.P_SEQ], _STREAM_BYTES)
        stream.add(columns[layout.P_SEQ], pick.data)
        at, data = 0, stream.data
        while len(data) - at >= 2 and len(data) - at - 2 >= int.from_bytes(data[at : at + 2], "big"):
            size = 2 + int.from_bytes(data[at : at + 2], "big")
            self._collect(data[at + 2 : at + size], columns, addresses, columns[layout.P_SERIAL])
            at += size
        if at:  # all at once: messages of no length would have it copied thousands of times
            stream.drop(at)

    def _collect(self, message: bytes, columns: list[int], addresses: Longs, serial: int) -> None:
        """Put a message into the batch."""
        client = self._receiver(columns, addresses)
        self._messages.append(message)
        self._picks.append((columns[layout.P_TIME], columns[layout.P_NUMBER], serial, client))
        if len(self._messages) >= _BATCH:
            self.finish()

    def _receiver(self, columns: list[int], addresses: Longs) -> str | None:
        """Return the address a message was sent to, None for a group: it was asked for by no one in particular."""
        key1, ipv6 = columns[layout.P_KEY1], columns[layout.P_KEY2] & layout.KEY_IPV6
        number = (key1 >> 32) + (1 << 31) if columns[layout.P_SIDE] else key1 & 0xFFFF_FFFF
        key = number, ipv6
        if key not in self._receivers:
            if len(self._receivers) >= _MAX_RECEIVERS:
                self._receivers.clear()
            text = address_of(number, addresses if ipv6 else None)
            self._receivers[key] = None if ipaddress.ip_address(text).is_multicast else text
        return self._receivers[key]

    def finish(self) -> None:
        """Read what was collected, and label its flows."""
        if not self._messages:
            return
        messages, picks = self._messages, self._picks
        self._messages, self._picks = [], []
        answers, readable = parse_messages(messages)
        for pick, is_message in zip(picks, readable, strict=True):
            if not is_message:
                self._teller.fail("dns")
            elif pick[2] >= 0:
                self._labels[pick[2]] = _LABEL
        write, source = self._teller.add_name, self._teller.source
        for message, name, address in answers:
            time, number, _, client = picks[message]
            write((time // 1000, address, name, "dns", client, source, number))

    def forget(self, closed: set[int]) -> None:
        """Drop the streams of closed flows."""
        for key in [key for key in self._streams if key[0] in closed]:
            del self._streams[key]
