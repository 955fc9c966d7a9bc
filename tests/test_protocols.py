"""A protocol has one name in the tables, whether the evidence has its number or one of its names."""

from __future__ import annotations

import socket

import pytest

from forensics.protocols import PORTED, number_of, proto_name, proto_numbered, proto_of


def test_every_number_has_a_name_that_tells_it() -> None:
    """From a number to its name and back, and from its digits to the same name."""
    names = [proto_name(number) for number in range(256)]

    assert [number_of(name) for name in names] == list(range(256))
    assert [proto_numbered(str(number)) for number in range(256)] == names
    assert [proto_of(name) for name in ("tcp", "udp", "icmp", "icmp6", "sctp")] == [
        proto_name(number) for number in (6, 17, 1, 58, 132)
    ]


@pytest.mark.parametrize(
    "name",
    [
        "ICMP",
        "IGMP",
        "TCP",
        "EGP",
        "PUP",
        "UDP",
        "IPV6",
        "RSVP",
        "GRE",
        "ESP",
        "AH",
        "ICMPV6",
        "PIM",
        "SCTP",
    ],
)
def test_names_are_of_the_numbers_that_the_system_has(name: str) -> None:
    """The constants of the C library are the oracle."""
    number: int = getattr(socket, f"IPPROTO_{name}")

    assert proto_of(name) == proto_of(name.lower()) == proto_name(number)


REGISTERED = {
    "hopopt": 0, "nvp-ii": 11, "xns-idp": 22, "DCCP": 33, "il": 40, "skip": 57, "ipv6-opts": 60, "cftp": 62, "visa": 70,
    "iso-ip": 80, "eigrp": 88, "OSPFIGP": 89, "ospf": 89, "ax.25": 93, "etherip": 97, "gmtp": 100, "ipcomp": 108,
    "vrrp": 112, "l2tp": 115, "uti": 120, "sps": 130, "shim6": 140, "nsh": 145,
}  # fmt: skip


@pytest.mark.parametrize(("name", "number"), REGISTERED.items())
def test_names_are_those_of_the_registry(name: str, number: int) -> None:
    """Names of the registry's beginning, middle and end, so that none of them is left out."""
    assert proto_of(name) == f"ip-{number}"


@pytest.mark.parametrize(
    ("text", "proto"),
    [
        (" 6 ", "tcp"),
        ("006", "tcp"),
        ("0006", None),
        ("256", None),
        ("", None),
        ("\u0661", None),
        ("ARP", "arp"),
        ("ipip", "ipip"),
        ("ipv6-icmp", "icmp6"),
        ("ICMPv6", "icmp6"),
        ("UDP-Lite", "ip-136"),
    ],
)
def test_what_is_not_of_ip_stays(text: str, proto: str | None) -> None:
    """A number that is too large is no protocol; a name that is not one of IP's, or of two, stays as it is."""
    assert proto_of(text) == proto


def test_what_has_no_number_has_none() -> None:
    """Only names as the tables have them have a number."""
    assert [number_of(name) for name in ("TCP", "gre", "ip-", "ip-256", "ip-0006", "ip-x", "arp", "")] == [None] * 8
    assert [number_of(name) for name in PORTED] == [6, 17, 132, 33, 136]
