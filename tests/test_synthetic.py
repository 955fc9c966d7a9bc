"""The synthetic campaign: the planted truth is what the logs and captures hold, read here without the library."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import re
import runpy
import statistics
import subprocess
import sys
import tracemalloc
from collections import Counter
from datetime import datetime
from functools import cache
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, NamedTuple

import dpkt
import pytest

from forensics.synthetic import Campaign, write_campaign

SAMPLE = Path(__file__).resolve().parents[1] / "sample_pcaps" / "campaign"
SMALL: dict[str, Any] = {"days": 7, "terminals": 9, "infected": 4, "backups": 2, "requests_per_day": 12, "servers": 60}
ALLOWED = [
    ip_network(text) for text in ("10.20.0.0/16", "203.0.113.0/24", "198.51.100.0/24", "192.0.2.0/24", "198.18.0.0/15")
]
SHIPPING = "www.minato-kaiun.example"


class Row(NamedTuple):
    """One line of the proxy's log, times in seconds."""

    start: float
    end: float
    client: str
    verb: str
    host: str
    path: str
    status: str
    sent: int


def seconds(text: str) -> float:
    """Seconds since 1970 of a time in the truth."""
    return datetime.fromisoformat(text).timestamp()


def proxy_rows(folder: Path) -> list[Row]:
    """Read the proxy's log by splitting at blanks."""
    rows = []
    for line in gzip.decompress((folder / "proxy/access.log.gz").read_bytes()).decode().splitlines():
        end, lasted, client, code, _, verb, url, _, _, _, sent, _ = line.split(None, 11)
        host, _, path = url.removeprefix("http://").partition("/")
        begun = float(end) - int(lasted) / 1000
        name = host.removesuffix(":443")
        rows.append(Row(begun, float(end), client, verb, name, path, code.split("/")[1], int(sent)))
    return rows


def zeek_rows(folder: Path, name: str) -> list[dict[str, str]]:
    """Read one of Zeek's logs by its #fields."""
    lines = gzip.decompress((folder / f"zeek/{name}.log.gz").read_bytes()).decode().splitlines()
    fields = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    return [dict(zip(fields, line.split("\t"), strict=True)) for line in lines if not line.startswith("#")]


@cache
def sample() -> tuple[dict[str, Any], list[Row]]:
    """Truth and proxy log of the committed sample."""
    return json.loads((SAMPLE / "truth.json").read_text(encoding="utf-8")), proxy_rows(SAMPLE)


@cache
def packets(file: str) -> list[tuple[float, dpkt.ip.IP, int]]:
    """Times, IP packets and captured lengths of a capture of the sample."""
    with (SAMPLE / file).open("rb") as stream:
        found = []
        for time, frame in dpkt.pcapng.Reader(stream) if file.endswith("ng") else dpkt.pcap.Reader(stream):
            found.append((float(time), dpkt.ethernet.Ethernet(frame).data, len(frame)))
        return found


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file by its path in the folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def sent_between(entry: dict[str, Any]) -> int:
    """Bytes of the log's rows of a transfer's pair within its interval."""
    begin, end = seconds(entry["start"]) - 0.0015, seconds(entry["end"]) + 0.0015
    pair = [row for row in sample()[1] if (row.client, row.host) == (entry["src"], entry["name"])]
    return sum(row.sent for row in pair if begin <= row.start and row.end <= end)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """Two runs with the same options write the same files, byte for byte."""
    first = write_campaign(tmp_path / "a", Campaign(**SMALL))
    second = write_campaign(str(tmp_path / "b"), Campaign(**SMALL))

    assert first == second
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


def test_another_seed_is_another_campaign(tmp_path: Path) -> None:
    """Relays, periods, times and sizes all change with the seed."""
    one, two = (write_campaign(tmp_path / str(seed), Campaign(seed=seed, **SMALL)) for seed in (1, 2))
    relays = [{host["address"] for host in truth["hosts"] if host["role"] == "relay"} for truth in (one, two)]

    assert relays[0] != relays[1]
    assert {beacon["period_s"] for beacon in one["beacons"]}.isdisjoint({b["period_s"] for b in two["beacons"]})
    assert {upload["bytes"] for upload in one["uploads"]}.isdisjoint({upload["bytes"] for upload in two["uploads"]})


def test_the_committed_sample_is_what_its_script_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample is under 5 MB, and its script makes the same truth, logs and captures."""
    monkeypatch.setattr(sys, "argv", ["make_campaign.py", str(tmp_path)])
    runpy.run_path(str(SAMPLE / "make_campaign.py"))
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())

    assert sum(path.stat().st_size for path in SAMPLE.rglob("*")) < 5_000_000
    for path in made:
        kept, new = (folder / path for folder in (SAMPLE, tmp_path))
        # Compressors differ between versions of zlib; what they hold does not.
        read = gzip.open if path.suffix == ".gz" else open
        with read(kept, "rb") as left, read(new, "rb") as right:
            assert left.read() == right.read(), path


def test_backups_and_single_uploads_are_in_the_log_to_the_byte() -> None:
    """Uploaded bytes of every innocent transfer are the sum of its rows in the proxy's log."""
    truth, _ = sample()
    entries = [*truth["backups"], *truth["one_off_uploads"]]

    assert len(entries) > 50
    assert [sent_between(entry) for entry in entries] == [entry["bytes"] for entry in entries]


def test_uploads_are_in_the_log() -> None:
    """Bytes of every planted upload are in the log in its interval; beacons to the same server add less than 3 %."""
    truth, _ = sample()

    for entry in truth["uploads"]:
        assert entry["bytes"] <= sent_between(entry) < 1.03 * entry["bytes"], entry


def test_two_terminals_send_most_and_about_ten_send_less() -> None:
    """Uploads fall on Thursday 21 to Saturday 23 May, both kinds occur, two of twelve terminals send most."""
    uploads = sample()[0]["uploads"]
    days = {entry["start"][:10] for entry in uploads} | {entry["end"][:10] for entry in uploads}
    totals: Counter[str] = Counter()
    for entry in uploads:
        totals[entry["src"]] += entry["bytes"]

    assert days == {"2015-05-20", "2015-05-21", "2015-05-22", "2015-05-23"}  # 20 May 22:30 UTC is the 21st in Japan
    assert {entry["kind"] for entry in uploads} == {"burst", "drain"}
    assert len(totals) == 12
    assert sum(size for _, size in totals.most_common(2)) > 0.8 * totals.total()


def test_beacons_are_in_the_log_with_their_period() -> None:
    """Each pair's count is the log's count of its page, and the median interval is near the period."""
    truth, rows = sample()
    times: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.path.startswith("includes/"):
            times.setdefault((row.client, row.host), []).append(row.start)

    assert set(times) == {(beacon["src"], beacon["name"]) for beacon in truth["beacons"]}
    for beacon in truth["beacons"]:
        starts = sorted(times[beacon["src"], beacon["name"]])
        gaps = [late - early for early, late in itertools.pairwise(starts)]
        assert len(starts) == beacon["count"]
        if len(gaps) > 50:
            assert statistics.median(gaps) == pytest.approx(beacon["period_s"], rel=0.15)


def test_the_first_contact_is_at_10_28() -> None:
    """No infected terminal asks a relay before 8 May, 10:28 Japanese time; the first does within two minutes."""
    first = min(seconds(beacon["start"]) for beacon in sample()[0]["beacons"])

    assert 0 <= first - seconds("2015-05-08T10:28:00+09:00") < 120


def test_the_office_sees_the_first_tier_and_nothing_behind_it() -> None:
    """Every first-tier relay is in the proxy's log, no other relay is; innocents visit relays too."""
    truth, rows = sample()
    relays = {host["names"][0]: host["tier"] for host in truth["hosts"] if host["role"] == "relay"}
    infected = {host["address"] for host in truth["hosts"] if host["infected"]}
    seen = {row.host for row in rows} & set(relays)

    assert (len(relays), len(infected)) == (23, 31)
    assert seen == {name for name, tier in relays.items() if tier == 1}
    assert {row.host for row in rows if row.client not in infected} & set(relays) == seen
    back = {host["address"] for host in truth["hosts"] if host.get("tier", 1) > 1}
    assert not back & {row["id.resp_h"] for row in zeek_rows(SAMPLE, "conn")}


def test_innocents_look_like_the_intrusion() -> None:
    """Some polling has at most two users, one answers 404, single uploads and backups are as large as bursts."""
    truth, rows = sample()
    users = Counter(entry["name"] for entry in truth["polling"])
    median = statistics.median(entry["bytes"] for entry in truth["uploads"])

    assert sum(count <= 2 for count in users.values()) >= 3
    assert any(row.status == "404" for row in rows if row.host == "gadget.weather.test")
    assert max(entry["bytes"] for entry in truth["one_off_uploads"]) > median
    assert max(entry["bytes"] for entry in truth["backups"]) > median


def chain_flows() -> list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], list[tuple[float, dpkt.ip.IP, int]]]]:
    """Session, flow, capture and the flow's packets for every flow in every capture that shows it."""
    truth = sample()[0]
    captures = {capture["file"]: capture for capture in truth["captures"]}
    found = []
    for session in (session for chain in truth["chains"] for session in chain["sessions"]):
        for flow in session["flows"]:
            ends = {(ip_address(flow[end]).packed, flow[f"{end}_port"]) for end in ("src", "dst")}
            for file in (file for file in flow["seen_in"] if file in captures):
                tcp = [one for one in packets(file) if isinstance(one[1].data, dpkt.tcp.TCP)]
                own = [p for p in tcp if {(p[1].src, p[1].data.sport), (p[1].dst, p[1].data.dport)} == ends]
                found.append((session, flow, captures[file], own))
    return found


def test_chain_flows_are_in_the_captures_at_their_times() -> None:
    """Every flow is whole in each capture named for it, and its times less the clock offset are the session's."""
    flows = chain_flows()

    assert len({capture["file"] for _, _, capture, _ in flows}) == 6
    for session, _, capture, own in flows:
        times = [time - capture["clock_offset_s"] for time, _, _ in own]
        flags = [ip.data.flags for _, ip, _ in own]
        assert flags[0] == dpkt.tcp.TH_SYN
        assert flags.count(dpkt.tcp.TH_FIN | dpkt.tcp.TH_ACK) == 2
        assert seconds(session["start"]) - 0.01 <= min(times)
        assert max(times) <= seconds(session["end"]) + 2


def test_chain_payload_is_what_the_truth_says() -> None:
    """The office's connection carries exactly the session's bytes; later hops a little more."""
    for session, flow, _, own in chain_flows():
        if flow["dst_port"] != 443:
            continue
        source = ip_address(flow["src"]).packed
        sizes = [ip.len - 20 - ip.data.off * 4 for _, ip, _ in own]
        up = sum(size for size, (_, ip, _) in zip(sizes, own, strict=True) if ip.src == source)
        down = sum(sizes) - up
        if flow["src"] == "203.0.113.10":
            assert (up, down) == (session["bytes_up"], session["bytes_down"])
        else:
            assert session["bytes_up"] < up < 1.3 * session["bytes_up"] + 500
            assert session["bytes_down"] < down < 1.5 * session["bytes_down"] + 500


def test_zeek_has_the_office_end_of_every_chain_session() -> None:
    """The same connection is in conn.log, with the same port and bytes, at the session's true time."""
    conn = {(row["id.orig_p"], row["id.resp_h"], row["id.resp_p"]): row for row in zeek_rows(SAMPLE, "conn")}

    for session in (session for chain in sample()[0]["chains"] for session in chain["sessions"]):
        flow = next(flow for flow in session["flows"] if flow["src"] == "203.0.113.10")
        row = conn[str(flow["src_port"]), flow["dst"], "443"]
        assert (int(row["orig_bytes"]), int(row["resp_bytes"])) == (session["bytes_up"], session["bytes_down"])
        assert float(row["ts"]) == pytest.approx(seconds(session["start"]), abs=1e-5)


def test_zeek_and_proxy_count_the_same_uploads() -> None:
    """Plain requests to the shipping company have 64 bytes more each on the uplink, where the proxy adds headers."""
    begin = seconds("2015-05-21T00:00:00+09:00")
    plain = [row for row in sample()[1] if row.host == SHIPPING and row.verb != "CONNECT" and row.start >= begin]
    address = next(host["address"] for host in sample()[0]["hosts"] if SHIPPING in host["names"])
    uplink = [row for row in zeek_rows(SAMPLE, "conn") if (row["id.resp_h"], row["id.resp_p"]) == (address, "80")]

    assert sum(int(row["orig_bytes"]) for row in uplink if float(row["ts"]) >= begin) == sum(
        row.sent + 64 for row in plain
    )


def test_logs_are_in_the_order_in_which_they_are_written() -> None:
    """Squid stamps and sorts by the end of a request; Zeek writes conn rows when connections end."""
    ends = [row.end for row in sample()[1]]
    conn = zeek_rows(SAMPLE, "conn")
    written = [float(row["ts"]) + float(row["duration"]) for row in conn]

    assert ends == sorted(ends)
    assert all(late - early > -1e-5 for early, late in itertools.pairwise(written))
    assert len({row["uid"] for row in conn}) == len(conn)
    for name in ("http", "ssl", "dns"):
        assert {row["uid"] for row in zeek_rows(SAMPLE, name)} <= {row["uid"] for row in conn}


def test_captures_are_as_declared() -> None:
    """Number of packets, snaplen and precision of every capture are those of the truth."""
    magics = {"us": b"\xd4\xc3\xb2\xa1", "ns": b"\x4d\x3c\xb2\xa1"}

    for capture in sample()[0]["captures"]:
        magic = (SAMPLE / capture["file"]).read_bytes()[:4]
        assert len(packets(capture["file"])) == capture["packets"]
        assert max(length for _, _, length in packets(capture["file"])) <= capture["snaplen"]
        assert magic == (b"\x0a\x0d\x0d\x0a" if capture["file"].endswith("pcapng") else magics[capture["precision"]])


@pytest.mark.parametrize("name", sorted(path.name for path in (SAMPLE / "captures").iterdir()))
def test_tshark_finds_nothing_wrong(tshark: str, name: str) -> None:
    """No packet is malformed, has a wrong checksum or breaks TCP's sequence."""
    options = [part for layer in ("ip", "tcp", "udp") for part in ("-o", f"{layer}.check_checksum:TRUE")]
    wrong = "_ws.malformed or ip.checksum.status==0 or tcp.checksum.status==0 or udp.checksum.status==0"
    command = [tshark, "-n", "-r", str(SAMPLE / "captures" / name), *options, "-Y", f"{wrong} or tcp.analysis.flags"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout == ""


def test_only_reserved_addresses_and_names() -> None:
    """Addresses are private, for documentation or for benchmarks; names end in .example or .test."""
    logs = list(SAMPLE.rglob("*.gz"))
    text = "".join(gzip.decompress(path.read_bytes()).decode() for path in logs)
    text += (SAMPLE / "truth.json").read_text(encoding="utf-8")
    found = {ip_address(one) for one in re.findall(r"(?<![\d./])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", text)}
    for capture in sample()[0]["captures"]:
        found |= {ip_address(address) for _, ip, _ in packets(capture["file"]) for address in (ip.src, ip.dst)}

    assert [address for address in found if not any(address in network for network in ALLOWED)] == []
    assert {row.host.rpartition(".")[2] for row in sample()[1]} == {"example", "test"}


def test_a_clean_campaign_is_the_same_office_without_the_intrusion(tmp_path: Path) -> None:
    """Without the intrusion no relay is contacted, the truth has none, and every other line is the same."""
    full = write_campaign(tmp_path / "full", Campaign(**SMALL))
    clean = write_campaign(tmp_path / "clean", Campaign(clean=True, **SMALL))
    names = {name for host in full["hosts"] if host["role"] == "relay" for name in host["names"]}
    with_intrusion, without = proxy_rows(tmp_path / "full"), proxy_rows(tmp_path / "clean")

    assert [clean["uploads"], clean["beacons"], clean["chains"]] == [[], [], []]
    assert {host["role"] for host in clean["hosts"]}.isdisjoint({"relay", "operator"})
    assert [capture["file"] for capture in clean["captures"]] == ["captures/terminal.pcap"]
    assert without == [row for row in with_intrusion if row.host not in names]


def test_size_knobs_work(tmp_path: Path) -> None:
    """More requests, larger uploads, larger chain sessions, fewer relays, a clock hours off: each as asked."""
    one = write_campaign(tmp_path / "one", Campaign(**SMALL))
    changed = SMALL | {"requests_per_day": 60, "scale": 10.0, "chain_bytes": 200_000, "relays": 9}
    two = write_campaign(tmp_path / "two", Campaign(clock_error_hours=9, sensor_days=0, **changed), compression=1)

    browsed = [sum(row.path.startswith("article/") for row in proxy_rows(tmp_path / name)) for name in ("one", "two")]

    assert browsed[1] > 2.5 * browsed[0]
    assert zeek_rows(tmp_path / "two", "conn") == []
    assert sum(host["role"] == "relay" for host in two["hosts"]) == 9
    assert sum(u["bytes"] for u in two["uploads"]) > 4 * sum(u["bytes"] for u in one["uploads"])
    bulk = [max(s["bytes_up"] for chain in truth["chains"] for s in chain["sessions"]) for truth in (one, two)]
    assert bulk[1] > 3 * bulk[0]
    offsets = [[capture["clock_offset_s"] for capture in truth["captures"]] for truth in (one, two)]
    assert [late - early for early, late in zip(*offsets, strict=True)] == [0, 0, 0, 0, 9 * 3600, 0]


def test_memory_does_not_grow_with_the_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three times the days, and log, need less than 1.3 times the memory; cutting hours keeps the log's order."""
    monkeypatch.setattr("forensics.synthetic.browsing._SLICE", 500)
    peaks = []
    for days in (7, 21):
        options = SMALL | {"days": days, "terminals": 25, "requests_per_day": 400, "sensor_days": 0}
        tracemalloc.start()
        write_campaign(tmp_path / str(days), Campaign(**options))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()

    ends = [row.end for row in proxy_rows(tmp_path / "7")]
    assert ends == sorted(ends)
    assert peaks[1] < 1.3 * peaks[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"days": 6}, "days"),
        ({"terminals": 0}, "terminals"),
        ({"infected": 61}, "infected"),
        ({"relays": 2}, "relays"),
        ({"jitter": 2.0}, "jitter"),
        ({"period_s": (9.0, 3.0)}, "period_s"),
        ({"noise": -1.0}, "noise"),
        ({"scale": 0.0}, "scale"),
    ],
)
def test_impossible_options_fail_at_once(options: dict[str, Any], message: str) -> None:
    """An option out of its range is refused with its name."""
    with pytest.raises(ValueError, match=message):
        Campaign(**options)
