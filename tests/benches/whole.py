"""From files to all findings: `forensics investigate` on the proxy log of a large office and three relays' captures.

    python tests/benches/whole.py [--terminals 681] [--rounds 3]

The campaign is made up (`forensics.synthetic`); with 681 terminals its Squid log has about 690,000 lines. Times are
those of whole processes, from the start of Python: one that reads and runs every detector, and one that also ranks,
draws the hop graph, and writes pictures, tables and report.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from processes import run, spread

from forensics.synthetic import Campaign, write_campaign

CAPTURES = 3

FINDINGS = """
import sys
import forensics as fx
from forensics.investigation import find_all
find_all(fx.read(*sys.argv[1:], timezone="Asia/Tokyo", progress=False))
"""
"""Reads files and has every detector find what it finds; nothing is written."""


def main() -> None:
    """Make the campaign, investigate it, and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--terminals", type=int, default=681)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        truth = write_campaign(Path(folder), Campaign(terminals=options.terminals, sensor_days=0), compression=1)
        log = Path(folder, "proxy/access.log.gz")
        relays = [Path(folder, one["file"]) for one in truth["captures"] if "relay" in one["file"]][:CAPTURES]
        with gzip.open(log) as file:
            lines = sum(1 for _ in file)
        files = [str(log), *map(str, relays)]
        verb = [sys.executable, "-m", "forensics", "investigate", *files, "--timezone", "Asia/Tokyo", "--out"]
        commands = {
            "to all findings": [[sys.executable, "-c", FINDINGS, *files]] * options.rounds,
            "to the report": [[*verb, str(Path(folder, f"out {n}"))] for n in range(options.rounds)],
        }
        done = {name: [run(command) for command in some] for name, some in commands.items()}
        if failed := [one.output for runs in done.values() for one in runs if one.code]:
            sys.exit(failed[0])
        found = json.loads(Path(folder, "out 0", "manifest.json").read_text("utf-8"))["findings"]
    print(f"{lines:,} lines, {len(relays)} captures; findings: {found}")
    for name, runs in done.items():
        wall, cpu = (spread([getattr(one, what) for one in runs]) for what in ("wall", "cpu"))
        print(f"{name}: wall {wall} s, processor {cpu} s, peak memory {max(one.peak for one in runs) / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
