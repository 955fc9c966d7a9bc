"""Assemble ``truth.json`` and ``requests.jsonl.gz`` from what the programs recorded while they ran."""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lab_network import run
from lab_plan import (
    CAPTURES,
    HOSTS,
    OFFICE_PREFIX,
    OFFICE_PREFIX6,
    PROXY,
    RECORDS,
    RELAY_PORT,
    ROUTER_OUTSIDE,
    ROUTER_OUTSIDE6,
    TERMINALS,
    TUNNEL_PORT,
    UPLOAD_PATH,
)

if TYPE_CHECKING:
    from pathlib import Path

Record = dict[str, Any]

_PACKAGES = (
    "squid", "nginx-light", "dnsmasq-base", "socat", "openssh-server", "openssh-client", "openssl", "tcpdump",
    "iproute2",
)  # fmt: skip
_SOCAT_TIME = r"^(\S+ \S+) socat\[(\d+)\] "
_ACCEPTED = re.compile(_SOCAT_TIME + r"N accepting connection from AF=2 (\S+):(\d+) on ")
_FORKED = re.compile(_SOCAT_TIME + r"N forked off child process (\d+)")
_CONNECTED = re.compile(_SOCAT_TIME + r"N successfully connected from local address AF=2 (\S+):(\d+)")
_SSH_CONNECTION = re.compile(r"Connection from (\S+) port (\d+) on (\S+) port 22")
_SLACK_S = 5.0
_ADDRESS_OF = {name: host.published for host in HOSTS.values() for name in host.names}


@dataclass(frozen=True)
class Forward:
    """One connection through the first relay, as socat logged it."""

    time: float
    accepted_port: int
    connected_port: int


@dataclass(frozen=True)
class Run:
    """What is known of a run beside the programs' own records.

    Parameters
    ----------
    seed : int
        Seed of the run.
    made : str
        Date of the run.
    packets : dict of str to int
        tcpdump's packet count per capture.
    socat_log, sshd_log : str
        What the first relay's socat and the second relay's sshd said.
    """

    seed: int
    made: str
    packets: dict[str, int]
    socat_log: str
    sshd_log: str


def write_truth(out: Path, facts: Run) -> None:
    """Write the truth and the list of requests into the folder of the sample."""
    records = _read_records()
    requests = sorted(records["request"], key=lambda record: float(record["end"]))
    truth = {
        "name": "lab", "made": facts.made, "seed": facts.seed, "internal": [OFFICE_PREFIX, OFFICE_PREFIX6],
        "programs": dict(line.split("\t") for line in _program_versions()),
        "hosts": _hosts(), "captures": _captures(facts.packets),
        "logs": [{"file": "access.log", "format": "squid"}],
        "uploads": _uploads(records),
        "beacons": _regular(records["beacon"]), "polling": _regular(records["poll"]),
        "chains": _chains(records, read_socat(facts.socat_log), facts.sshd_log),
        "requests": dict(sorted(Counter(str(record["src"]) for record in requests).items())),
    }  # fmt: skip
    (out / "truth.json").write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    with gzip.GzipFile(out / "requests.jsonl.gz", "wb", 9, mtime=0) as file:
        for request in requests:
            del request["kind"], request["by"]
            line = {**request, "start": _iso(request["start"]), "end": _iso(request["end"])}
            file.write(json.dumps(line).encode() + b"\n")


def _read_records() -> dict[str, list[Record]]:
    """Read all programs' records, by kind; a record's ``by`` is the program that wrote it."""
    records: dict[str, list[Record]] = defaultdict(list)
    for path in sorted(RECORDS.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            records[record["kind"]].append({**record, "by": path.stem})
    return records


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _program_versions() -> list[str]:
    return run("dpkg-query", "-W", "-f", "${Package}\t${Version}\n", *_PACKAGES).splitlines()


def _hosts() -> list[Record]:
    outside = {"router": (ROUTER_OUTSIDE, ROUTER_OUTSIDE6)}
    return [
        {
            "address": address, "role": host.role, "infected": host.infected,
            "names": list(host.names) if address == host.published else []
        }
        for host in HOSTS.values()
        for address in (host.address, host.address6, *outside.get(host.key, ()))
        if address
    ]  # fmt: skip


def _captures(packets: dict[str, int]) -> list[Record]:
    return [
        {
            "file": capture.file + capture.compression, "vantage": capture.vantage,
            "snaplen": capture.snaplen, "precision": capture.precision, "packets": packets[capture.file]
        }
        for capture in CAPTURES
    ]  # fmt: skip


def _uploads(records: dict[str, list[Record]]) -> list[Record]:
    """Return the uploads; raises RuntimeError unless the relay received what the terminals sent."""
    uploads = sorted(records["upload"], key=lambda record: float(record["start"]))
    sent = sum(upload["bytes"] for upload in uploads)
    received = sum(record["bytes"] for record in records["received"] if record["path"] == UPLOAD_PATH)
    if sent != received:
        message = f"terminals uploaded {sent} bytes, the relay received {received}"
        raise RuntimeError(message)
    return [
        {
            "src": upload["src"], "dst": _ADDRESS_OF[upload["name"]], "name": upload["name"],
            "start": _iso(upload["start"]), "end": _iso(upload["end"]), "bytes": upload["bytes"]
        }
        for upload in uploads
    ]  # fmt: skip


def _regular(records: list[Record]) -> list[Record]:
    """Group the requests of everything that repeats by terminal and server."""
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        groups[record["src"], record["name"]].append(record)
    return [
        {
            "src": src, "dst": _ADDRESS_OF[name], "name": name,
            "period_s": group[0]["period_s"], "jitter": group[0]["jitter"], "count": len(group),
            "start": _iso(min(record["start"] for record in group)),
            "end": _iso(max(record["end"] for record in group))
        }
        for (src, name), group in sorted(groups.items())
    ]  # fmt: skip


def read_socat(log: str) -> list[Forward]:
    """Read the connections out of the first relay's socat log.

    The parent logs the accepted connection and then the child it forks; the child logs its own connection.
    """
    forwards = []
    accepted: dict[str, tuple[float, int]] = {}
    last: tuple[float, int] | None = None
    for line in log.splitlines():
        if match := _ACCEPTED.match(line):
            when = datetime.strptime(match[1], "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC)
            last = (when.timestamp(), int(match[4]))
        elif (match := _FORKED.match(line)) and last:
            accepted[match[3]] = last
        elif match := _CONNECTED.match(line):
            forwards.append(Forward(*accepted[match[2]], int(match[4])))
    return forwards


def _chains(records: dict[str, list[Record]], forwards: list[Forward], sshd_log: str) -> list[Record]:
    """Return the chain of every infected terminal; raises RuntimeError if sessions and connections differ."""
    sessions = sorted(records["session"], key=lambda record: float(record["start"]))
    answered = {record["id"] for record in records["operator"]}
    if len(forwards) != len(sessions) or answered != {session["id"] for session in sessions}:
        message = f"{len(sessions)} sessions, {len(forwards)} through socat, {len(answered)} at the operator"
        raise RuntimeError(message)
    hops = [HOSTS[key].address for key in ("relay1", "relay2", "operator")]
    chains = []
    for terminal in TERMINALS:
        own = [
            _session(session, forward, sshd_log)
            for session, forward in zip(sessions, forwards, strict=True)
            if session["src"] == terminal.address
        ]
        if own:
            chains.append({"hops": [terminal.address, *hops], "sessions": own})
    return chains


def _session(session: Record, forward: Forward, sshd_log: str) -> Record:
    """Join one session of an agent with the forwarding it must have caused, and name all its connections."""
    if not session["start"] <= forward.time <= session["start"] + _SLACK_S:
        message = f"socat accepted at {_iso(forward.time)}, the session began at {_iso(session['start'])}"
        raise RuntimeError(message)
    match = _SSH_CONNECTION.search(sshd_log)
    if not match:
        message = "sshd logged no connection"
        raise RuntimeError(message)
    first, second = HOSTS["relay1"].address, HOSTS["relay2"].address
    flows = [
        _flow(session["src"], session["src_port"], *PROXY),
        _flow(PROXY[0], forward.accepted_port, first, RELAY_PORT),
        _flow(first, forward.connected_port, second, TUNNEL_PORT),
        # The reverse tunnel: the operator connected to the relay, long before, and it carries every session.
        _flow(match[1], int(match[2]), second, 22),
    ]
    return {
        "start": _iso(session["start"]), "end": _iso(session["end"]),
        "bytes_up": session["bytes_up"], "bytes_down": session["bytes_down"], "flows": flows,
    }  # fmt: skip


def _flow(src: str, src_port: int, dst: str, dst_port: int) -> Record:
    """Describe a connection and the captures that must show it: those at one of its ends, or on its way."""
    ends = {src, dst}
    seen_in = []
    for capture in CAPTURES:
        on_uplink = capture.host == "router" and PROXY[0] in ends and not any(t.address in ends for t in TERMINALS)
        if on_uplink or HOSTS[capture.host].address in ends:
            seen_in.append(capture.file + capture.compression)
    return {"src": src, "src_port": src_port, "dst": dst, "dst_port": dst_port, "seen_in": seen_in}
