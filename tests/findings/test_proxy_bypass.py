"""The detector of direct connections past the proxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forensics.detectors import proxy_bypass

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.case import Case

SECOND = 1_000_000
DAY = 86_400 * SECOND
START = 1_431_302_400_000_000
RELAY = "203.0.113.7"

Rows = list[dict[str, object]]


def proxied(src: str, count: int = 10, dst: str = "198.18.0.1", after: int = 0) -> Rows:
    """Return requests through the proxy, as its log has them."""
    return [
        {
            "start": START + after + n * 600 * SECOND,
            "src": src,
            "dst": dst,
            "via": "proxy",
            "source": "proxy.log",
            "vantage": "proxy",
        }
        for n in range(count)
    ]


def direct(src: str, dst: str = RELAY, after: int = 0, **more: object) -> dict[str, object]:
    """Return a connection that a sensor saw."""
    known = {
        "start": START + after,
        "src": src,
        "dst": dst,
        "dst_port": 443,
        "proto": "tcp",
        "bytes_out": 700,
        "bytes_in": 900,
    }
    return known | {"source": "conn.log", "vantage": "sensor"} | more


def users(count: int = 8) -> Rows:
    """Return what some terminals do through the proxy."""
    return [row for n in range(1, count + 1) for row in proxied(f"10.0.0.{n}")]


def test_a_direct_connection_is_found(make_case: Callable[..., Case]) -> None:
    """Two of them, beside ten contacts through the proxy: a score of 10/12, with both rows."""
    found = proxy_bypass.detect(make_case([*users(), direct("10.0.0.3"), direct("10.0.0.3", after=DAY // 4)]))

    assert found[["src", "dst", "value", "source", "record"]].to_numpy().tolist() == [
        ["10.0.0.3", RELAY, 2.0, "conn.log", "81-82"]
    ]
    assert found["score"].tolist() == pytest.approx([10 / 12])
    assert found["p_value"].isna().all()
    assert "1.4 kB sent" in found["reason"][0]


def test_an_attempt_without_an_answer_counts_half(make_case: Callable[..., Case]) -> None:
    """A firewall let nobody past; and a log that does not tell is not taken for either."""
    tried = proxy_bypass.detect(make_case([*users(), direct("10.0.0.3", bytes_in=0, state="S0")]))
    open_end = proxy_bypass.detect(make_case([*users(), direct("10.0.0.3", bytes_in=None, bytes_out=None)]))

    assert tried["score"].tolist() == pytest.approx([10 / 11 / 2])
    assert "nothing was answered" in tried["reason"][0]
    assert open_end["score"].tolist() == pytest.approx([10 / 11])
    assert "not known" in open_end["reason"][0]


@pytest.mark.parametrize(
    "row",
    [
        direct("10.0.0.3", dst="10.9.9.9"),
        direct("10.0.0.3", dst="192.168.1.1"),
        direct("10.0.0.3", dst="fd00::1"),
        direct("10.0.0.3", dst_port=22),
        direct("10.0.0.3", dst_port=123, proto="udp"),
        direct("10.0.0.99"),
        direct("10.0.0.3", after=3 * DAY),
        direct("10.0.0.3", tunnel="outer"),
        direct("10.0.0.3", dst="198.18.0.1", after=30 * SECOND),
    ],
    ids=[
        "private",
        "private 2",
        "private IPv6",
        "ssh",
        "clock",
        "no user",
        "another day",
        "tunnel",
        "in the proxy's log",
    ],
)
def test_what_is_no_bypass(make_case: Callable[..., Case], row: dict[str, object]) -> None:
    """Private servers, other ports, who uses no proxy that day, and what the proxy saw as well."""
    assert proxy_bypass.detect(make_case([*users(), row])).empty


def test_other_ports_are_the_callers(make_case: Callable[..., Case]) -> None:
    """SSH past the proxy, for who wants to know."""
    assert len(proxy_bypass.detect(make_case([*users(), direct("10.0.0.3", dst_port=22)]), ports=(22,))) == 1


def test_quic_is_the_web_too(make_case: Callable[..., Case]) -> None:
    """UDP to port 443 goes past the proxy as well."""
    assert len(proxy_bypass.detect(make_case([*users(), direct("10.0.0.3", proto="udp")]))) == 1


def test_what_many_reach_directly_is_a_rule(make_case: Callable[..., Case]) -> None:
    """Three of eight users are a crowd, two are none."""
    rows = [direct(f"10.0.0.{n}") for n in range(1, 4)]

    assert proxy_bypass.detect(make_case([*users(), *rows])).empty
    assert len(proxy_bypass.detect(make_case([*users(), *rows[:2]]))) == 2


def test_without_a_proxy_there_is_no_bypass(make_case: Callable[..., Case]) -> None:
    """The case must show that there is one; a proxy's log alone shows no way past it. The coverage says both."""
    case = make_case([direct("10.0.0.3")])

    assert proxy_bypass.detect(case).empty
    assert proxy_bypass.coverage(case).why == "the case shows no proxy"
    alone = proxy_bypass.coverage(make_case(users()))
    assert (alone.tested, alone.not_tested) == (8, 0)
    assert "a proxy's log alone" in alone.why
    assert "1 terminals use no proxy" in proxy_bypass.coverage(make_case([*users(), direct("10.0.0.99")])).why


def test_a_terminal_with_very_many_servers(make_case: Callable[..., Case]) -> None:
    """A scan past the proxy is as many findings, with the share of the proxy next to nothing."""
    rows = [direct("10.0.0.3", dst=f"198.18.{n // 250 + 1}.{n % 250}") for n in range(2000)]

    found = proxy_bypass.detect(make_case([*users(), *rows]))

    assert len(found) == 2000
    assert found["score"].max() < 0.01


@pytest.mark.parametrize("option", [{"ports": ()}, {"ports": (0,)}, {"crowd": 0.0}])
def test_options_out_of_range_are_refused(make_case: Callable[..., Case], option: dict[str, object]) -> None:
    """An option without sense is an error that names what is needed."""
    with pytest.raises(ValueError, match="are needed"):
        proxy_bypass.detect(make_case([]), **option)  # type: ignore[arg-type]
