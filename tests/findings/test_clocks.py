"""Clock offsets between evidence sources: which events show them, how they are put together, what is said of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from forensics.clocks import CLOCK_COLUMNS, find_clock_offsets, find_clocks
from forensics.clocks.fit import LEAST_FAR, LEAST_MATCHES
from forensics.clocks.table import zone_note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from forensics.case import Case

SECOND = 1_000_000
START = 1_431_302_400_000_000
GATEWAY, SERVER = "203.0.113.10", "198.51.100.116"

Rows = list[dict[str, object]]


def seen(source: str, offset: float, ports: Iterable[int], *, drift: float = 0.0, **more: object) -> Rows:
    """Return connections as one source saw them: one every minute, by a clock that is off by so much [s]."""
    return [
        {
            "start": START + round((60 * port + offset + drift * place) * SECOND),
            "src": GATEWAY,
            "src_port": port,
            "dst": SERVER,
            "dst_port": 443,
            "proto": "tcp",
            "source": source,
            "vantage": source,
            **more,
        }
        for place, port in enumerate(ports)
    ]


def quiet(*sources: str) -> Rows:
    """Return a flow of each source that no other one saw."""
    return [
        {"start": START, "src": "10.9.9.9", "dst": "192.0.2.99", "source": source, "vantage": source}
        for source in sources
    ]


def asked(source: str, offset: float, pages: Iterable[int], **more: object) -> Rows:
    """Return requests for pages as one source saw them, one every minute or so."""
    return [
        {"start": START + round((61.7 * page + offset) * SECOND), "src": "10.0.0.5", "name": "shop.example",
         "method": "GET", "url": f"http://shop.example/page/{page}?q=1", "source": source, "record": page, **more}
        for page in pages
    ]  # fmt: skip


def looked_up(source: str, offset: float, numbers: Iterable[int], **more: object) -> Rows:
    """Return look-ups of names as one source saw them, one every minute or so."""
    return [
        {"time": START + round((61.7 * n + offset) * SECOND), "address": f"198.51.100.{n}", "name": f"{n}.example",
         "how": "dns", "client": "10.0.0.5", "source": source, "record": n, **more}
        for n in numbers
    ]  # fmt: skip


def test_offset_is_the_median_of_shared_connections(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """A capture whose clock is 37.4 s ahead is found to be so, though one connection was delayed."""
    rows = seen("conn.log", 0.0, range(5)) + seen("relay.pcap", 37.4, range(5))
    rows[-1] = rows[-1] | {"start": int(str(rows[-1]["start"])) + 2 * SECOND}

    assert offsets_of(make_case(rows)) == {"conn.log": 0.0, "relay.pcap": pytest.approx(37.4)}


def test_offsets_are_carried_from_source_to_source(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """A source that shares nothing with the reference is compared through one that does, in either direction."""
    rows = seen("b", 0.0, range(20)) + seen("a", 5.0, range(8)) + seen("c", -7.0, range(8, 16))
    rows += [row | {"dst": "203.0.113.182"} for row in seen("c", -7.0, range(30, 34)) + seen("d", 3.0, range(30, 34))]

    offsets = offsets_of(make_case(rows))

    assert offsets == {"b": 0.0, "a": pytest.approx(5.0), "c": pytest.approx(-7.0), "d": pytest.approx(3.0)}


def test_sources_that_share_nothing_have_references_of_their_own(make_case: Callable[..., Case]) -> None:
    """Two groups of sources without a link are each compared within themselves, and the table says with what."""
    rows = seen("a", 0.0, range(9)) + seen("b", 2.0, range(9))
    rows += [row | {"dst": "203.0.113.182"} for row in seen("c", 0.0, range(30, 39)) + seen("d", 3.0, range(30, 39))]

    table = find_clock_offsets(make_case(rows))

    assert table[["source", "reference"]].to_numpy().tolist() == [["a", "a"], ["b", "a"], ["c", "c"], ["d", "c"]]
    assert table["offset"].tolist() == pytest.approx([0.0, 2.0, 0.0, 3.0])


def test_few_shared_connections_say_nothing(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """Fewer shared connections than an offset needs give none, and the table has the number."""
    few = range(LEAST_MATCHES - 1)
    case = make_case(seen("a", 0.0, few) + seen("b", 1.0, few))

    assert offsets_of(case) == {}
    table = find_clock_offsets(case)
    assert table["offset"].isna().all()
    assert table["matches"].tolist() == [len(few), len(few)]
    assert set(table["note"]) == {
        f"not compared: {len(few)} events that another source may have seen, too; {LEAST_MATCHES} that agree are needed"
    }


def test_connections_that_disagree_say_nothing(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """Five-tuples that were used again, minutes apart, are no offset."""
    rows = seen("a", 0.0, range(9)) + seen("b", 1.0, range(9), drift=30.0)

    assert offsets_of(make_case(rows)) == {}


def test_a_five_tuple_used_twice_is_left_out(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """Of connections that one source holds twice it is not known which is meant."""
    rows = seen("a", 0.0, range(3)) + seen("b", 4.0, range(3))
    rows += [row | {"start": int(str(row["start"])) + 900 * SECOND} for row in seen("b", 0.0, range(1))]

    assert offsets_of(make_case(rows)) == {}


def test_nothing_to_compare(make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]) -> None:
    """A case without rows, or with one source, has no offsets."""
    assert offsets_of(make_case([])) == {}
    assert offsets_of(make_case(seen("a", 0.0, range(9)))) == {}
    assert find_clock_offsets(make_case([])).columns.tolist() == list(CLOCK_COLUMNS)


def test_either_end_may_be_taken_for_the_client(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """The ends of a connection are its ends, whichever of them a log took for the client."""
    turned = [
        row | {"src": SERVER, "src_port": 443, "dst": GATEWAY, "dst_port": row["src_port"]}
        for row in seen("b", 4.0, range(5))
    ]

    assert offsets_of(make_case(seen("a", 0.0, range(5)) + turned))["b"] == pytest.approx(4.0)


def test_a_connection_without_its_opening_says_nothing(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """Two captures of one host begin in the middle of the same connections: their first packets are no event."""
    rows = seen("a", 0.0, range(5), history="DadA") + seen("b", 3020.0, range(5), history="dADa")
    assert offsets_of(make_case(rows)) == {}

    rows = seen("a", 0.0, range(5), history="ShADad") + seen("b", 3.0, range(5), history="^hADad")
    assert offsets_of(make_case(rows))["b"] == pytest.approx(3.0)


def test_a_gateway_that_changes_the_address_keeps_the_port(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """Captures before and behind address translation are compared by the client's port and the server."""
    rows = seen("inside", 0.0, range(5), src="10.0.0.5") + seen("outside", -3.0, range(5))

    assert offsets_of(make_case(rows))["outside"] == pytest.approx(-3.0)


def test_two_clients_with_the_same_port_are_not_taken_for_one(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """Where two clients of a file have the same port toward a server, their connections say nothing by the port."""
    rows = seen("inside", 0.0, range(5), src="10.0.0.5") + seen("inside", 9.0, range(5), src="10.0.0.6")
    rows += seen("outside", -3.0, range(5))

    assert offsets_of(make_case(rows)) == {}


@pytest.mark.parametrize("url", ["/page/{}?q=1", "/page/{}"])
def test_requests_show_offsets(
    make_case: Callable[..., Case], url: str, offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """A proxy's log and a sensor's are compared by what was asked, with or without host, query and client."""
    requests = asked("proxy", 0.0, range(9))
    requests += [row | {"url": url.format(row["record"]), "src": GATEWAY} for row in asked("http.log", 6.5, range(9))]

    offsets = offsets_of(make_case(quiet("http.log", "proxy"), requests=requests))

    assert offsets["proxy"] - offsets["http.log"] == pytest.approx(-6.5)


def test_logs_of_one_sensor_are_joined_by_the_ports_of_their_requests(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """A log of requests with ports is compared with a log of connections: the first request of each counts."""
    ends = {"src": GATEWAY, "dst": SERVER, "dst_port": 443, "url": None}
    requests = [
        row | ends | {"src_port": port, "start": row["start"]}
        for port in range(5)
        for later in (0.02, 5.0)
        for row in [{**asked("http.log", 0.0, [port])[0], "start": START + round((60 * port + later) * SECOND)}]
    ]

    offsets = offsets_of(make_case(seen("conn.log", 0.0, range(5)) + quiet("http.log"), requests=requests))

    assert offsets["http.log"] == pytest.approx(0.02)


def test_look_ups_show_offsets(make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]) -> None:
    """Two sources that saw look-ups of the same names are compared by them, also where a resolver asked for others."""
    names = looked_up("dns.log", 0.0, range(9)) + looked_up("uplink", 12.0, range(9), client=GATEWAY)

    offsets = offsets_of(make_case(quiet("dns.log", "uplink"), names=names))

    assert offsets["uplink"] - offsets["dns.log"] == pytest.approx(12.0)


def test_logs_without_ports_are_compared_by_sizes(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """Two logs of connections without ports are compared by client, server and bytes."""
    rows: Rows = [
        {"start": START + round((61 * n + offset) * SECOND), "src": "10.0.0.5", "dst": SERVER, "bytes_out": 100 + n,
         "bytes_in": 7 * n, "source": source, "vantage": source}
        for source, offset in (("first", 0.0), ("second", 1.25))
        for n in range(9)
    ]  # fmt: skip

    assert offsets_of(make_case(rows))["second"] == pytest.approx(1.25)


def test_a_burst_counts_once(make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]) -> None:
    """Two people who load one page of many parts, an hour apart and each seen in one place, show no offset."""
    one, other = (
        [row | {"start": START + later * SECOND + 20_000 * n} for n, row in enumerate(asked(source, 0.0, range(40)))]
        for source, later in (("proxy", 0), ("http.log", 4000))
    )

    assert offsets_of(make_case(quiet("http.log", "proxy"), requests=one + other)) == {}


def test_a_nightly_job_is_no_offset_of_a_day(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """The parts of a rotated log hold the same jobs a day apart: files of one place are not compared by them."""
    requests = asked("access.log.1", 0.0, range(60)) + asked("access.log", 6 * 3600.0, range(60))
    flows = [row | {"vantage": "access"} for row in quiet("access.log", "access.log.1")]

    assert offsets_of(make_case(flows, requests=requests)) == {}


def test_far_offsets_without_ports_need_more(
    make_case: Callable[..., Case], offsets_of: Callable[[Case], dict[str, float]]
) -> None:
    """Nine hours by requests alone need as many matches as chance and habit do not make; with them they are said."""

    def case(count: int) -> Case:
        requests = asked("proxy", 9 * 3600.0, range(count)) + asked("http.log", 0.0, range(count))
        return make_case(quiet("http.log", "proxy"), requests=requests)

    assert offsets_of(case(LEAST_FAR - 2)) == {}
    [_, row] = find_clock_offsets(case(LEAST_FAR + 2)).to_dict("records")
    assert row["offset"] == pytest.approx(9 * 3600.0)
    assert row["note"] == "looks like a time zone: +9:00 h, and +0.000 s beside"


@pytest.mark.parametrize(
    ("offset", "note"),
    [
        (9 * 3600.0, "looks like a time zone: +9:00 h, and +0.000 s beside"),
        (-9 * 3600.0 - 2.5, "looks like a time zone: -9:00 h, and -2.500 s beside"),
        (5.5 * 3600 + 1, "looks like a time zone: +5:30 h, and +1.000 s beside"),
        (5.75 * 3600, "looks like a time zone: +5:45 h, and +0.000 s beside"),
        (611.0, ""),
        (900.0, ""),
        (9 * 3600 + 500.0, ""),
        (40 * 3600.0, ""),
        (0.0, ""),
    ],
)
def test_errors_of_whole_hours_are_recognised(offset: float, note: str) -> None:
    """An offset near whole hours, or near a half or a quarter beyond an hour, looks like a time zone; others do not."""
    assert zone_note(offset) == note


def test_a_clock_that_was_set_has_two_pieces(make_case: Callable[..., Case]) -> None:
    """What came before the setting and after it is corrected each by its own; the table says when and by how much."""
    case = make_case(seen("a", 0.0, range(40)) + seen("b", 5.0, range(20)) + seen("b", 125.0, range(20, 40)))

    _, first, second = find_clock_offsets(case).to_dict("records")

    assert (first["offset"], second["offset"]) == (pytest.approx(5.0), pytest.approx(125.0))
    assert (first["matches"], second["matches"]) == (20, 20)
    assert second["note"] == "set by +120.000 s since 2015-05-11 00:19:05 by its own clock"
    assert second["start"] == datetime.fromtimestamp(START / 1e6 + 20 * 60 + 125, UTC)
    rows = case.sql("SELECT src_port, start, source FROM flows ORDER BY src_port, source").to_arrow()
    moved = find_clocks(case).corrected(rows).to_pylist()
    assert all(
        one["corrected_start"] == other["corrected_start"] for one, other in zip(moved[::2], moved[1::2], strict=True)
    )
    assert all(row["start"] - row["corrected_start"] == timedelta(0) for row in moved[::2])


def test_a_drifting_clock_is_followed(make_case: Callable[..., Case]) -> None:
    """A clock that gains 50 ppm has a drift, and corrected times agree from the first day to the last."""
    ports = range(0, 20_000, 400)
    rows = seen("a", 0.0, ports) + seen("b", 3.0, ports, drift=60 * 400 * 50e-6)
    case = make_case(rows)

    [_, row] = find_clock_offsets(case).to_dict("records")

    assert row["drift"] == pytest.approx(50.0, rel=1e-3)
    assert row["offset"] == pytest.approx(3.0, abs=1e-3)
    assert row["note"].startswith("it drifts, to +61.")
    moved = find_clocks(case).corrected(case.sql("SELECT src_port, start, source FROM flows").to_arrow()).to_pylist()
    by_port: dict[Any, list[datetime]] = {}
    for flow in moved:
        by_port.setdefault(flow["src_port"], []).append(flow["corrected_start"])
    assert max(abs((a - b).total_seconds()) for a, b in by_port.values()) < 1e-3


def test_times_that_are_not_there_stay_so(make_case: Callable[..., Case]) -> None:
    """Corrected times stand beside all times of rows; null stays null; an unknown source keeps its times."""
    clocks = find_clocks(make_case(seen("a", 0.0, range(9)) + seen("b", 4.0, range(9))))
    time = pa.timestamp("us", tz="UTC")
    rows = pa.table({"source": ["b", "b", "c"], "end": pa.array([9 * SECOND, None, 9 * SECOND], time)})

    moved = clocks.corrected(rows)

    assert moved.column_names == ["source", "end", "corrected_end"]
    assert moved.column("corrected_end").cast(pa.int64()).to_pylist() == [5 * SECOND, None, 9 * SECOND]


def test_the_order_of_evidence_does_not_matter(make_case: Callable[..., Case]) -> None:
    """The same rows in another order give the same table."""
    rows = seen("b", 0.0, range(20)) + seen("a", 5.0, range(8)) + seen("c", -7.0, range(8, 16))

    one, other = (find_clock_offsets(make_case(order)) for order in (rows, rows[::-1]))

    assert one.equals(other)
