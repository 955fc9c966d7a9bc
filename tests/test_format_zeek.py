"""Zeek logs: what is read from them, and what Zeek's own logs of real captures say."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import EvidenceError
from forensics.formats import HEAD_BYTES, Evidence, Hints, _blocks, _cut, zeek
from forensics.schema import parts_of

SAMPLES = [
    path
    for path in sorted((Path(__file__).parents[1] / "sample_pcaps" / "formats" / "zeek").iterdir())
    if path.suffix in (".log", ".json") and not path.name.startswith("open_")
]
READ = ("conn.log", "dns.log", "http.log", "ssl.log")
MASKED = b"XXXXXXXXXX.XXXXXX"  # Zeek's test suite masks its times
HEADER = "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t{}\n#fields\t{}\n"
ENDS = {"id.orig_h": "192.0.2.1", "id.orig_p": 1, "id.resp_h": "203.0.113.1", "id.resp_p": 2}


def read(data: bytes | str, source: str = "x.log") -> tuple[dict[str, list[dict[str, Any]]], dict[str, object]]:
    """Return the rows of a log by table, and its notes; that nothing in it could be read is one of them."""
    raw = data.encode() if isinstance(data, str) else data
    evidence = Evidence(io.BytesIO(raw), source, "sensor")
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        for stored, whole in zeek.parse(evidence):
            for table, batch in parts_of(whole) if stored == "exchanges" else [(stored, whole)]:
                found.setdefault(table, []).extend(batch.to_pylist())
    except EvidenceError as error:
        if "could be read" not in str(error) and "could not be read" not in str(error):
            raise
        evidence.notes["error"] = str(error)
    return found, evidence.notes


def tsv(path: str, **values: str) -> str:
    """Return a log of one row."""
    row = {"ts": "1433122200.000001", "id.orig_h": "192.0.2.1", "id.resp_h": "203.0.113.1"} | {
        key.replace("__", "."): value for key, value in values.items()
    }
    return HEADER.format(path, "\t".join(row)) + "\t".join(row.values()) + "\n"


def without_place(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without the file and line they come from, in one order."""
    return sorted(({k: v for k, v in r.items() if k not in ("source", "record")} for r in rows), key=str)


def by_table(found: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Return rows without their file and line, in one order."""
    return {table: without_place(rows) for table, rows in sorted(found.items())}


def test_ip_bytes_come_first() -> None:
    """Where Zeek counted IP bytes they are the flow's bytes, and sequence numbers tell the payload."""
    flow = read(tsv("conn", orig_ip_bytes="500", resp_ip_bytes="-", orig_bytes="400", resp_bytes="300"))[0]["flows"][0]

    assert (flow["bytes_kind"], flow["bytes_out"], flow["bytes_in"]) == ("ip", 500, None)
    assert (flow["payload_bytes_out"], flow["payload_bytes_in"]) == (400, 300)


def test_without_ip_bytes_the_payload_counts() -> None:
    """A log without IP bytes gives payload bytes, and says so."""
    flow = read(tsv("conn", orig_bytes="400", resp_bytes="-"))[0]["flows"][0]

    assert (flow["bytes_kind"], flow["bytes_out"], flow["bytes_in"]) == ("payload", 400, None)


def test_a_carrying_connection_is_outer() -> None:
    """A connection with parents is inner; a tunnel, by its service or its children, is outer."""
    inner = tsv("conn", uid="C1", tunnel_parents="C2")
    parent = tsv("conn", uid="C2", tunnel_parents="(empty)")
    service = tsv("conn", uid="C3", service="udp,vxlan", tunnel_parents="-")

    flows = read(inner + parent + service)[0]["flows"]

    assert [flow["tunnel"] for flow in flows] == ["inner", "outer", "outer"]


@pytest.mark.parametrize(
    ("proto", "number", "expected"),
    [
        ("TCP", "-", "tcp"),
        ("gre", "47", "ip-47"),
        ("unknown_transport", "47", "ip-47"),
        ("unknown_transport", "132", "sctp"),
        ("-", "6", "tcp"),
        ("-", "256", None),
        ("-", "-", None),
        ("-", "x", None),
    ],
)
def test_protocols(proto: str, number: str, expected: str | None) -> None:
    """Protocols are lower case, and numbers where Zeek knows no name."""
    assert read(tsv("conn", proto=proto, ip_proto=number))[0]["flows"][0]["proto"] == expected


@given(
    seconds=st.integers(0, 2**32),
    part=st.integers(0, 999_999),
    duration=st.integers(0, 10**12),
)
def test_tsv_and_json_agree_to_the_microsecond(seconds: int, part: int, duration: int) -> None:
    """Both dialects of one connection give the same row, with no digit of its times lost."""
    ts, length = f"{seconds}.{part:06d}", f"{duration // 10**6}.{duration % 10**6:06d}"
    record = json.dumps(ENDS | {"conn_state": "SF"})[:-1] + f', "ts": {ts}, "duration": {length}}}'
    row = tsv("conn", ts=ts, id__orig_p="1", id__resp_p="2", conn_state="SF", duration=length)

    one, two = read(record + "\n")[0], read(row)[0]

    assert without_place(one["flows"]) == without_place(two["flows"])
    start, end = one["flows"][0]["start"], one["flows"][0]["end"]
    assert start.microsecond == part
    assert (end - start).total_seconds() == pytest.approx(duration / 10**6)


def test_renamed_fields_are_known() -> None:
    """Fields renamed by Zeek's own option or by a shipper of JSON are read."""
    renamed = tsv("conn", conn_state="SF").replace("id.orig_h", "src_ip").replace("id.resp_h", "dst")
    shipped = '{"ts":1433122200.000001,"id_orig_h":"192.0.2.1","id_resp_h":"203.0.113.1","conn_state":"SF"}\n'

    assert without_place(read(renamed)[0]["flows"]) == without_place(read(shipped)[0]["flows"])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"ts":1,"conn_state":"SF","id.resp_h":"192.0.2.1"}', "id.orig_h is missing"),
        ('{"ts":1,"conn_state":"SF","id.orig_h":"x","id.resp_h":"192.0.2.1"}', "id.orig_h is not an address"),
        ('{"ts":{},"conn_state":"SF"}', "ts is not a number of seconds"),
        ('{"ts":1e999999999,"conn_state":"SF"}', "ts is not a number of seconds that a log can hold"),
        ('{"ts":1,"conn_state":"SF","duration":"x"}', "duration is not a number of seconds"),
        ('{"ts":1,"conn_state":"SF","orig_pkts":true}', "orig_pkts is not a count"),
        ('{"ts":1,"conn_state":"SF","orig_pkts":9223372036854775808}', "orig_pkts is not a count"),
        ('{"ts":1,"trans_depth":1,"status_code":99999}', "status_code is not a status"),
        ('{"a":' * 5000, "not a JSON object"),
        ('{"odd":1}', "its keys are not those of"),
    ],
)
def test_rejects_name_the_field(line: str, reason: str) -> None:
    """A record that cannot be read is a reject that says which field is wrong."""
    if '"ts":' in line and "id.resp_h" not in line:
        line = line[:-1] + "," + json.dumps(ENDS)[1:]

    found, _ = read(line + "\n")

    assert list(found) == ["rejects"]
    assert reason in found["rejects"][0]["reason"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "empty"),
        ("a b c\n", "line 1 begins neither"),
        ("#Fields: date time\n", "no #path"),
        (tsv("weird"), "path 'weird' is not read yet"),
        (tsv("open_http"), "repeats what it says"),
        ('{"_path":"weird","ts":1}\n', "path 'weird' is not read yet"),
        ('{"_path":"conn"}\n', "not read yet"),
        ('{"event_type":"flow"}\n', "without the keys"),
        ("{broken\n", "line 1 is not a JSON object"),
    ],
)
def test_reasons_for_declining(data: str, reason: str) -> None:
    """A file that is not read is declined with a reason that helps."""
    assert reason in (zeek.declines(data.encode(), Hints()) or "")


def test_other_open_logs_are_refused_by_name() -> None:
    """A log that repeats another and kept its path is known by its file name and not added up."""
    with pytest.raises(EvidenceError, match="repeats what it says"):
        read(tsv("http"), "spool/open_http.log")


def test_records_of_other_logs_are_counted() -> None:
    """Records of logs that are not read are counted by path, however many paths a hostile file invents."""
    many = "".join(f'{{"_path":"p{i}","ts":1}}\n' for i in range(500))
    found, notes = read(many + tsv("dhcp") + tsv("conn"))

    assert list(found) == ["flows"]
    assert isinstance(notes["skipped_paths"], dict)
    assert len(notes["skipped_paths"]) == 51
    assert sum(notes["skipped_paths"].values()) == 501


def test_a_missing_close_is_noted() -> None:
    """A log that ends without #close was cut or still written; the notes say so."""
    assert "unclosed" in read(tsv("conn"))[1]
    assert "unclosed" not in read(tsv("conn") + "#close\t2015-06-01-03-00-00\n")[1]


def corpus_logs(corpus: Path) -> list[Path]:
    """Return the logs of Zeek's own test suite that are read."""
    return [path for path in sorted((corpus / "zeek").glob("*/*.log")) if path.name in READ]


def test_logs_of_zeeks_own_tests_are_read_whole(corpus: Path) -> None:
    """No row of a log that Zeek wrote in its own tests is rejected, and every connection is a flow."""
    for path in corpus_logs(corpus):
        data = path.read_bytes().replace(MASKED, b"1700000000.000001")
        rows = sum(1 for line in data.splitlines() if line and not line.startswith(b"#"))

        assert zeek.declines(data[:HEAD_BYTES], Hints()) is None, path
        found, notes = read(data)

        assert "rejects" not in found, path
        assert notes["records"] == rows
        assert len(found.get("flows", [])) == (rows if path.name == "conn.log" else 0)


def test_bytes_are_those_that_zeek_wrote(corpus: Path) -> None:
    """The sums of IP bytes over all of Zeek's test logs are the sums of its columns."""
    wanted, got = [0, 0], [0, 0]
    for path in corpus_logs(corpus):
        if path.name != "conn.log":
            continue
        data = path.read_bytes().replace(MASKED, b"1700000000.000001")
        fields: list[str] = []
        for line in data.decode().splitlines():
            if line.startswith("#fields"):
                fields = line.split("\t")[1:]
            elif not line.startswith("#"):
                row = dict(zip(fields, line.split("\t"), strict=True))
                wanted[0] += int(row["orig_ip_bytes"].replace("-", "0"))
                wanted[1] += int(row["resp_ip_bytes"].replace("-", "0"))
        for flow in read(data)[0]["flows"]:
            if flow["bytes_kind"] != "ip":
                continue
            got[0] += flow["bytes_out"] or 0
            got[1] += flow["bytes_in"] or 0

    assert got == wanted


@pytest.mark.parametrize("name", READ)
def test_tsv_and_json_of_the_same_events_agree(corpus: Path, name: str) -> None:
    """Where the corpus holds a log in both dialects, both give the same rows."""
    folder = corpus / "zeek-logs"
    one, _ = read((folder / "open_conns" / "open" / name).read_bytes())
    two, _ = read((folder / "json_with_all_fields" / name).read_bytes())

    assert one.keys() == two.keys()
    for row in two.get("fingerprints", []):  # the JSON was made of the TSV, and kept its backslashes twice
        row["fingerprint"] = row["fingerprint"].replace("\\\\", "\\")
    for table, rows in one.items():
        assert without_place(rows) == without_place(two[table])


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_both_ways_of_reading_a_sample_agree(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is made of a whole block at a time is what is made of each record alone."""
    fast, notes = read(path.read_bytes())
    monkeypatch.setattr(_cut, "SLOW_ONLY", True)
    slow, noted = read(path.read_bytes())

    assert by_table(fast) == by_table(slow)
    assert {key: value for key, value in notes.items() if key != "repeated_keys"} == noted


def test_both_ways_of_reading_real_logs_agree(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for the logs of the corpus, whatever Zeek wrote them, and for rows that are not whole."""
    logs = [p for p in sorted((corpus / "zeek").glob("*/*.log")) if p.name in (*READ, "files.log", "x509.log")]
    logs += [p for p in sorted((corpus / "zeek-logs").rglob("*.log")) if not p.name.startswith("open_")]
    texts = [path.read_bytes().replace(MASKED, b"1700000000.000001") for path in logs]
    texts = [text[:200_000] for text in texts if zeek.declines(text[:HEAD_BYTES], Hints()) is None]
    fast = [(by_table(found), notes) for found, notes in map(read, texts)]
    monkeypatch.setattr(_cut, "SLOW_ONLY", True)

    assert len(texts) > 100
    for text, (found, notes) in zip(texts, fast, strict=True):
        slow, noted = read(text)
        assert by_table(slow) == found, text[:200]
        assert noted == notes


def test_a_concatenated_log_gives_what_its_parts_give() -> None:
    """Headers repeat and change where logs were put together; each row is read by the one above it."""
    parts = [
        tsv("conn", uid="C1", conn_state="SF"),
        tsv("http", method="GET", host="www.example", uri="/"),
        tsv("conn", service="ssl", uid="C2"),
        '{"_path":"dns","ts":1433122200.5,"id.orig_h":"192.0.2.1","id.resp_h":"192.0.2.53","query":"a.example"}\n',
    ]
    whole = by_table(read("".join(parts))[0])
    alone = [by_table(read(part)[0]) for part in parts]

    assert whole == {t: sorted((row for one in alone for row in one.get(t, [])), key=str) for t in whole}
    assert {table: len(rows) for table, rows in whole.items()} == {"flows": 2, "requests": 1, "names": 2}


def test_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one block ends and the next begins changes nothing, nor how many threads read them."""
    rows = "".join(
        tsv("conn", uid=f"C{n}", tunnel_parents=f"C{n + 7}" if n % 3 else "-", orig_bytes=str(n)) for n in range(60)
    ) + "".join(tsv("files", fuid="F", mime_type=f"text/{n % 3}") for n in range(9))
    whole, notes = read(rows)
    monkeypatch.setattr(_blocks, "BLOCK", 500)
    monkeypatch.setattr(_blocks, "COMPILED", True)
    monkeypatch.setattr(_blocks, "MOST_WORKERS", 3)

    assert read(rows) == (whole, notes)
    assert {flow["tunnel"] for flow in whole["flows"]} == {None, "inner", "outer", "middle"}
    assert notes["content_types"] == {"text/0": 3, "text/1": 3, "text/2": 3}


@pytest.mark.parametrize("field", ["orig_bytes", "resp_ip_bytes", "orig_pkts"])
@pytest.mark.parametrize("json_form", [False, True])
def test_counts_above_a_pebibyte_are_rejects(field: str, json_form: bool) -> None:
    """A number of bytes that nobody sent is a damaged one; the largest that is believed is."""
    for count, rejected in ((2**50, False), (2**50 + 1, True), (2**64, True)):
        text = json.dumps(ENDS | {"ts": 1, "conn_state": "SF", field: count}) + "\n"
        found, _ = read(text if json_form else tsv("conn", **{field: str(count)}))
        if rejected:
            assert found["rejects"][0]["reason"] == f"{field} is not a count"
        else:
            assert found["flows"][0]["record"] > 0


def test_shipped_records_are_known() -> None:
    """The four ends in an object, or under the names that shippers give them; twice the same end is read, too."""
    nested = '{"ts":1,"id":{"orig_h":"192.0.2.1","orig_p":7,"resp_h":"203.0.113.1","resp_p":80},"conn_state":"SF"}\n'
    renamed = '{"ts":1,"src":"192.0.2.1","src_port":7,"dst_ip":"203.0.113.1","id_resp_p":80,"conn_state":"SF"}\n'
    twice = '{"ts":1,"id.orig_h":"192.0.2.9","src":"192.0.2.1","src_port":7,"dst":"203.0.113.1","conn_state":"SF",'
    twice += '"dst_port":80}\n'

    assert without_place(read(nested)[0]["flows"]) == without_place(read(renamed)[0]["flows"])
    assert without_place(read(nested)[0]["flows"]) == without_place(read(twice)[0]["flows"])


def test_bytes_that_are_not_utf8_do_not_lose_a_record() -> None:
    """A program's stray bytes stay visible, in both dialects, in texts and in lists."""
    line = b'{"_path":"http","ts":1,"id.orig_h":"192.0.2.1","id.resp_h":"203.0.113.1","user_agent":"a\xff\\"b",'
    found, _ = read(line + b'"uri":"/\xfe","resp_mime_types":["x\xfd"]}\n')
    request = found["requests"][0]

    assert (request["user_agent"], request["url"], request["content_type"]) == (r'a\xff"b', r"/\xfe", r"x\xfd")


def test_a_long_list_of_answers_is_read() -> None:
    """Each address of an answer is a row, however many there are."""
    answers = [f"203.0.{n // 250}.{n % 250}" for n in range(500)]
    found, _ = read(tsv("dns", query="www.example", answers=",".join([*answers, "cdn.example", answers[0]])))

    assert [row["address"] for row in found["names"]] == answers


def test_certificates_tell_names() -> None:
    """A certificate names hosts, not which server showed it; addresses among its names are none."""
    log = tsv("x509", id="F1", san__dns="www.example,*.Shop.example,192.0.2.7,www.example", san__ip="-")
    rows = read(log)[0]["names"]

    assert [(row["name"], row["how"], row["address"]) for row in rows] == [
        ("www.example", "certificate", None), ("*.shop.example", "certificate", None),
    ]  # fmt: skip


def test_files_count_no_volume() -> None:
    """The bytes of a file are in the connection that carried it: files.log gives no row, and notes on what came."""
    found, notes = read(
        tsv("files", fuid="F1", mime_type="application/zip", seen_bytes="5000000", total_bytes="5000000")
    )

    assert found == {}
    assert notes["content_types"] == {"application/zip": 1}


def test_fingerprints_of_tls() -> None:
    """Fingerprints of client and server, where a package or an older Zeek logs them."""
    rows = read(tsv("ssl", id__resp_p="443", ja3="e7d705a3286e19ea42f587b344ee6865", subject="CN=Relay,O=X"))[0]

    assert [(r["kind"], r["address"], r["peer"], r["peer_port"]) for r in rows["fingerprints"]] == [
        ("ja3", "192.0.2.1", "203.0.113.1", 443), ("certificate", "203.0.113.1", "192.0.2.1", None),
    ]  # fmt: skip


def test_real_logs_are_read_or_declined(corpus: Path) -> None:
    """Real logs, cut, unknown or foreign ones too, are read with few rejects or declined with a reason."""
    rejected = {}
    for path in sorted((corpus / "zeek-logs").rglob("*")):
        if not path.is_file() or "corrupt" in path.name:
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if zeek.declines(data[:HEAD_BYTES], Hints()) is not None or path.name.startswith("open_"):
            continue
        found, _ = read(data)
        if "rejects" in found:
            rejected[path.parent.name] = [row["reason"] for row in found["rejects"]]

    assert rejected.keys() == {"has_unknown_field", "truncated"}
    assert rejected["has_unknown_field"] == ["row has 29 columns, #fields names 30"]
