"""Who asked and who was asked: hosts as logs write them, and clients behind trusted proxies."""

from __future__ import annotations

import io
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.formats import Evidence, Hints
from forensics.formats._asked import Forwarded, real_client
from forensics.formats._hosts import address_of, name_of, target

TRUSTED = (ip_network("192.0.2.0/24"), ip_network("2001:db8:1::/48"))


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("１９２．０．２．１", "192.0.2.1"),
        ("192。0｡2．1", "192.0.2.1"),
        ("0x7f.1", None),
        ("2130706433", None),
        ("010.0.0.1", None),
        ("127.1", None),
    ],
)
def test_only_one_notation_of_an_address_is_one(written: str, address: str | None) -> None:
    """Digits of full width are digits; numbers that only some programs take for an address are names."""
    assert address_of(written) == address
    asked = target("GET", f"http://{written}/")
    assert (asked.address, asked.name is None) == (address, address is not None)


def test_letters_of_full_width_are_letters() -> None:
    """A name in letters of full width is the name in plain ones, also where the rest is no lawful IDN."""
    assert name_of("ＷＷＷ．Ｅｘａｍｐｌｅ") == "www.example"
    assert name_of("ＷＷＷ.bücher.example") == "www.xn--bcher-kva.example"
    assert name_of(f"Ａ.{'é' * 70}.example") == f"a.{'é' * 70}.example"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", "203.0.113.9", "203.0.113.9"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),  # nobody vouches for the header
        ("192.0.2.1", "10.0.0.1, 203.0.113.9", "203.0.113.9"),  # what stands before the client is its own word
        ("192.0.2.1", "203.0.113.9, 192.0.2.2, 192.0.2.3", "203.0.113.9"),
        ("192.0.2.1", "203.0.113.9, unknown", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9, unknown, 192.0.2.7", "192.0.2.7"),
        ("192.0.2.1", "203.0.113.9:4711", "203.0.113.9"),
        ("192.0.2.1", '"[2001:DB8::9]:4711"', "2001:db8::9"),
        ("2001:db8:1::1", "2001:db8::9", "2001:db8::9"),
        ("192.0.2.1", "192.0.2.4, 192.0.2.5", "192.0.2.4"),  # all are trusted: the first one asked
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "-", "192.0.2.1"),
        ("192.0.2.1", "<script>, ' or 1=1", "192.0.2.1"),
        ("gate.example", "203.0.113.9", "gate.example"),
    ],
)
def test_only_the_word_of_trusted_proxies_is_taken(peer: str, forwarded: str, client: str) -> None:
    """The list is read from its end, and only as far as trusted proxies wrote it."""
    assert real_client(peer, forwarded, TRUSTED) == (client, client != peer)
    assert real_client(peer, forwarded, ()) == (peer, False)


@given(lies=st.lists(st.text(max_size=20), max_size=40), client=st.ip_addresses(v=4, network="198.51.100.0/24"))
def test_nothing_that_a_client_writes_makes_it_another(lies: list[str], client: object) -> None:
    """Whatever a client sends in the header, the proxy's own entry behind it is the client."""
    assert real_client("192.0.2.1", ", ".join([*lies, str(client)]), TRUSTED) == (str(client), True)


def test_believed_and_disbelieved_headers_are_counted() -> None:
    """The notes count both, and name no more than five of the proxies, in an order of their own."""
    evidence = Evidence(io.BytesIO(), "x.log", "here", Hints(trusted_proxies=TRUSTED))
    forwarded = Forwarded(evidence)

    assert forwarded.client("192.0.2.1", "203.0.113.9") == ("203.0.113.9", True)
    forwarded.count(used=0, not_used=2, peers=[])
    assert evidence.notes == {"forwarded_for_not_used": 2}
    for last in range(9, 2, -1):
        forwarded.count(used=1, not_used=0, peers=[f"192.0.2.{last}"])
    peers = [f"192.0.2.{last}" for last in range(3, 8)]
    assert evidence.notes == {"forwarded_for_used": 7, "forwarded_for_not_used": 2, "trusted_peers": peers}
