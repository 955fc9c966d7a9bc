"""Make the campaign sample anew: ``python sample_pcaps/campaign/make_campaign.py [FOLDER]``."""

import sys
from pathlib import Path

from forensics.synthetic import write_campaign

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
truth = write_campaign(folder, compression=9)
files = [*truth["logs"], *truth["captures"]]
print(f"{folder}: {len(files)} logs and captures, {len(truth['uploads'])} uploads, {len(truth['beacons'])} beacons")
