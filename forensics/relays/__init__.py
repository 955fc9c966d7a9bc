"""From findings and traits to ranked relay candidates, each with its reasons. `rank_relays` is the whole of it.

* `sites`: what is one server: names and addresses.
* `traits`: what a server is like: numbers per candidate, and the level of each trait.
* `weights`: what each level weighs: one table, made by ``tests/benches/calibrate_relays.py``.
* `company`: servers that share suspected terminals.
* `ranking`: the sum, its reasons, and the verdict.
"""

from forensics.relays.ranking import RELAY_COLUMNS, judged, rank_relays

__all__ = ["RELAY_COLUMNS", "judged", "rank_relays"]
