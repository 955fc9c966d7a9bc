"""Seeded traffic with planted truth, for tests, docs and benchmarks.

Three weeks of an office behind a Squid proxy, with an intrusion shaped like the breach of the Japan Pension Service of
May 2015: infections from 8 May, beacons to hacked sites, uploads on 21 to 23 May, chains of relays. Whatever could be
mistaken for it is there too: polling, backups, large one-off uploads, visits to the hacked sites.

>>> from forensics.synthetic import Campaign, write_campaign
>>> Campaign(seed=7, clean=True).terminals
60
"""

from .options import Campaign
from .truth import Truth
from .writing import write_campaign

__all__ = ["Campaign", "Truth", "write_campaign"]
