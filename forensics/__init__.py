"""Network forensics: spikes toward relay servers, the relays, and the chain of hops, each with its evidence.

Example::

    import forensics as fx

    case = fx.read("evidence/", timezone="Asia/Tokyo")
    fx.draw_hops(fx.build_hop_graph(case)).save("hops.png")
"""

from forensics._version import __version__
from forensics.case import Case
from forensics.clocks import find_clock_offsets
from forensics.community import community_ids
from forensics.detectors.beacons import detect as find_beacons
from forensics.detectors.volume_spikes import detect as find_spikes
from forensics.drawing import Drawing, draw_beacon, draw_heatmap, draw_hops, draw_timeline, draw_volume
from forensics.errors import EvidenceError, ForensicsError
from forensics.explaining import Explanation, explain
from forensics.exports import write_graph
from forensics.graphs.filters import filter_graph, graph_at
from forensics.graphs.geoip import country_file
from forensics.hops import build_hop_graph
from forensics.investigation import write_report
from forensics.lookup import dissect
from forensics.opening import open_case, read
from forensics.reading import Limits
from forensics.relays import rank_relays
from forensics.tabular import read_table

__all__ = [
    "Case",
    "Drawing",
    "EvidenceError",
    "Explanation",
    "ForensicsError",
    "Limits",
    "__version__",
    "build_hop_graph",
    "community_ids",
    "country_file",
    "dissect",
    "draw_beacon",
    "draw_heatmap",
    "draw_hops",
    "draw_timeline",
    "draw_volume",
    "explain",
    "filter_graph",
    "find_beacons",
    "find_clock_offsets",
    "find_spikes",
    "graph_at",
    "open_case",
    "rank_relays",
    "read",
    "read_table",
    "write_graph",
    "write_report",
]
