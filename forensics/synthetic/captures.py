"""Captures: one hour at five relays of the chains and at an infected terminal.

A relay's capture holds the chain sessions, the office's beacons, strangers who visit the site, a stranger's upload and
the relay's own copy to its backup at about the time of a bulk session, an administrator, name look-ups: an inbound
flow has more than one outbound flow that it could be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from . import catalog, payloads
from .cast import OFFICE, PROXY, PROXY_PORT, Cast, Relay
from .chains import CAPTURE_BEGIN, CAPTURE_LENGTH, PORT, Hops, Session, carry
from .logfile import agents, paths
from .options import MICROSECONDS, iso
from .packets import Connection, Message, Packet, converse, hash_number, write_pcap, write_pcapng
from .strangers import strangers
from .transactions import (
    ADDED_TO_REPLY,
    ADDED_TO_REQUEST,
    CONNECT_REPLY,
    CONNECT_REQUEST,
    LEAST_RECEIVED,
    LEAST_SENT,
    Bools,
    Ints,
    Rows,
    make_rows,
)
from .truth import Capture, Chain, ChainFlow, ChainSession, Truth

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WHOLE, _SOME, _HEADS = 65_535, 160, 96  # snaplens [B]
# Clock offset [s], snaplen [B], format. The second relay of two chains has one capture, the third of none.
_VANTAGES = (
    (37.4, _WHOLE, "pcap"),
    (-112.8, _HEADS, "pcapng"),
    (0.9, _SOME, "ns.pcap"),
    (-5.25, _HEADS, "pcapng"),
    (611.0, _HEADS, "pcap"),
)
_TERMINAL = "captures/terminal.pcap"
_HOP_RTT = 9000  # office to a relay and back where no chain's delay says otherwise [us]


@dataclass(frozen=True)
class Vantage:
    """A captured relay and its capture file."""

    relay: Relay
    file: str
    offset_s: float
    snaplen: int
    nanoseconds: bool


def vantages(cast: Cast, chains: list[Hops]) -> list[Vantage]:
    """First relays of the three chains, then the second relays."""
    first = [hops.relays[0] for hops in chains]
    second = [hops.relays[1] for hops in chains]
    relays = list({relay.address: relay for relay in (*first, *second)}.values())
    found = []
    for number, (relay, (offset, snaplen, form)) in enumerate(zip(relays, _VANTAGES[: len(relays)], strict=True), 1):
        last = number == len(relays)
        error = 3600.0 * cast.campaign.clock_error_hours if last else 0.0
        file = f"captures/relay-{number}.{form}"
        found.append(Vantage(relay, file, round(offset + error, 6), snaplen, nanoseconds=form.startswith("ns")))
    return found


class Collector:
    """Keeps the few transactions that the captures will show while the days stream by.

    ``terminal`` has those of the captured terminal, ``uplink`` those between the office and captured relays.
    """

    def __init__(self, cast: Cast, chains: list[Hops]) -> None:
        begin = cast.campaign.midnight(cast.campaign.capture_day) + CAPTURE_BEGIN
        self._window = begin, begin + CAPTURE_LENGTH
        self.client = chains[0].client if chains else 0
        self._servers = [hops.relays[0].index for hops in chains]
        self.terminal, self.uplink = make_rows(0), make_rows(0)

    def watch(self, rows: Rows) -> None:
        """Keep the captured terminal's transactions."""
        found = rows[self._within(rows) & (rows["client"] == self.client)]
        self.terminal = np.concatenate([self.terminal, found])

    def watch_uplink(self, rows: Rows) -> None:
        """Keep the uplink's connections to captured relays."""
        found = rows[self._within(rows) & np.isin(rows["server"], self._servers)]
        self.uplink = np.concatenate([self.uplink, found])

    def _within(self, rows: Rows) -> Bools:
        within: Bools = (rows["start"] >= self._window[0]) & (rows["start"] < self._window[1])
        return within


class Studio:
    """Writes the captures and says what is in them."""

    def __init__(self, cast: Cast, chains: list[Hops], sessions: list[Session], collector: Collector) -> None:
        self._cast, self._chains, self._sessions = cast, chains, sessions
        self._terminal, self._uplink = collector.terminal, collector.uplink
        self._client = collector.client
        self._vantages = vantages(cast, chains)
        tags, ports = self._uplink["tag"].tolist(), self._uplink["port"].tolist()
        self._ports = {tag: port for tag, port in zip(tags, ports, strict=True) if tag}

    def write(self, folder: Path, truth: Truth) -> None:
        """Write all captures and add them and the chains to the truth."""
        (folder / "captures").mkdir(parents=True, exist_ok=True)
        for vantage in self._vantages:
            packets = sorted(self._relay_packets(vantage), key=lambda packet: packet.time)
            truth["captures"].append(_write_relay(folder, vantage, packets))
        packets = sorted(self._terminal_packets(), key=lambda packet: packet.time)
        write_pcap(folder / _TERMINAL, packets, _WHOLE)
        truth["captures"].append(
            Capture(
                file=_TERMINAL,
                vantage=self._cast.terminals[self._client],
                snaplen=_WHOLE,
                precision="us",
                packets=len(packets),
                clock_offset_s=0.0,
            )
        )
        truth["chains"].extend(self._chain(number) for number in range(len(self._chains)))

    def _relay_packets(self, vantage: Vantage) -> Iterator[Packet]:
        for session in self._sessions:
            hops = self._chains[session.chain]
            for link, carried in enumerate(carry(self._cast, hops, session)):
                ends = self._ends(session, link)
                for side in (0, 1):
                    # Near side: the vantage opened the connection; far side: it accepted it.
                    if ends[2 * side] != vantage.relay.address:
                        continue
                    rtt = int(2 * hops.delay[link])
                    connection = Connection(*ends, carried.opened[side], carried.closed[side], side == 0, rtt)
                    name = hops.relays[0].name if link == 0 else hops.addresses[link]
                    yield from converse(connection, _said(carried.time[side], carried.up, carried.size, name))
        yield from self._office_packets(vantage)
        yield from strangers(self._cast, vantage.relay)

    def _ends(self, session: Session, link: int) -> tuple[str, int, str, int]:
        """Client, its port, server, its port of a session's link; the office's port is the one Zeek logged."""
        addresses = (OFFICE, *self._chains[session.chain].addresses)
        port = 32_768 + hash_number(addresses[link], session.number) % 28_000 if link else self._ports[session.number]
        return addresses[link], port, addresses[link + 1], PORT

    def _office_packets(self, vantage: Vantage) -> Iterator[Packet]:
        """The office's plain connections to this relay, the same as in Zeek's logs."""
        rows = self._uplink[(self._uplink["server"] == vantage.relay.index) & (self._uplink["tag"] == 0)]
        for number in np.unique(rows["connection"]):
            mine = rows[rows["connection"] == number]
            if mine["depth"][0] != 1:
                continue  # began before the capture: its handshake is not there
            opened, last = int(mine["start"][0]), int(mine["end"][-1])
            closed = last + (1 + vantage.relay.index % 5) * MICROSECONDS
            messages = _http_messages(self._cast, mine, proxied=True)
            connection = Connection(
                OFFICE, int(mine["port"][0]), vantage.relay.address, 80, opened, closed, near_client=False, rtt=_HOP_RTT
            )
            yield from converse(connection, messages)

    def _terminal_packets(self) -> Iterator[Packet]:
        rows = self._terminal[np.argsort(self._terminal["start"], kind="stable")]
        tagged = {session.number: session for session in self._sessions}
        for place in range(len(rows)):
            row = rows[place : place + 1]
            session = tagged.get(int(row["tag"][0]))
            if row["verb"][0] == catalog.CONNECT:
                messages = _tunnel_messages(self._cast, row, session)
            else:
                messages = _http_messages(self._cast, row, proxied=False)
            address = self._cast.terminals[self._client]
            opened, closed = int(row["start"][0]) - 900, int(row["end"][0]) + 500
            port = 49_152 + place
            connection = Connection(address, port, PROXY, PROXY_PORT, opened, closed, near_client=True, rtt=400)
            yield from converse(connection, messages)

    def _chain(self, number: int) -> Chain:
        hops = self._chains[number]
        sessions = [self._session(one) for one in self._sessions if one.chain == number]
        return Chain(hops=[self._cast.terminals[hops.client], OFFICE, *hops.addresses], sessions=sessions)

    def _session(self, session: Session) -> ChainSession:
        hops = self._chains[session.chain]
        campaign, flows = self._cast.campaign, []
        logged = session.opened >= campaign.midnight(campaign.days - campaign.sensor_days)
        if hops.client == self._client:
            tags = np.sort(self._terminal, order="start", kind="stable")["tag"].tolist()
            source = self._cast.terminals[self._client], 49_152 + tags.index(session.number)
            flows.append(_flow((*source, PROXY, PROXY_PORT), [_TERMINAL]))
        for link in range(len(hops.addresses)):
            ends = self._ends(session, link)
            files = [one.file for one in self._vantages if one.relay.address in (ends[0], ends[2])]
            flows.append(_flow(ends, [*files, *(["zeek/conn.log.gz"] if logged and link == 0 else [])]))
        return ChainSession(
            start=iso(session.opened),
            end=iso(session.closed),
            bytes_up=int(session.size[session.up == 1].sum()),
            bytes_down=int(session.size[session.up == 0].sum()),
            flows=flows,
        )


def _flow(ends: tuple[str, int, str, int], files: list[str]) -> ChainFlow:
    return ChainFlow(src=ends[0], src_port=ends[1], dst=ends[2], dst_port=ends[3], seen_in=files)


def _write_relay(folder: Path, vantage: Vantage, packets: list[Packet]) -> Capture:
    shift = round(vantage.offset_s * MICROSECONDS)
    shown = [Packet(packet.time + shift, packet.frame) for packet in packets]
    if vantage.file.endswith("pcapng"):
        write_pcapng(folder / vantage.file, shown, vantage.snaplen)
    else:
        write_pcap(folder / vantage.file, shown, vantage.snaplen, nanoseconds=vantage.nanoseconds)
    return Capture(
        file=vantage.file,
        vantage=vantage.relay.address,
        snaplen=vantage.snaplen,
        precision="ns" if vantage.nanoseconds else "us",
        packets=len(packets),
        clock_offset_s=vantage.offset_s,
    )


def _http_messages(cast: Cast, rows: Rows, *, proxied: bool) -> list[Message]:
    """Requests and replies; ``proxied`` as they leave the proxy, else as they reach it."""
    messages = []
    more, less = (ADDED_TO_REQUEST, ADDED_TO_REPLY) if proxied else (0, 0)
    for row, path, agent in zip(rows, paths(rows), agents(cast, rows), strict=True):
        name, verb, mime = cast.names[row["server"]], catalog.VERBS[row["verb"]], catalog.PAGES[row["page"]][1]
        extra = "Via: 1.1 proxy.office.example (squid/5.7)\r\n" if proxied else ""
        extra += f"X-Forwarded-For: {cast.terminals[row['client']]}\r\n" if proxied else ""
        target = path if proxied else f"http://{name}{path}"
        size, status = int(row["sent"]), int(row["status"])
        asked = payloads.http_request(verb, target, name, agent, size, head=LEAST_SENT + more, extra=extra)
        reply = payloads.http_reply(status, mime, int(row["received"]), head=LEAST_RECEIVED - less)
        start, end = int(row["start"]), int(row["end"])
        answered = max(start + (end - start) // 2, end - len(reply) // 10)
        messages += [Message(start + 1, up=True, payload=asked), Message(answered, up=False, payload=reply)]
    return messages


def _said(time: Ints, up: Ints, size: Ints, name: str) -> list[Message]:
    """The messages of a chain session on one link."""
    texts = payloads.tunnelled(name, size.tolist())
    return [Message(*one) for one in zip(time.tolist(), (up == 1).tolist(), texts, strict=True)]


def _tunnel_messages(cast: Cast, row: Rows, session: Session | None) -> list[Message]:
    """CONNECT, its answer, and the tunnel: a chain session, or a hello and what else the row counts."""
    name = cast.names[int(row["server"][0])]
    start, end = int(row["start"][0]), int(row["end"][0])
    messages = [
        Message(start + 1, up=True, payload=payloads.connect_request(name, agents(cast, row)[0])),
        Message(min(start + 60_000, (start + end) // 2), up=False, payload=payloads.connect_reply()),
    ]
    if session is not None:
        return messages + _said(session.time, session.up, session.size, name)
    hello = payloads.client_hello(name)
    up, down = int(row["sent"][0]) - CONNECT_REQUEST, int(row["received"][0]) - CONNECT_REPLY
    middle = start + (end - start) // 2
    return [
        *messages,
        Message(min(start + 61_000, middle), up=True, payload=hello),
        Message(middle, up=True, payload=payloads.records(up - len(hello))),
        Message(middle + 1000, up=False, payload=payloads.records(down)),
    ]
