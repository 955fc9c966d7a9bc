"""The lab's internet: a router in user space that forwards every packet late, as distance would.

The kernel's own ``netem`` is not everywhere, and a chain of hops without travel time would be too easy to
follow. The program reads whole frames from the far ends of the hosts' links, finds the way by destination
address, lowers the time to live and sends the frame on after the sum of both links' delays.
"""

from __future__ import annotations

import heapq
import json
import random
import select
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

GATEWAY_MAC = "02:00:00:00:ff:fe"
_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_OUTGOING = 4  # PACKET_OUTGOING: our own frames come back on the packet socket and must not be forwarded again
_ALL_PROTOCOLS = 3
_JITTER_S = 0.0004


@dataclass
class Link:
    """One host's link: its socket, the host's MAC address and the one-way delay [s]."""

    sock: socket.socket
    mac: bytes
    delay: float


class Wan:
    """Forward frames between links.

    Parameters
    ----------
    links : list of Link
        All links.
    routes : dict of bytes to int
        Destination prefix (3 or 4 bytes of IPv4; 8 or 16 of IPv6) to the number of the link.
    """

    def __init__(self, links: list[Link], routes: dict[bytes, int]) -> None:
        self._links = links
        self._routes = routes
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._last: dict[tuple[int, int], float] = {}
        self._random = random.Random(1)
        self._count = 0

    def run(self) -> None:
        """Forward until the process is told to stop."""
        numbers = {link.sock: number for number, link in enumerate(self._links)}
        socks = list(numbers)
        while True:
            wait = max(0.0, self._queue[0][0] - time.monotonic()) if self._queue else None
            for sock in select.select(socks, [], [], wait)[0]:
                self._receive(numbers[sock])
            self._send_due()

    def _receive(self, number: int) -> None:
        now = time.monotonic()
        for _ in range(64):
            try:
                frame, address = self._links[number].sock.recvfrom(65536)
            except BlockingIOError:
                return
            if address[2] != _OUTGOING:
                self._enqueue(number, frame, now)

    def _enqueue(self, number: int, frame: bytes, now: float) -> None:
        lowered = _lower_ttl(frame)
        # An address has its own route, or the one of its network: /24 in IPv4, /64 in IPv6.
        ipv4 = frame[12:14] == _IPV4
        address, network = (frame[30:34], frame[30:33]) if ipv4 else (frame[38:54], frame[38:46])
        out = self._routes.get(address, self._routes.get(network))
        if lowered is None or out is None or out == number:
            return
        delay = self._links[number].delay + self._links[out].delay + self._random.expovariate(1 / _JITTER_S)
        # Jitter must not reorder one direction of a path: routers queue, they do not shuffle.
        due = max(now + delay, self._last.get((number, out), 0.0))
        self._last[number, out] = due
        self._count += 1
        heapq.heappush(self._queue, (due, self._count, out, self._links[out].mac + frame[:6] + lowered))

    def _send_due(self) -> None:
        now = time.monotonic()
        while self._queue and self._queue[0][0] <= now:
            _, _, out, frame = heapq.heappop(self._queue)
            try:
                self._links[out].sock.send(frame)
            except OSError:
                continue  # a full queue drops packets, and so does a real router


def _lower_ttl(frame: bytes) -> bytes | None:
    """Return the frame from its EtherType on, its time to live lowered, or None if it must not go on."""
    body = bytearray(frame[12:])
    if frame[12:14] == _IPV4 and frame[22] > 1:
        body[10] -= 1
        # RFC 1624: one less in the high byte of a word adds 0x100 to the one's complement checksum.
        checksum = int.from_bytes(body[12:14]) + 0x100
        body[12:14] = ((checksum & 0xFFFF) + (checksum >> 16)).to_bytes(2)
        return bytes(body)
    if frame[12:14] == _IPV6 and frame[21] > 1:
        body[9] -= 1
        return bytes(body)
    return None


def _open_link(interface: str, mac: str, delay_ms: float) -> Link:
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
    sock.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), 32 << 20)
    sock.bind((interface, 0))
    sock.settimeout(0.0)
    return Link(sock, bytes.fromhex(mac.replace(":", "")), delay_ms / 1000)


def main() -> None:
    """Run with the path of a JSON list of ``{interface, mac, delay_ms, prefixes}`` (prefixes in hex)."""
    links: list[Link] = []
    routes: dict[bytes, int] = {}
    for number, entry in enumerate(json.loads(Path(sys.argv[1]).read_text())):
        links.append(_open_link(entry["interface"], entry["mac"], entry["delay_ms"]))
        routes |= {bytes.fromhex(prefix): number for prefix in entry["prefixes"]}
    Wan(links, routes).run()


if __name__ == "__main__":
    main()
