"""Names, requests and fingerprints out of picked packets: each is given to what reads its protocol.

What an attacker wrote is contained here: heads and dialogues that never end are given up, the oldest first, and what
cannot be read is counted.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from forensics.addresses import address_text
from forensics.packets import layout
from forensics.packets.conversations import Conversation, ends_of
from forensics.packets.exchanges import close_exchange, end_message, tell_reply, tell_request
from forensics.packets.exported import Exported
from forensics.packets.harvest import Messages
from forensics.packets.hellos import Certificates, tell_hello, tell_ssh
from forensics.packets.http_bodies import body_so_far
from forensics.packets.http_framing import stream_row
from forensics.packets.labels import Labels
from forensics.packets.lookups import Lookups
from forensics.packets.protocols.http import ends_head
from forensics.packets.protocols.quic import Initials
from forensics.packets.protocols.socks import Dialogue
from forensics.packets.protocols.streams import Stream
from forensics.packets.protocols.tls import CLIENT_HELLO, certificate, handshake_bytes, is_whole
from forensics.packets.recognising import HEAD_BYTES
from forensics.packets.telling import Teller
from forensics.packets.texts import gathered
from forensics.packets.together import read_together

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.packets.columns import Origin
    from forensics.packets.flights import Shown
    from forensics.packets.harvest import Pick, Picks
    from forensics.packets.layout import Longs
    from forensics.packets.protocols.socks import Target
    from forensics.rows import Rows

__all__ = ["Applications"]

MAX_FOLLOWED = 4096
"""Messages whose heads are followed over several packets at once; the oldest is given up where there are more."""

_SERVICES = {
    layout.BEGINS_HTTP: "http",
    layout.BEGINS_TLS: "ssl",
    layout.BEGINS_SSH: "ssh",
    layout.BEGINS_HTTP2: "http2",
}

_Key = tuple[int, int]  # serial of the flow, side


@dataclass(slots=True)
class _Head:
    """The first bytes of a message of one direction."""

    kind: int
    seen: tuple[int, int]
    stream: Stream
    body: int = -1

    @property
    def whole(self) -> bool:
        """Whether all of it is there, or as much as is followed."""
        data = self.stream.data
        if len(data) >= HEAD_BYTES or self.body != -1 or self.kind == layout.BEGINS_HTTP2:
            return True
        if self.kind == layout.BEGINS_SSH:
            return b"\n" in data
        if self.kind == layout.BEGINS_HTTP:
            return ends_head(data)
        if data[5:6] != bytes([CLIENT_HELLO]):
            return certificate(handshake_bytes(data)) is not None
        enough = len(data) >= 9 + int.from_bytes(data[6:9], "big")  # as long as one in a single record
        return enough and is_whole(handshake_bytes(data))


@dataclass(slots=True)
class _Followed:
    """What is not yet complete: heads, pieces from before a head, QUIC hellos; of each a bounded number.

    The oldest entry of a plain dictionary takes the longer to find the more were taken out before it.
    """

    heads: OrderedDict[_Key, _Head] = field(default_factory=OrderedDict)
    early: OrderedDict[_Key, list[tuple[int, bytes]]] = field(default_factory=OrderedDict)
    initials: OrderedDict[int, Initials] = field(default_factory=OrderedDict)


class Applications:
    """Reads picked packets, writes rows of ``names``, ``requests`` and ``fingerprints``, and keeps a label per flow.

    Parameters
    ----------
    rows
        Where the rows go.
    origin
        The evidence file.

    Attributes
    ----------
    labels
        What is known of flows, by their serial number.
    failures
        How many messages could not be read, by kind.
    exported
        What datagrams of NetFlow and IPFIX tell of flows elsewhere.
    """

    def __init__(self, rows: Rows, origin: Origin) -> None:
        self.labels = Labels()
        self._teller = Teller(rows, origin)
        self.failures = self._teller.failures
        self.exported = Exported(origin, "exchanges")
        self._lookups = Lookups(self._teller, self.labels)
        self._certificates = Certificates()
        self._conversations: dict[int, Conversation] = {}
        self._followed = _Followed()

    def take(self, picks: Picks) -> None:
        """Read picked packets, those that belong to a flow."""
        kinds = picks.columns[:, layout.P_KIND]
        datagrams = kinds == layout.PICK_DNS
        if datagrams.any():
            columns = picks.columns[datagrams]
            places = columns[:, layout.P_DATA], columns[:, layout.P_DATA_END]
            self._lookups.read(Messages(columns, *gathered(picks.data, *places), picks.addresses))
        early = {key[0] for key in self._followed.early}
        read, shown = read_together(picks, self._teller, self.labels, self._conversations, early)
        read |= datagrams | (kinds < layout.PICK_DNS)
        for place in sorted({*np.flatnonzero(~read).tolist(), *shown}):
            if place in shown:
                self._tell_shown(shown[place], picks.addresses)
            else:
                self._take_one(picks.one(place), picks.addresses)

    def _take_one(self, pick: Pick, addresses: Longs) -> None:
        """Read one picked packet."""
        kind = pick.columns[layout.P_KIND]
        if kind == layout.PICK_DNS_STREAM:
            self._lookups.take_segment(pick)
        elif kind == layout.PICK_QUIC:
            self._take_initial(pick, addresses)
        elif kind == layout.PICK_EXPORT:
            self._take_export(pick, addresses)
        else:
            self._take_segment(pick, addresses)

    def _tell_shown(self, shown: Shown, addresses: Longs) -> None:
        """Write whom a certificate names."""
        columns = shown.columns
        origin = columns[layout.P_BITS] & layout.BIT_ORIGIN
        conversation = Conversation(*ends_of(columns, origin, addresses), origin)
        seen = columns[layout.P_TIME], columns[layout.P_NUMBER]
        self._certificates.tell_one(self._teller, conversation, seen, columns[layout.P_SIDE], shown.der)

    def told(self) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield rows that were collected, once they are many."""
        if self._teller.full:
            yield from self._teller.tell_held()

    def finish(self, closed: Longs, streams: Longs, addresses: Longs) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Read what closed flows left unfinished, as far as it goes; call it before their rows are made.

        Parameters
        ----------
        closed
            The flows, columns ``layout.F_*``.
        streams
            The engine's streams, columns ``layout.S_*``.
        addresses
            The engine's IPv6 addresses.

        Yields
        ------
        tuple
            ``names`` and batches of rows: what was collected since the last call; and rows of ``exchanges``, once
            they are many.
        """
        self._lookups.finish(addresses)
        serials = closed[:, layout.F_SERIAL].tolist()
        if self._followed.heads:
            over = set(serials)
            for key in [key for key in self._followed.heads if key[0] in over]:
                self._tell(key, self._followed.heads.pop(key))
        if self._conversations:
            for k in [k for k, serial in enumerate(serials) if serial in self._conversations]:
                self._end_bodies(self._conversations[serials[k]], closed[k], streams)
        yield from self._teller.tell_held()
        if self.exported.full:
            yield from self.exported.drain()

    def forget(self, serials: Longs) -> None:
        """Tell what closed flows still owe, and drop what is known of them; call it after their rows were made."""
        closed = serials.tolist()
        if self._conversations:
            for serial in [serial for serial in closed if serial in self._conversations]:
                close_exchange(self._teller, self._conversations.pop(serial))
        self.labels.forget(closed)
        followed = self._followed
        if self._lookups.streams or followed.early or followed.initials:  # few captures have any
            over = set(closed)
            self._lookups.forget(over)
            for key in [key for key in followed.early if key[0] in over]:
                del followed.early[key]
            for serial in followed.initials.keys() & over:
                del followed.initials[serial]

    def _end_bodies(self, conversation: Conversation, flow: Longs, streams: Longs) -> None:
        """Take in how far bodies went that did not end, or that end with their connection."""
        sides = (conversation.origin, conversation.sending), (1 - conversation.origin, conversation.replying)
        for side, row in sides:
            stream = None if row is None else stream_row(flow, streams, side)
            progress = None if stream is None else body_so_far(stream, side)
            if progress is not None:
                end_message(self._teller, conversation, side, progress[1], progress[0])

    # -- UDP ---------------------------------------------------------------------------------------------------------

    def _take_export(self, pick: Pick, addresses: Longs) -> None:
        """Read a datagram of NetFlow or IPFIX; its own connection stays a flow like any other."""
        columns = pick.columns
        exporter, *_ = ends_of(columns, columns[layout.P_SIDE], addresses)
        if not self.exported.datagrams.take(pick.data, exporter, columns[layout.P_NUMBER]):
            self._teller.fail("netflow")

    def _take_initial(self, pick: Pick, addresses: Longs) -> None:
        """Read a QUIC Initial packet, and the ClientHello once it is whole."""
        columns = pick.columns
        serial = columns[layout.P_SERIAL]
        initials = self._followed.initials
        if serial in self.labels and serial not in initials:
            return
        entry = initials.setdefault(serial, Initials(columns[layout.P_NUMBER], columns[layout.P_TIME]))
        hello = entry.add(pick.data)
        if len(initials) > MAX_FOLLOWED:
            initials.popitem(last=False)
        if not entry.is_quic:
            return
        conversation = self._open(serial, columns, addresses)
        conversation.service = "quic"
        if hello is not None:
            tell_hello(self._teller, conversation, (entry.time, entry.number), hello, "q")
            del initials[serial]
        self.labels[serial] = conversation.label()

    # -- TCP ---------------------------------------------------------------------------------------------------------

    def _take_segment(self, pick: Pick, addresses: Longs) -> None:
        """Take a part of a stream to the message it belongs to."""
        columns = pick.columns
        serial, side, begin = columns[layout.P_SERIAL], columns[layout.P_SIDE], columns[layout.P_START]
        key = (serial, side)
        conversation = self._conversations.get(serial)
        if begin == layout.CONTINUES:
            self._go_on(key, pick)
        elif begin == layout.EARLY:
            self._keep_early(key, pick)
        elif begin == layout.ENDS:
            if conversation is not None:
                end_message(self._teller, conversation, side, columns[layout.P_TIME], columns[layout.P_BODY])
        elif begin == layout.BEGINS_SOCKS:
            self._open(serial, columns, addresses).dialogue = Dialogue(columns[layout.P_SEQ])
            self._go_on(key, pick)
        else:
            self._begin(key, pick, addresses)

    def _open(self, serial: int, columns: list[int], addresses: Longs) -> Conversation:
        """Return the conversation of a flow; its client is the flow's originator."""
        conversation = self._conversations.get(serial)
        if conversation is None:
            origin = columns[layout.P_BITS] & layout.BIT_ORIGIN
            conversation = Conversation(*ends_of(columns, origin, addresses), origin)
            known = self.labels.get(serial)
            if known is not None:
                conversation.remember(known)
            self._conversations[serial] = conversation
        return conversation

    def _keep_early(self, key: _Key, pick: Pick) -> None:
        """Keep a piece from behind a gap, until the message begins before it."""
        early = self._followed.early
        early.setdefault(key, []).append((pick.columns[layout.P_SEQ], pick.data))
        if len(early) > MAX_FOLLOWED:
            early.popitem(last=False)

    def _begin(self, key: _Key, pick: Pick, addresses: Longs) -> None:
        """Begin a message."""
        columns = pick.columns
        heads = self._followed.heads
        if key in heads:
            self._tell(key, heads.pop(key))
        conversation = self._open(key[0], columns, addresses)
        conversation.service = conversation.service or _SERVICES[columns[layout.P_START]]
        seen = columns[layout.P_TIME], columns[layout.P_NUMBER]
        stream = Stream(columns[layout.P_SEQ], HEAD_BYTES)
        stream.add(columns[layout.P_SEQ], pick.data)
        head = _Head(columns[layout.P_START], seen, stream, columns[layout.P_BODY])
        if not head.whole:
            for seq, data in self._followed.early.pop(key, ()):
                stream.add(seq, data)
        if head.whole:
            self._tell(key, head)
            return
        heads[key] = head
        if len(heads) > MAX_FOLLOWED:
            self._tell(*heads.popitem(last=False))

    def _go_on(self, key: _Key, pick: Pick) -> None:
        """Take a message or a SOCKS dialogue further, and tell it once it is whole."""
        columns = pick.columns
        head = self._followed.heads.get(key)
        conversation = self._conversations.get(key[0])
        if head is not None:
            head.stream.add(columns[layout.P_SEQ], pick.data)
            if columns[layout.P_BODY] != -1:
                head.body = columns[layout.P_BODY]
            if head.whole:
                self._tell(key, self._followed.heads.pop(key))
        elif conversation is not None and conversation.dialogue is not None:
            from_client = key[1] == conversation.origin
            target = conversation.dialogue.add(columns[layout.P_SEQ], pick.data, from_client=from_client)
            if target is not None:
                conversation.dialogue = None
                seen = columns[layout.P_TIME], columns[layout.P_NUMBER]
                self._tell_target(key[0], conversation, seen, target)

    def _tell(self, key: _Key, head: _Head) -> None:
        """Write what a message says."""
        conversation, side, data = self._conversations[key[0]], key[1], head.stream.data
        if head.kind == layout.BEGINS_HTTP:
            tell = tell_reply if data.startswith(b"HTTP/") else tell_request
            tell(self._teller, conversation, head.seen, data, head.body)
        elif head.kind == layout.BEGINS_SSH:
            tell_ssh(self._teller, conversation, head.seen, side, data)
        elif head.kind == layout.BEGINS_TLS:
            if data[5:6] == bytes([CLIENT_HELLO]):
                tell_hello(self._teller, conversation, head.seen, handshake_bytes(data))
            else:
                self._certificates.tell(self._teller, conversation, head.seen, side, data)
        self.labels[key[0]] = conversation.label()

    def _tell_target(self, serial: int, conversation: Conversation, seen: tuple[int, int], target: Target) -> None:
        """Write where a SOCKS proxy was told to connect to."""
        conversation.service = "socks"
        conversation.tunnel, conversation.tunnel_port = target.host, target.port
        conversation.targets = [target.host]
        literal = address_text(target.host)
        if literal is None:
            self._teller.name(seen, None, target.host, "socks", conversation.client)
        self._teller.rows.add(
            "requests",
            start=seen[0] // 1000,
            src=conversation.client,
            src_port=conversation.client_port,
            dst=literal,
            dst_port=target.port,
            name=target.host,
            via=conversation.server,
            method="CONNECT",
            source=self._teller.source,
            record=seen[1],
        )
        self.labels[serial] = conversation.label()
