"""Well-known ports: which end of a conversation is the server where its start was not seen, and where names are found.

The server ports are those that Zeek's analyzers register (its ``likely_server_ports``), with a few of proxies.
"""

from __future__ import annotations

import numpy as np

from forensics.packets.layout import (
    PORT_DNS,
    PORT_EXPORT,
    PORT_HTTP,
    PORT_SERVER_TCP,
    PORT_SERVER_UDP,
    PORT_TUNNEL,
    Bytes,
)

__all__ = ["HTTP_PORTS", "port_table"]

HTTP_PORTS = (80, 81, 631, 1080, 3128, 8000, 8008, 8080, 8081, 8088, 8118, 8888)
"""Ports on which every segment is looked at for the beginning of an HTTP message."""

DNS_PORTS = (53, 5353, 5355)
"""DNS, mDNS (RFC 6762) and LLMNR (RFC 4795)."""

TUNNEL_PORTS = (1701, 2152, 3544, 4754, 4789, 4790, 5072, 6081, 6635, 8472)
"""Ports of UDP behind which `forensics.packets.tunnels` looks for a tunnel's header."""

EXPORT_PORTS = (2055, 2056, 4432, 4739, 9995, 9996)
"""Ports of UDP to which NetFlow and IPFIX (RFC 7011, section 10.3.4) are sent."""

_SERVERS_TCP = (
    21, 22, 25, 53, 80, 81, 88, 102, 110, 135, 139, 143, 389, 443, 445, 464, 465, 502, 514, 563, 585, 587, 593, 614,
    631, 636, 853, 989, 990, 992, 993, 995, 1080, 1433, 1434, 1521, 1883, 3128, 3268, 3306, 3389, 5060, 5061, 5222,
    5223, 5269, 5432, 5900, 5985, 5986, 6379, 6666, 6667, 6668, 6669, 8000, 8080, 8443, 8888, 9200, 20000, 25565,
)  # fmt: skip
_SERVERS_UDP = (
    53, 67, 88, 123, 137, 138, 161, 162, 389, 443, 464, 500, 514, 853, 1434, 1812, 1813, 1645, 2123, 2152, 3389,
    3478, 3544, 4500, 4789, 5060, 5072, 5353, 5355, 6081, 20000,
)  # fmt: skip


def port_table() -> Bytes:
    """Return what is known of every port number, as bits."""
    table = np.zeros(65536, dtype=np.uint8)
    uses = (
        (HTTP_PORTS, PORT_HTTP),
        (DNS_PORTS, PORT_DNS),
        (TUNNEL_PORTS, PORT_TUNNEL),
        (EXPORT_PORTS, PORT_EXPORT),
        (_SERVERS_TCP, PORT_SERVER_TCP),
        (_SERVERS_UDP, PORT_SERVER_UDP),
    )
    for ports, bit in uses:
        table[list(ports)] |= bit
    return table
