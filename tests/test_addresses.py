"""Addresses and host names have one text each."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forensics.addresses import address_text, host_name, is_private


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),  # RFC 5952 4.2.2: one zero field is not shortened
        ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),  # 4.2.3: the longer run is
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("::", "::"),
    ],
)
def test_an_address_has_one_text(text: str, canonical: str) -> None:
    """All ways to write an address lead to its canonical text."""
    assert address_text(text) == canonical


@pytest.mark.parametrize("text", ["", "%", "[]", "www.example", "192.0.2", "192.0.2.01", "192.0.2.1:80", "1", " ::1"])
def test_what_is_no_address_is_none(text: str) -> None:
    """Names, pieces and addresses with ports are no addresses."""
    assert address_text(text) is None


@given(st.ip_addresses())
def test_canonical_text_stays(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """The canonical text of any address is its own canonical text and means the same address."""
    text = address_text(address.exploded)

    assert text is not None
    assert address_text(text) == text
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    assert ipaddress.ip_address(text) == (mapped or address)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("WWW.Example.", "www.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("ＷＷＷ．example", "www.example"),  # full-width letters and dot
        ("例え。テスト。", "xn--r8jz45g.xn--zckzah"),  # ideographic full stops, one of them last
        ("_dmarc.example", "_dmarc.example"),
        ("a_b..c", "a_b..c"),
        ("" + "ü" * 80 + ".example", "ü" * 80 + ".example"),  # too long for an IDN: kept as observed
        (" example . ", "example"),
    ],
)
def test_a_host_name_has_one_text(text: str, canonical: str) -> None:
    """Case, last dot and Unicode make no other host; unlawful names are kept."""
    assert host_name(text) == canonical


@pytest.mark.parametrize("text", ["", ".", " ", "。"])
def test_no_host_name_is_none(text: str) -> None:
    """Where nothing is left there is no name."""
    assert host_name(text) is None


@given(st.text())
@example("\u00af\x80")  # a macron alone: a blank and an accent, in compatibility form
def test_host_names_are_stable(text: str) -> None:
    """Any text has a name that is its own canonical form, or none; nothing raises."""
    name = host_name(text)

    assert name is None or host_name(name) == name


@pytest.mark.parametrize(
    "address",
    [
        "10.20.0.7",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "127.0.0.1",
        "169.254.1.1",
        "fc00::1",
        "fe80::1",
        "::1",
    ],
)
def test_private_addresses(address: str) -> None:
    """RFC 1918, RFC 4193, link-local and loopback addresses are private."""
    assert is_private(address)


@pytest.mark.parametrize("address", ["203.0.113.7", "172.32.0.1", "192.0.2.1", "2001:db8::1", "::", "www.example", ""])
def test_public_addresses_and_names(address: str) -> None:
    """Documentation ranges count as the internet, and a name is no private address."""
    assert not is_private(address)
