"""Feeds of Zscaler's NSS: the default ones are known without their templates, and the client is by its own address."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from forensics.errors import EvidenceError, TimezoneNeededError
from forensics.formats import Evidence, Hints, all_formats, zscaler
from forensics.formats._nss_template import default_of
from forensics.schema import parts_of

SAMPLES = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats" / "zscaler"
TOKYO = Hints(timezone=ZoneInfo("Asia/Tokyo"))


def flows(data: bytes, hints: Hints = TOKYO) -> list[dict[str, Any]]:
    """Return the flows of a feed."""
    evidence = Evidence(io.BytesIO(data), "web.log", "nss", hints)
    batches = [batch for table, batch in zscaler.parse(evidence) if table == "exchanges"]
    return [row for batch in batches for table, rows in parts_of(batch) if table == "flows" for row in rows.to_pylist()]


def test_that_a_default_was_taken_is_noted() -> None:
    """The notes say where the layout is from."""
    evidence = Evidence(io.BytesIO((SAMPLES / "default.tsv").read_bytes()), "web.log", "nss", TOKYO)
    assert list(zscaler.parse(evidence))
    assert evidence.notes["logformat_from"] == "its fields are those of a default feed"


def fields(name: str) -> list[list[str]]:
    """Return the fields of a sample of a default feed."""
    lines = (SAMPLES / name).read_text("utf-8").splitlines()
    return [line.strip('"').split('","' if name.endswith(".csv") else "\t") for line in lines]


@pytest.mark.parametrize("name", ["default.csv", "default.tsv"])
@pytest.mark.parametrize("delimiter", ["\t", ","])
def test_default_feeds_need_no_template(name: str, delimiter: str) -> None:
    """Both default feeds, as CSV in quotes or with tabs, are known by numbers and addresses in their places."""
    rows = fields(name)[:2]
    quote = '"' if delimiter == "," else ""
    data = "".join(quote + f"{quote}{delimiter}{quote}".join(row) + f"{quote}\n" for row in rows).encode()
    own = {fmt: module.declines(data, Hints()) for fmt, module in all_formats().items()}

    assert [fmt for fmt, reason in own.items() if reason is None] == ["zscaler"]
    sent = 7 if name == "default.csv" else 8
    told = [(row["src"], row["bytes_out"], row["bytes_in"]) for row in flows(data)]
    assert told == [(row[21], int(row[sent]), int(row[sent + 1])) for row in rows]


def test_values_of_a_default_feed() -> None:
    """Who asked whom, how much was sent and received, and since when: each from its own field."""
    first, second, third = flows((SAMPLES / "default.csv").read_bytes())

    assert (first["src"], first["dst"], first["name"], first["dst_port"]) == (
        "192.0.2.21", "203.0.113.7", "www.example", 443,
    )  # fmt: skip
    assert (first["bytes_out"], first["bytes_in"], first["state"]) == (512, 2750, "Allowed")
    assert first["start"].isoformat() == "2015-05-21T01:00:00.880000+00:00"
    assert (second["name"], second["dst_port"], (second["end"] - second["start"]).total_seconds()) == (
        "mail.example", 8443, 60.5,
    )  # fmt: skip
    assert (third["dst"], third["bytes_out"], third["bytes_in"]) == (None, 72, 14061)


def test_a_default_feed_has_no_zone() -> None:
    """Its times are of the zone that the feed was set up with, which it does not say."""
    with pytest.raises(TimezoneNeededError, match="Thu May 21"):
        flows((SAMPLES / "default.csv").read_bytes(), Hints())


def test_another_feed_says_what_to_give() -> None:
    """What begins as a feed and is none of the defaults is not guessed at: its template is asked for."""
    for data in ((SAMPLES / "firewall.other").read_bytes(), (SAMPLES / "tabs.other").read_bytes()):
        reason = str(zscaler.declines(data, Hints()))
        assert reason.startswith("line 1 begins as a feed of NSS does, and is of none of the default feeds")
        assert 'logformat="zscaler: ..."' in reason
        with pytest.raises(EvidenceError, match="none of the default feeds"):
            flows(data)
    assert zscaler.declines(b"a\tb\n", Hints()) == 'only its template tells its fields: logformat="zscaler: ..."'
    assert default_of([]) is None


def test_a_template_comes_before_the_defaults() -> None:
    """What the analyst says of a feed counts, also of one that looks like a default."""
    hints = Hints(logformat=r"zscaler: %s{time}\t%d{reqsize}\t%s{cip}\n")

    assert "line 1" in str(zscaler.declines((SAMPLES / "default.tsv").read_bytes(), hints))


@pytest.mark.parametrize(
    ("cip", "cintip", "src"),
    [
        ("192.0.2.21", "198.51.100.1", "192.0.2.21"),
        ("NA", "198.51.100.1", "198.51.100.1"),
        ("192.0.2.21", "NA", "192.0.2.21"),
    ],
)
def test_the_client_is_by_its_own_address(cip: str, cintip: str, src: str) -> None:
    """The public address, behind the customer's NAT, stands for the client only where its own is not known."""
    hints = Hints(logformat=r"zscaler: %s{time}\t%s{tz}\t%s{cip}\t%s{cintip}\t%s{eurl}\n")
    (row,) = flows(f"Thu May 21 10:00:01 2015\tGMT\t{cip}\t{cintip}\twww.example/\n".encode(), hints)

    assert row["src"] == src
