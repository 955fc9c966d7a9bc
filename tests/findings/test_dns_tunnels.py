"""The detector of look-ups that carry data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import forensics as fx
from forensics.detectors import dns_tunnels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from forensics.case import Case

START = 1_431_302_400_000_000

Rows = list[dict[str, object]]


@pytest.fixture
def looked_up(make_case: Callable[..., Case]) -> Callable[[Rows], Case]:
    """Return a maker of cases of look-ups."""

    def make(rows: Rows) -> Case:
        flow = {
            "start": START,
            "src": "10.0.0.1",
            "dst": "10.0.0.53",
            "dst_port": 53,
            "proto": "udp",
            "source": "dns.log",
        }
        return make_case([flow], names=rows)

    return make


def lookups(names: Iterable[str], client: str | None = "10.0.0.1", address: str | None = None) -> Rows:
    """Return look-ups, a second apart."""
    return [
        {
            "time": START + n * 1_000_000,
            "name": name,
            "address": address,
            "how": "dns",
            "client": client,
            "source": "dns.log",
            "record": n + 1,
        }
        for n, name in enumerate(names)
    ]


def hashes(count: int, letters: int = 40, seed: int = 1) -> list[str]:
    """Return labels of random digits."""
    rng = np.random.default_rng(seed)
    return ["".join(rng.choice(list("0123456789abcdef"), letters)) for _ in range(count)]


def test_a_tunnel_is_found(looked_up: Callable[[Rows], Case]) -> None:
    """150 names of two labels; what they carry is their characters times four bits."""
    rows = lookups(f"{label[:30]}.{label[30:]}.evil.example" for label in hashes(150, 60))

    found = dns_tunnels.detect(looked_up(rows))

    assert found[["src", "dst", "name", "value", "source", "record"]].to_numpy().tolist() == [
        ["10.0.0.1", "evil.example", "evil.example", 150.0, "dns.log", "1-150"]
    ]
    assert found["score"].tolist() == pytest.approx([150 * 60 * 4 / 8], rel=0.001)
    assert "60 characters each" in found["reason"][0]
    assert "150 of them were answered without an address; RITA's threshold base (100)" in found["reason"][0]


def test_the_figures_of_a_small_case(looked_up: Callable[[Rows], Case]) -> None:
    """Six names of 64 letters, each of four letters as often: two bits a letter, 96 bytes in all."""
    rotated = ["abcd" * k + "dcba" * (16 - k) for k in range(4)] + ["aabbccdd" * 8, "ddccbbaa" * 8]
    rows = lookups(f"{name[:32]}.{name[32:]}.example.org" for name in rotated)

    found = dns_tunnels.detect(looked_up(rows), least_subdomains=6, least_bytes=1)

    assert found["score"].tolist() == pytest.approx([6 * 64 * 2 / 8])


@pytest.mark.parametrize(
    ("names", "address"),
    [
        ([f"img{n}.shop.example" for n in range(2000)], "198.18.0.1"),
        ([f"{n % 250}.{n // 250}.2.10.blocklist.example" for n in range(2000)], None),
        ([f"{label}.rep.example" for label in hashes(200)], "127.0.0.2"),
        ([f"{'.'.join(label)}.ip6.arpa" for label in hashes(200, 32)], None),
        ([f"{label}.evil.example" for label in hashes(99)], None),
        ([f"{label}.evil.example" for label in hashes(5)] * 100, None),
        ([f"{label}.cloudfront.net" for label in hashes(200)], "198.18.0.1"),
        (hashes(200), None),
    ],
    ids=["shards", "blocklist", "reputation", "reverse", "few", "repeated", "content network", "one label"],
)
def test_what_looks_alike_is_none(looked_up: Callable[[Rows], Case], names: list[str], address: str | None) -> None:
    """Many names, random names, and names that nobody registered, each without the rest."""
    assert dns_tunnels.detect(looked_up(lookups(names, address=address))).empty


def test_a_crowd_has_a_service(looked_up: Callable[[Rows], Case]) -> None:
    """Three clients that ask for hashes under one domain have a virus scanner; of two each is a finding."""
    rows = [lookups((f"{label}.scan.example" for label in hashes(150, seed=n)), f"10.0.0.{n}") for n in range(3)]

    assert dns_tunnels.detect(looked_up([*rows[0], *rows[1], *rows[2]])).empty
    assert len(dns_tunnels.detect(looked_up([*rows[0], *rows[1]]))) == 2


@pytest.mark.parametrize(
    "domain", ["evil.example", "evil.co.jp", "evil.aoba.kawasaki.jp", "city.kawasaki.jp", "me.github.io"]
)
def test_a_domain_is_what_somebody_registered(looked_up: Callable[[Rows], Case], domain: str) -> None:
    """Below one, two or more labels of a public suffix; a customer's own domain at a host is one."""
    found = dns_tunnels.detect(looked_up(lookups(f"{label}.{domain}" for label in hashes(150))))

    assert found["dst"].tolist() == [domain]


def test_look_ups_without_a_client_are_counted(looked_up: Callable[[Rows], Case]) -> None:
    """Who asked is not known, so no terminal can be named."""
    case = looked_up(
        [*lookups((f"{label}.evil.example" for label in hashes(150)), None), *lookups(["www.site.example"])]
    )

    assert dns_tunnels.detect(case).empty
    coverage = dns_tunnels.coverage(case)
    assert (coverage.tested, coverage.refused) == (1, 150)


def test_a_client_with_very_many_names(looked_up: Callable[[Rows], Case]) -> None:
    """A hundred thousand names under as many domains, and under one; hostile characters are characters."""
    many = lookups(f"a.n{n}.example" for n in range(50_000))
    one = lookups(f"\u3042\x00'\"{n:050}.evil.example" for n in range(50_000))

    assert dns_tunnels.detect(looked_up([*many, *one]))["value"].tolist() == [50_000.0]


def test_captures_with_tunnels(corpus: Path) -> None:
    """A tunnel of others that a capture has whole is found, though it asks for MX and TXT, which bring no address."""
    case = fx.read(corpus / "flows-by-protocol" / "bad-dns-traffic.pcap", timezone="UTC", progress=False)

    assert dns_tunnels.detect(case)["dst"].tolist() == ["skullseclabs.org"]


@pytest.mark.parametrize("option", [{"least_subdomains": 1}, {"least_bytes": -1}, {"crowd": 0.0}])
def test_options_out_of_range_are_refused(looked_up: Callable[[Rows], Case], option: dict[str, float]) -> None:
    """An option without sense is an error that names what is needed."""
    with pytest.raises(ValueError, match="are needed"):
        dns_tunnels.detect(looked_up([]), **option)  # type: ignore[arg-type]
