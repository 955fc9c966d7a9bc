"""Protocols above IP: one name for each, however the evidence calls it.

A capture and most exports of flows have the number of a protocol, logs have its number or one of its names. In the
tables ``tcp``, ``udp``, ``icmp``, ``icmp6`` and ``sctp`` go by name, all others by number, as ``ip-47``: so the rows of
one connection agree, whoever saw it.

Example: ``proto_of("GRE")`` and ``proto_of("47")`` are both ``"ip-47"``.

References
----------
.. [1] IANA, *Assigned Internet Protocol Numbers*, https://www.iana.org/assignments/protocol-numbers/
.. [2] RFC 5237: how the numbers are assigned.
"""

from __future__ import annotations

__all__ = ["PORTED", "number_of", "proto_name", "proto_numbered", "proto_of"]

_NAMES = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp6", 132: "sctp"}
_HIGHEST = 255

# By their numbers, from 0; a dot where a number has no keyword. The keyword of 94, IPIP, is not here: as many programs
# mean 4 by it.
_KEYWORDS = (
    "hopopt", "icmp", "igmp", "ggp", "ipv4", "st", "tcp", "cbt", "egp", "igp", "bbn-rcc-mon", "nvp-ii", "pup",
    "argus", "emcon", "xnet", "chaos", "udp", "mux", "dcn-meas", "hmp", "prm", "xns-idp", "trunk-1", "trunk-2",
    "leaf-1", "leaf-2", "rdp", "irtp", "iso-tp4", "netblt", "mfe-nsp", "merit-inp", "dccp", "3pc", "idpr", "xtp",
    "ddp", "idpr-cmtp", "tp++", "il", "ipv6", "sdrp", "ipv6-route", "ipv6-frag", "idrp", "rsvp", "gre", "dsr", "bna",
    "esp", "ah", "i-nlsp", "swipe", "narp", "mobile", "tlsp", "skip", "ipv6-icmp", "ipv6-nonxt", "ipv6-opts", ".",
    "cftp", ".", "sat-expak", "kryptolan", "rvd", "ippc", ".", "sat-mon", "visa", "ipcv", "cpnx", "cphb", "wsn",
    "pvp", "br-sat-mon", "sun-nd", "wb-mon", "wb-expak", "iso-ip", "vmtp", "secure-vmtp", "vines", "ttp",
    "nsfnet-igp", "dgp", "tcf", "eigrp", "ospfigp", "sprite-rpc", "larp", "mtp", "ax.25", ".", "micp", "scc-sp",
    "etherip", "encap", ".", "gmtp", "ifmp", "pnni", "pim", "aris", "scps", "qnx", "a/n", "ipcomp", "snp",
    "compaq-peer", "ipx-in-ip", "vrrp", "pgm", ".", "l2tp", "ddx", "iatp", "stp", "srp", "uti", "smp", "sm", "ptp",
    "isis", "fire", "crtp", "crudp", "sscopmce", "iplt", "sps", "pipe", "sctp", "fc", "rsvp-e2e-ignore",
    "mobility-header", "udplite", "mpls-in-ip", "manet", "hip", "shim6", "wesp", "rohc", "ethernet", "aggfrag", "nsh",
)  # fmt: skip
_ALIASES = {"icmp6": 58, "icmpv6": 58, "ipencap": 4, "ospf": 89, "udp-lite": 136}
_NUMBERS = {name: number for number, name in enumerate(_KEYWORDS) if name != "."} | _ALIASES


def proto_name(number: int) -> str:
    """Return the name of a protocol as ``flows`` has it.

    Examples
    --------
    >>> proto_name(6), proto_name(47)
    ('tcp', 'ip-47')
    """
    return _NAMES.get(number, f"ip-{number}")


PORTED = ("tcp", "udp", "sctp", proto_name(33), proto_name(136))
"""Protocols that have ports; the last two are DCCP and UDP-Lite."""


def proto_numbered(text: str) -> str | None:
    """Return the protocol that a log tells by its number; None where the text is no number of one.

    Examples
    --------
    >>> proto_numbered("017"), proto_numbered("256"), proto_numbered("udp")
    ('udp', None, None)
    """
    digits = len(text) <= len(str(_HIGHEST)) and text.isascii() and text.isdecimal()
    return proto_name(int(text)) if digits and int(text) <= _HIGHEST else None


def proto_of(text: str) -> str | None:
    """Return the protocol that a log tells by its number or by a name of any case; None where a number is of none.

    A name that is not one of IP's stays as it is, in small letters.

    Examples
    --------
    >>> proto_of("6"), proto_of("UDP"), proto_of("IPv6-ICMP"), proto_of("GRE"), proto_of("ARP"), proto_of("256")
    ('tcp', 'udp', 'icmp6', 'ip-47', 'arp', None)
    """
    name = text.strip().casefold()
    if not name or name.isdecimal():
        return proto_numbered(name)
    number = _NUMBERS.get(name)
    return name if number is None else proto_name(number)


def number_of(proto: str) -> int | None:
    """Return the number of a protocol of ``flows``; None where it is not one of IP's.

    Examples
    --------
    >>> number_of("icmp6"), number_of("ip-47"), number_of("ip-256"), number_of("arp")
    (58, 47, None, None)
    """
    number = next((number for number, name in _NAMES.items() if name == proto), None)
    if number is None and proto.startswith("ip-") and proto_numbered(proto[3:]):
        return int(proto[3:])
    return number
