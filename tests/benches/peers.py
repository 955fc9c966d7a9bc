"""The packet engine beside other programs, as whole processes on the same files: one Markdown table for each capture.

    python tests/benches/peers.py FOLDER [--rounds 5] [--only a,b,start]

Letters name captures of ``captures.py``, which are made in the folder where they are missing; words name the
measurements of ``bounds.py``. In every round each program runs once, in an order that rotates and turns round, so that
what else the machine does falls on all of them; ratios are formed within a round. What a program says it has read is
compared with what the file holds. Programs that are far slower read a tenth of the traffic and a file of ten packets;
their time is the latter's, and ten times what the former takes beyond it: the table says so.

nfpcapd (nfdump), softflowd, argus (argus-server and, to count, argus-client) and tshark are looked for on the PATH;
nfstream in the Python that ``--nfstream`` names.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import bounds
from processes import Run, count_packets, into_case, into_flows, run, spread

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = {"a": "headers.pcap", "b": "full.pcap", "c": "many", "d": "dns.pcap", "e": "web.pcap"}
"""Captures that peers read."""

TEN = "ten.pcap"

TENTH = 10

DPKT = """
import sys, dpkt
count, flows = 0, {}
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        for _, data in dpkt.pcap.Reader(file):
            count += 1
            ip = dpkt.ethernet.Ethernet(data).data
            key = (ip.src, ip.dst, getattr(ip.data, "sport", 0), getattr(ip.data, "dport", 0))
            flows[key] = flows.get(key, 0) + len(data)
print(count)
"""

NFSTREAM = """
import sys, nfstream
if __name__ == "__main__":
    count = 0
    with open(sys.argv[1], "w") as out:
        for path in sys.argv[2:]:
            for flow in nfstream.NFStreamer(source=path):
                count += flow.bidirectional_packets
                print(*flow.values(), sep=",", file=out)
    print(count)
"""

HASH = """
import hashlib, sys
for path in sys.argv[1:]:
    with open(path, "rb") as file:
        print(hashlib.file_digest(file, "sha256").hexdigest())
"""

COUNT = """
import sys, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1], columns=["packets_out", "packets_in"])
print(sum(sum(c.to_numpy(zero_copy_only=False)) for c in table.columns))
"""

FLOORS = {
    "sha256sum": ["sha256sum"],
    "openssl dgst -sha256": ["openssl", "dgst", "-sha256"],
    "hashlib, SHA-256": [sys.executable, "-c", HASH],
    "cat to /dev/null": ["sh", "-c", 'exec cat "$@" > /dev/null', "sh"],
}
"""What no reader that hashes its evidence can beat, and the reading alone."""


@dataclass(frozen=True)
class Peer:
    """A program to compare with.

    Parameters
    ----------
    name
        As the table shows it.
    command
        Makes the command from the files and a place for its output.
    counted
        Finds out how many packets it has read, from its run and that place; None where nobody counts.
    slow
        Whether it reads a tenth.
    program
        What must be there.
    """

    name: str
    command: Callable[[list[Path], Path], list[str]]
    counted: Callable[[Run, Path], int | None]
    slow: bool = False
    program: str = sys.executable


def one_by_one(files: list[Path], out: Path, *command: str) -> list[str]:
    """Return the command for a program that takes one file, as its last argument."""
    if len(files) == 1:
        return [*command, str(files[0])]
    listed = out.with_suffix(".list")
    listed.write_text("\0".join(map(str, files)))
    return ["xargs", "-0", "-n1", "-a", str(listed), *command]


def plain(command: list[str]) -> Callable[[list[Path], Path], list[str]]:
    """Return what makes the command of a program that takes files and writes none."""
    return lambda files, _: [*command, *map(str, files)]


def found(pattern: str) -> Callable[[Run, Path], int | None]:
    """Return a counter that sums the numbers a program printed."""
    return lambda done, _: sum(map(int, re.findall(pattern, done.output))) or None


def nobody(_done: Run, _out: Path) -> int | None:
    """Count nothing: a hash has no packets."""
    return None


def case_records(_done: Run, out: Path) -> int:
    """Return the packets that a case says were read."""
    return sum(json.loads(path.read_text())["records"] for path in out.glob("parts/*/origin.json"))


def parquet_packets(_done: Run, out: Path) -> int:
    """Return the sum of the packets of all flows written."""
    return int(run([sys.executable, "-c", COUNT, str(out)]).output)


def argus_packets(_done: Run, out: Path) -> int:
    """Return the sum of the packets of argus's records; its marks of time carry none."""
    return sum(int(n) for n in run(["ra", "-n", "-r", str(out), "-s", "pkts"]).output.split() if n.isdecimal())


def folder(out: Path) -> str:
    """Make a folder for a program's output; return its name."""
    out.mkdir()
    return str(out)


def programs(nfstream: str, port: int) -> list[Peer]:
    """Return ours, which come first, all peers, and the floors."""
    return [
        Peer("forensics, into a case", lambda files, out: into_case(out, *files), case_records),
        Peer("`forensics flows --format parquet`", lambda files, out: into_flows(out, *files), parquet_packets),
        *flow_meters(port),
        *slow_programs(nfstream),
        *(Peer(name, plain(command), nobody, program=command[0]) for name, command in FLOORS.items()),
    ]


def flow_meters(port: int) -> list[Peer]:
    """Return the flow meters in C; softflowd sends what it finds to a local port where nobody answers."""
    soft = ("softflowd", "-d", "-6", "-v", "9", "-m", "1000000", "-n", f"127.0.0.1:{port}", "-r")
    return [
        Peer(
            "nfpcapd",
            lambda files, out: one_by_one(files, out, "nfpcapd", "-w", folder(out), "-r"),
            found(r"Total: Processed: (\d+)"),
            program="nfpcapd",
        ),
        Peer(
            "softflowd",
            lambda files, out: one_by_one(files, out, *soft),
            found(r"Packets processed: (\d+)"),
            program="softflowd",
        ),
        Peer(
            "argus",
            lambda files, out: ["argus", "-X", "-w", str(out), "-r", *map(str, files)],
            argus_packets,
            program="argus",
        ),
    ]


def slow_programs(nfstream: str) -> list[Peer]:
    """Return the programs that read a tenth."""
    taps = ("tshark", "-n", "-q", "-z", "conv,tcp", "-z", "conv,udp", "-z", "io,stat,0", "-r")
    return [
        Peer(
            "nfstream",
            lambda files, out: [nfstream, "-c", NFSTREAM, str(out), *map(str, files)],
            found(r"(?m)^(\d+)$"),
            slow=True,
            program=nfstream,
        ),
        Peer(
            "`tshark -z conv`",
            lambda files, out: one_by_one(files, out, *taps),
            found(r"<> +[\d.]+ *\| +(\d+)"),
            slow=True,
            program="tshark",
        ),
        Peer("dpkt, bytes by 5-tuple", plain([sys.executable, "-c", DPKT]), found(r"(?m)^(\d+)$"), slow=True),
    ]


def files_of(letter: str, place: Path, scale: float) -> list[Path]:
    """Return the files of a capture; they are made by another process, which may need memory."""
    maker = Path(__file__).with_name("captures.py")
    made = run([sys.executable, str(maker), str(place), "--only", letter, "--scale", str(scale)])
    if made.code:
        raise SystemExit(made.output)
    path = place / NAMES.get(letter, TEN)
    return sorted(path.rglob("*.pcap")) if path.is_dir() else [path]


def turns(count: int, rounds: int) -> list[list[int]]:
    """Return the order of each round: rotated, and turned round every second time."""
    orders = [[(i + turn) % count for i in range(count)] for turn in range(rounds)]
    return [order[::-1] if turn % 2 else order for turn, order in enumerate(orders)]


def once(peer: Peer, files: list[Path], place: Path, expected: int, *, check: bool) -> tuple[Run, str]:
    """Run a program once; return what it took, and the packets it says it read where that is to be checked."""
    with TemporaryDirectory(dir=place) as scratch:
        out = Path(scratch, "out")
        done = run(peer.command(files, out))
        if done.code:
            why = f"signal {-done.code}" if done.code < 0 else f"exit code {done.code}"
            return done, f"failed: {why} {done.output.strip()[-80:]}".strip().replace("|", " ").replace("\n", " ")
        count = peer.counted(done, out) if check else None
    return done, "all" if count == expected else "" if count is None else f"{count:,}"


def compare(letter: str, place: Path, rounds: int, scale: float, peers: list[Peer]) -> None:
    """Print the table of one capture."""
    files = files_of(letter, place, scale)
    small = files_of("t", place, scale)
    slow = files_of(letter, place / "tenth", scale / TENTH) if any(peer.slow for peer in peers) else []
    packets, packets_slow = sum(map(count_packets, files)), sum(map(count_packets, slow))
    walls: list[list[float]] = [[] for _ in peers]
    runs: list[list[Run]] = [[] for _ in peers]
    notes = [""] * len(peers)
    for peer in peers[:2]:  # compile what is not compiled yet, and have the file in memory
        once(peer, files, place, 0, check=False)
    for number, order in enumerate(turns(len(peers), rounds)):
        for i in order:
            peer = peers[i]
            chosen, expected = (slow, packets_slow) if peer.slow else (files, packets)
            done, note = once(peer, chosen, place, expected, check=number == 0)
            wall = done.wall
            if peer.slow:
                idle = once(peer, small, place, 0, check=False)[0].wall
                wall = idle + TENTH * (wall - idle)
            walls[i].append(wall)
            runs[i].append(done)
            notes[i] = notes[i] or note
            print(f"({letter}) {number} {peer.name}: {done.wall:.2f} s {note}", file=sys.stderr, flush=True)
    size = sum(path.stat().st_size for path in files)
    print(f"\n**({letter}) {NAMES[letter]}**: {packets:,} packets, {size / 1e6:,.0f} MB, {rounds} rounds\n")
    print("| program | packets read | wall [s] | processor [s] | peak [MB] | million packets/s | times ours |")
    print("|---|---|---|---|---|---|---|")
    for i, peer in enumerate(peers):
        _row(peer, notes[i], runs[i], (walls[i], walls[0]), packets)
    sys.stdout.flush()


def _row(peer: Peer, note: str, runs: list[Run], walls: tuple[list[float], list[float]], packets: int) -> None:
    """Print one program's line."""
    if note.startswith("failed"):
        print(f"| {peer.name} | {note} | | | | | |")
        return
    wall, ours = walls
    cpu = statistics.median(done.cpu for done in runs)
    ratio = spread([mine / our for mine, our in zip(wall, ours, strict=True)])
    peak = max(done.peak for done in runs) / 1e6
    name = f"{peer.name} (a tenth, extrapolated)" if peer.slow else peer.name
    processor = f"{cpu:.2f} for the tenth" if peer.slow else f"{cpu:.2f}"
    speed = packets / statistics.median(wall) / 1e6
    print(f"| {name} | {note} | {spread(wall)} | {processor} | {peak:,.0f} | {speed:.2f} | {ratio} |")


def main() -> None:
    """Print the tables that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the captures lie, or are made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join([*NAMES, *bounds.MEASURES]), help="letters and words, by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="0.1 to try it out")
    parser.add_argument("--nfstream", default="nfstream-python", help="a Python that has nfstream")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        known = programs(options.nfstream, collector.getsockname()[1])
        missing = [peer.name for peer in known if shutil.which(peer.program) is None]
        peers = [peer for peer in known if peer.name not in missing]
        if missing:
            print(f"Not installed: {', '.join(missing)}.")
        for name in options.only.split(","):
            if name in NAMES:
                compare(name, options.folder, options.rounds, options.scale, peers)
            else:
                bounds.MEASURES[name](options.folder, options.rounds, options.scale)


if __name__ == "__main__":
    main()
