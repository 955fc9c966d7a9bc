"""How often detectors are wrong: what they find in clean campaigns, and in captures of ordinary traffic.

    python tests/benches/quiet.py --clean 121 122 --captures folder/*.pcap

Prints a row per detector and campaign, and what it finds in the captures; `docs/explanation/measurements.md` quotes it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import forensics as fx
from forensics.detectors import all_detectors
from forensics.errors import ForensicsError
from forensics.synthetic import Campaign, write_campaign


def count(case: fx.Case, place: str, *, all_rows: bool) -> None:
    """Print what each detector finds in a case, and what it tested."""
    for name, detector in all_detectors().items():
        found, coverage = detector.detect(case), detector.coverage(case)
        if all_rows or len(found):
            print(place, name, len(found), coverage.tested, coverage.unit, sep="\t", flush=True)
        for reason in found["reason"]:
            print("", reason, sep="\t")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=int, nargs="*", default=[])
    parser.add_argument("--planted", type=int, nargs="*", default=[])
    parser.add_argument("--captures", type=Path, nargs="*", default=[])
    options = parser.parse_args()
    for kind, seeds in (("clean", options.clean), ("planted", options.planted)):
        for seed in seeds:
            with TemporaryDirectory() as folder:
                truth = write_campaign(Path(folder), Campaign(seed=seed, clean=kind == "clean"), compression=1)
                files = [str(Path(folder, one["file"])) for one in (*truth["logs"], *truth["captures"])]
                case = fx.read(*files, timezone=truth["timezone"], progress=False)
                count(case, f"{kind} {seed}", all_rows=True)
    for path in options.captures:
        try:
            count(fx.read(path, timezone="UTC", progress=False), path.name, all_rows=False)
        except ForensicsError as error:
            print(path.name, type(error).__name__, sep="\t")


if __name__ == "__main__":
    main()
