"""From evidence to a report, step by step: run it as it is, or give a folder of your own.

python examples/investigate.py [FOLDER] [OUT]
"""

import sys
from pathlib import Path

import forensics as fx

LAB = Path(__file__).resolve().parents[1] / "sample_pcaps" / "lab"
arguments = sys.argv[1:]
evidence = arguments[:1] or [str(LAB / "*.pcap*"), str(LAB / "access.log*")]
out = Path(arguments[1] if arguments[1:] else "investigation")

# Read everything there is. A file that no format recognises is listed among the sources, with the reason.
case = fx.read(*evidence)
print(case)
print(case.sources.to_pandas()[["source", "format", "records", "rejected", "first", "last"]].to_string())

# Which terminals sent unusual volumes, to which servers, when?
spikes = fx.find_spikes(case)
for reason in spikes["reason"]:
    print("spike: ", reason)

# Which servers were contacted by a clock?
beacons = fx.find_beacons(case)
for reason in beacons["reason"]:
    print("beacon:", reason)

# Which servers are relays, and why?
relays = fx.rank_relays(case, spikes=spikes, found_beacons=beacons)
for _, relay in relays.iterrows():
    print(f"relay {relay['rank']}: {relay['dst']} (score {relay['score']})")
    print("   ", relay["reasons"].replace("; ", "\n     "))

# How are the hops chained?
graph = fx.build_hop_graph(case, spikes=spikes, found_beacons=beacons, relays=relays)
for chain in graph.graph["chains"]:
    print("chain: ", " -> ".join(chain["hops"]), f"({chain['sessions']} sessions, p = {chain['p_value']:.2g})")

# The pictures and the report.
out.mkdir(parents=True, exist_ok=True)
for name in ("hops.png", "hops.svg", "hops.html"):
    print("wrote ", fx.draw_hops(graph).save(out / name))
print("wrote ", fx.write_report(case, out / "report"))
