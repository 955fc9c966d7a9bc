"""How to make a report again, as the report tells it: doing so gives the same result."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from html import unescape
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import forensics as fx
from forensics.cli import app
from forensics.reproducing import Given, ReportForm, again, settings_hash, settings_of

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = "squid: %{%Y-%m-%d %H:%M:%S}tl %>a %Ss/%03>Hs %<st %rm %ru %Sh/%<a"
NATIVE = (
    "1431302{seconds}.000 50 10.0.0.{client} TCP_MISS/200 900 GET http://203.0.113.7/ - HIER_DIRECT/203.0.113.7 -\n"
)
LOCAL = "2015-05-11 09:{minute}:01 10.0.0.{client} TCP_MISS/200 411 GET http://203.0.113.7/ HIER_DIRECT/203.0.113.7\n"


@pytest.fixture
def evidence(tmp_path: Path) -> Path:
    """Return a folder with a log that tells its times whole, one that does not, and a list."""
    folder = tmp_path / "evidence"
    folder.mkdir()
    lines = [NATIVE.format(seconds=400 + n, client=n % 5) for n in range(60)]
    (folder / "gate's log.log").write_text("".join(lines))
    (folder / "other.log").write_text("".join(LOCAL.format(minute=n, client=n % 5) for n in range(10, 50)))
    (folder / "list.csv").write_text("indicator\n203.0.113.7\n")
    return folder


def told(report: Path) -> str:
    """Return what a report says under "How to reproduce"."""
    found = re.search(r'<h2 id="again">.*?<pre>(.*?)</pre>', report.read_text("utf-8"), re.DOTALL)
    assert found
    return unescape(found[1]).strip()


def settings(report: Path) -> dict[str, Any]:
    """Return the settings that stand in the manifest."""
    manifest: dict[str, Any] = json.loads((report.parent / "manifest.json").read_text("utf-8"))
    return {**manifest["settings"], "sha256": manifest["settings_sha256"]}


def results(report: Path) -> dict[str, str]:
    """Return the tables of results beside a report, without the names of sources' folders."""
    names = ("findings.csv", "relays.csv", "spikes.csv", "beacons.csv")
    return {name: (report.parent / name).read_text("utf-8") for name in names}


def test_command_repeats_what_was_told_at_reading(
    evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zone, year, layout, networks and lists stand in the command, and the command gives the same result."""
    options: dict[str, Any] = {"timezone": "Asia/Tokyo", "logformat": LAYOUT, "trusted_proxies": ["192.0.2.1"]}
    case = fx.read(evidence / "other.log", **options)
    report = fx.write_report(case, tmp_path / "first", indicators=[evidence / "list.csv"], language="ja", defang=True)

    command = told(report)
    assert command.startswith(
        "forensics investigate EVIDENCE... --out report --timezone Asia/Tokyo --logformat 'squid: "
    )
    monkeypatch.chdir(evidence)
    words = [word.replace("EVIDENCE...", "other.log") for word in shlex.split(command)]
    done = CliRunner().invoke(app, words[1:])

    assert done.exit_code == 0, done.output
    repeated = evidence / "report" / "report.html"
    assert settings(repeated) == settings(report)
    assert results(repeated) == results(report)
    assert repeated.read_bytes() == report.read_bytes()


def test_files_that_were_told_different_things_are_added_apart(
    evidence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By lines of Python where a zone is not that of the report; they give the same result."""
    case = fx.open_case(tmp_path / "a.case", timezone="Asia/Tokyo")
    case.add(evidence / "gate's log.log", timezone="Asia/Tokyo")
    case.add(evidence / "other.log", logformat=LAYOUT, timezone="Europe/Berlin")
    report = fx.write_report(case, tmp_path / "first")
    lines = told(report)
    monkeypatch.chdir(evidence)

    assert "\ncase.add('other.log', logformat='squid: " in lines
    exec(compile(lines, "report", "exec"), {})  # noqa: S102 - it is what the report tells its reader to do

    repeated = evidence / "report" / "report.html"
    assert settings(repeated) == settings(report)
    assert results(repeated) == results(report)


def test_commands_share_a_case_where_the_zone_is_one(evidence: Path) -> None:
    """Files are named where several commands are needed, quoted for a shell."""
    case = fx.read(evidence / "gate's log.log", timezone="Asia/Tokyo")
    case.add(evidence / "other.log", logformat=LAYOUT, timezone="Asia/Tokyo")

    lines = again(settings_of(case, Given()), ReportForm(pdf=True))

    ending = ["--case", "again.case", "--out", "report", "--timezone", "Asia/Tokyo"]
    assert [shlex.split(line)[1:] for line in lines] == [
        ["investigate", "gate's log.log", *ending, "--pdf"],
        ["investigate", "other.log", *ending, "--logformat", LAYOUT, "--pdf"],
    ]


def test_settings_name_what_was_told_and_the_lists(evidence: Path) -> None:
    """By source; a list by its hash. Where nothing was told, nothing is said."""
    log, listed = evidence / "gate's log.log", evidence / "list.csv"
    case = fx.read(log, timezone="UTC", limits=fx.Limits(max_ratio=10.0))
    one, two = settings_of(case, Given()), settings_of(case, Given(indicators=[listed]))
    plain = settings_of(fx.read(log), Given(asserted=listed))

    limits = {"max_expanded": 2 << 40, "max_ratio": 10.0}
    assert one["reading"] == [{"sources": ["gate's log.log"], "told": {"limits": limits, "timezone": "UTC"}}]
    assert f"case.add(\"gate's log.log\", limits=fx.Limits(**{limits}), timezone='UTC')" in again(one, ReportForm())
    assert one["thresholds"]["beacons"]["max_q"] == 0.001
    assert one["thresholds"]["build_hop_graph"] == {"shared_by": 3}
    sha256 = hashlib.sha256(listed.read_bytes()).hexdigest()
    assert two["lists"] == [{"option": "indicators", "file": "list.csv", "sha256": sha256}]
    assert settings_hash(one) != settings_hash(two)
    assert plain["reading"] == [{"sources": ["gate's log.log"], "told": {}}]
    assert again(plain, ReportForm()) == ["forensics investigate EVIDENCE... --out report --asserted list.csv"]
