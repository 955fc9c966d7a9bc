"""Names and requests out of picked packets: DNS answers, TLS server names, HTTP requests and what answered them.

dpkt takes the messages apart; what it raises on hostile bytes is contained and counted here.

References
----------
.. [1] RFC 1035, section 4 (DNS messages); RFC 6066, section 3 (server name indication).
.. [2] RFC 9112 (HTTP/1.1); RFC 9110, section 9.3.6 (CONNECT).
"""

from __future__ import annotations

import ipaddress
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from forensics.addresses import address_text, host_name
from forensics.packets import layout
from forensics.packets.columns import Label, address_of
from forensics.packets.messages import Reply, Request, dns_answers, parse_reply, parse_request, server_name
from forensics.packets.picking import HEAD_BYTES

if TYPE_CHECKING:
    from forensics.packets.columns import Origin
    from forensics.packets.engine import Pick
    from forensics.packets.layout import Longs
    from forensics.rows import Rows

__all__ = ["Applications"]

MAX_PENDING = 64
"""Requests of one connection that wait for their replies; the oldest is told without one where there are more."""

MAX_FOLLOWED = 4096
"""Messages whose heads are followed over several segments at once; the oldest is given up where there are more."""


@dataclass(slots=True)
class _Head:
    """The first bytes of a message of one direction, in order."""

    kind: int
    number: int
    time: int
    next_seq: int
    data: bytes


@dataclass(slots=True)
class _Conversation:
    """What one TCP connection has told so far."""

    client: str
    client_port: int
    server: str
    server_port: int
    targets: set[str] = field(default_factory=set)
    pending: deque[dict[str, object]] = field(default_factory=deque)
    through_proxy: bool = True
    tunnel: str | None = None
    server_name: str | None = None
    told: dict[int, int] = field(default_factory=dict)  # per side: sequence number behind the last message told

    def label(self) -> Label:
        """Return what is known of the connection as a whole."""
        host = next(iter(self.targets)) if len(self.targets) == 1 else None
        if not self.targets:
            return Label("ssl", self.server_name)
        literal = None if host is None else address_text(host)
        name = None if literal else host
        if self.tunnel and literal and self.server_name:  # CONNECT to an address, and a name inside the tunnel
            name = self.server_name
        return Label("http", name, self.through_proxy and host is not None, literal)


class Applications:
    """Reads picked packets, writes rows of ``names`` and ``requests``, and keeps a label per flow.

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
    """

    def __init__(self, rows: Rows, origin: Origin) -> None:
        self.labels: dict[int, Label] = {}
        self.failures: dict[str, int] = {}
        self._rows = rows
        self._origin = origin
        self._conversations: dict[int, _Conversation] = {}
        self._heads: dict[tuple[int, int], _Head] = {}

    def take(self, pick: Pick, addresses: Longs) -> None:
        """Read one picked packet.

        Parameters
        ----------
        pick
            The packet.
        addresses
            The engine's IPv6 addresses.
        """
        if pick.columns[layout.P_KIND] == layout.PICK_DNS:
            self._take_dns(pick, addresses)
        else:
            self._take_segment(pick, addresses)

    def forget(self, serials: Longs) -> None:
        """Tell what closed flows still owe, and drop what is known of them; call it after their rows were made."""
        told = np.fromiter(self.labels, dtype=np.int64, count=len(self.labels))
        for serial in np.intersect1d(serials, told).tolist():
            conversation = self._conversations.pop(serial, None)
            if conversation is not None:
                for request in conversation.pending:
                    self._rows.add("requests", **request)
            del self.labels[serial]

    def finish(self, serials: Longs) -> None:
        """Read the heads of closed flows that never became whole, as far as they go."""
        if not self._heads:
            return
        over = set(serials.tolist())
        for key in [key for key in self._heads if key[0] in over]:
            self._tell(key, self._heads.pop(key))

    # -- DNS ---------------------------------------------------------------------------------------------------------

    def _take_dns(self, pick: Pick, addresses: Longs) -> None:
        """Write the answers of a DNS or mDNS reply."""
        answers = dns_answers(pick.data)
        if answers is None:
            self._fail("dns")
            return
        columns = pick.columns
        self.labels[columns[layout.P_SERIAL]] = Label("dns")
        _, _, receiver, _ = _ends(columns, columns[layout.P_SIDE], addresses)
        client = None if ipaddress.ip_address(receiver).is_multicast else receiver
        for name, address in answers:
            self._name(columns[layout.P_TIME], columns[layout.P_NUMBER], address, name, "dns", client)

    # -- TCP ---------------------------------------------------------------------------------------------------------

    def _take_segment(self, pick: Pick, addresses: Longs) -> None:
        """Begin a message or take its head further, and tell it once it is whole."""
        columns = pick.columns
        serial, side, seq = columns[layout.P_SERIAL], columns[layout.P_SIDE], columns[layout.P_SEQ]
        key = (serial, side)
        begins = columns[layout.P_START]
        head = self._heads.get(key)
        if head is not None and (begins == layout.CONTINUES or _behind(seq, head.next_seq)):
            if seq != head.next_seq:
                return  # sent again, or out of order; what was missed ends the head where the flow ends
            head.data += pick.data[: HEAD_BYTES - len(head.data)]
        elif begins != layout.CONTINUES and not self._is_repeat(serial, side, seq):
            if head is not None:
                self._tell(key, self._heads.pop(key))
            self._open(serial, columns, addresses)
            head = _Head(begins, columns[layout.P_NUMBER], columns[layout.P_TIME], 0, pick.data[:HEAD_BYTES])
            self._heads[key] = head
        else:
            return
        head.next_seq = seq + columns[layout.P_LENGTH] & 0xFFFF_FFFF
        if _is_whole(head) or columns[layout.P_LENGTH] > len(pick.data):
            self._tell(key, self._heads.pop(key))
        elif len(self._heads) > MAX_FOLLOWED:
            oldest = next(iter(self._heads))
            self._tell(oldest, self._heads.pop(oldest))

    def _is_repeat(self, serial: int, side: int, seq: int) -> bool:
        """Tell whether a message that begins here was told before: a retransmission."""
        conversation = self._conversations.get(serial)
        return conversation is not None and side in conversation.told and _behind(seq, conversation.told[side])

    def _open(self, serial: int, columns: list[int], addresses: Longs) -> None:
        """Begin a conversation; its client is the flow's originator."""
        if serial not in self._conversations:
            side = columns[layout.P_BITS] & layout.BIT_ORIGIN
            self._conversations[serial] = _Conversation(*_ends(columns, side, addresses))

    def _tell(self, key: tuple[int, int], head: _Head) -> None:
        """Write what a message says."""
        conversation = self._conversations[key[0]]
        conversation.told[key[1]] = head.next_seq
        if head.kind == layout.BEGINS_TLS:
            self._tell_hello(conversation, head)
        elif head.data.startswith(b"HTTP/"):
            self._tell_reply(conversation, head)
        else:
            self._tell_request(conversation, head)
        if conversation.targets or conversation.server_name:
            self.labels[key[0]] = conversation.label()
        elif head.kind == layout.BEGINS_TLS:
            self.labels.setdefault(key[0], Label("ssl"))
        else:
            self.labels.setdefault(key[0], Label("http"))

    def _tell_hello(self, conversation: _Conversation, head: _Head) -> None:
        """Write the name that a TLS client asked for; inside a tunnel the address is the proxy's and is not written."""
        name = server_name(head.data)
        if name is None:
            self._fail("tls")
        elif name:
            conversation.server_name = name
            address = None if conversation.tunnel else conversation.server
            if conversation.tunnel:
                address = address_text(conversation.tunnel)
            self._name(head.time, head.number, address, name, "sni", conversation.client)

    def _tell_request(self, conversation: _Conversation, head: _Head) -> None:
        """Write an HTTP request, or keep it until its reply comes."""
        request = parse_request(head.data)
        if request is None:
            self._fail("http")
            return
        conversation.through_proxy &= request.to_proxy
        if request.host is not None:
            if len(conversation.targets) < 2:  # more would tell nothing more
                conversation.targets.add(request.host)
            self._name_target(conversation, head, request)
        if request.method == "CONNECT":
            conversation.tunnel = request.host
        if len(conversation.pending) >= MAX_PENDING:
            self._rows.add("requests", **conversation.pending.popleft())
        conversation.pending.append(self._request_row(conversation, head, request))

    def _name_target(self, conversation: _Conversation, head: _Head, request: Request) -> None:
        """Write the name a request asks for; behind a proxy it belongs to an address nobody saw."""
        host = request.host
        if host is None or address_text(host):
            return
        address = None if request.to_proxy else conversation.server
        how = "connect" if request.method == "CONNECT" else "http"
        self._name(head.time, head.number, address, host, how, conversation.client)

    def _request_row(self, conversation: _Conversation, head: _Head, request: Request) -> dict[str, object]:
        """Return the row of a request, without its reply."""
        via = conversation.server if request.to_proxy else None
        literal = address_text(request.host) if request.to_proxy and request.host else None
        return {
            "start": head.time // 1000,
            "src": conversation.client,
            "src_port": conversation.client_port,
            "dst": literal if via else conversation.server,
            "dst_port": request.port if via else conversation.server_port,
            "name": request.host,
            "via": via,
            "method": request.method,
            "url": request.url,
            "user_agent": request.user_agent,
            "referer": request.referer,
            "request_bytes": request.content_length,
            "source": self._origin.source,
            "record": head.number,
        }

    def _tell_reply(self, conversation: _Conversation, head: _Head) -> None:
        """Put a reply beside the oldest request that waits for one; an interim reply (1xx) answers nothing."""
        reply: Reply | None = parse_reply(head.data)
        if reply is None:
            self._fail("http")
        elif reply.status // 100 != 1 and conversation.pending:
            row = conversation.pending.popleft()
            row["end"] = head.time // 1000
            row["status"] = reply.status
            row["content_type"] = reply.content_type
            row["response_bytes"] = reply.content_length
            self._rows.add("requests", **row)

    def _name(  # noqa: PLR0917 - a row of six values
        self, time: int, number: int, address: str | None, name: str, how: str, client: str | None
    ) -> None:
        """Write one row of ``names``."""
        canonical = host_name(name)
        if canonical is not None:
            self._rows.add(
                "names",
                time=time // 1000,
                address=address,
                name=canonical,
                how=how,
                client=client,
                source=self._origin.source,
                record=number,
            )

    def _fail(self, kind: str) -> None:
        """Count a message that could not be read."""
        self.failures[kind] = self.failures.get(kind, 0) + 1


def _ends(columns: list[int], side: int, addresses: Longs) -> tuple[str, int, str, int]:
    """Return address and port of one side of a picked packet's flow, then those of the other."""
    key1, key2 = columns[layout.P_KEY1], columns[layout.P_KEY2]
    table = addresses if key2 & layout.KEY_IPV6 else None
    low = address_of((key1 >> 32) + (1 << 31), table), key2 >> 32 & 0xFFFF
    high = address_of(key1 & 0xFFFF_FFFF, table), key2 >> 16 & 0xFFFF
    return (*high, *low) if side else (*low, *high)


def _behind(seq: int, mark: int) -> bool:
    """Tell whether a sequence number lies before another one (RFC 9293, section 3.4)."""
    return seq != mark and (mark - seq & 0xFFFF_FFFF) < 1 << 31


def _is_whole(head: _Head) -> bool:
    """Tell whether all of a message's head is there, or as much as is followed."""
    if len(head.data) >= HEAD_BYTES:
        return True
    if head.kind == layout.BEGINS_TLS:
        return len(head.data) >= 5 + int.from_bytes(head.data[3:5], "big")
    return b"\r\n\r\n" in head.data or b"\n\n" in head.data
