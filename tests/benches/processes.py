"""Whole processes, measured: wall clock, processor time, peak memory, and what they printed.

This module imports little on purpose: a process starts with the peak memory of the one that starts it.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

__all__ = ["INTO_CASE", "ROOT", "Run", "count_packets", "into_case", "into_flows", "run", "spread"]

ROOT = Path(__file__).resolve().parents[2]
"""The checkout whose library is measured."""

INTO_CASE = "import sys, forensics; forensics.open_case(sys.argv[1]).add(*sys.argv[2:], progress=False)"
"""Reads evidence into a case on disk: hash, all tables, Parquet."""


@dataclass(frozen=True)
class Run:
    """What one process took. [s], [s], [B]"""

    wall: float
    cpu: float
    peak: int
    code: int
    output: str


def run(command: list[str], *, interrupt: float | None = None, environment: dict[str, str] | None = None) -> Run:
    """Run a process to its end, or interrupt it as Ctrl-C does.

    Parameters
    ----------
    command
        The program and its arguments.
    interrupt
        Time after which SIGINT is sent; ``wall`` is then counted from there. [s]
    environment
        Variables besides those of this process.

    Returns
    -------
    Run
        The peak memory is that of the process, or of its largest descendant where that is more.
    """
    # a shell that runs this in the background ignores SIGINT, and children would inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
    with TemporaryFile() as output:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=variables)
        if interrupt is not None:
            time.sleep(interrupt)
            begin = time.perf_counter()
            process.send_signal(signal.SIGINT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)  # wait4 has taken what Popen would wait for
        output.seek(0)
        text = output.read().decode(errors="replace")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, process.returncode, text)


def into_case(case: Path, *files: Path) -> list[str]:
    """Return the command that reads files into a case on disk."""
    return [sys.executable, "-c", INTO_CASE, str(case), *map(str, files)]


def into_flows(output: Path, *files: Path) -> list[str]:
    """Return the command that writes the flows of files as Parquet."""
    verb = [sys.executable, "-m", "forensics", "flows", "--format", "parquet", "--output", str(output)]
    return [*verb, *map(str, files)]


def count_packets(path: Path) -> int:
    """Count the records of a little-endian pcap file, by their lengths alone."""
    count, at, size = 0, 24, path.stat().st_size
    with path.open("rb") as file:
        begin, block = 0, b""
        while at + 16 <= size:
            if at + 16 > begin + len(block):
                begin = at
                file.seek(at)
                block = file.read(1 << 18)
            at += 16 + int.from_bytes(block[at - begin + 8 : at - begin + 12], "little")
            count += 1
    return count


def spread(values: list[float], digits: int = 2) -> str:
    """Return a median with the smallest and the largest value beside it."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) < 2 else f"{middle} ({min(values):.{digits}f}-{max(values):.{digits}f})"
