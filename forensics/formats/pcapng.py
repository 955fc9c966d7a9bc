"""Captures in the pcapng format: any number of sections and interfaces, each with its own clock and link type.

Example of the first bytes, little-endian: Section Header Block, its length, byte-order magic::

    0a0d0d0a 1c000000 4d3c2b1a 0100 0000 ffffffffffffffff 1c000000

References
----------
.. [1] draft-ietf-opsawg-pcapng-03, *PCAP Next Generation Capture File Format*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

NAME = "pcapng"
TITLE = "packet capture (pcapng)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = True


def declines(head: bytes, hints: Hints) -> str | None:  # noqa: ARG001 - the protocol's signature
    """Say why a file is no pcapng capture."""
    from forensics.packets.containers import PCAPNG_MAGIC, BadContainerError, section_order

    if not head.startswith(PCAPNG_MAGIC):
        return "it does not begin with a Section Header Block (0a0d0d0a)"
    try:
        section_order(head)
    except BadContainerError as error:
        return str(error)
    return None


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, exact volumes, names, requests and rejects of a capture.

    Notes
    -----
    Filled in besides ``records``: ``sections``, ``link_types``, ``packets_in_flows``, and where there are any:
    ``not_ip`` (packets by EtherType), ``unread_link_types``, ``untimed_packets`` (Simple Packet Blocks, which take
    the time of the packet before), ``dropped_by_interface``, ``cut_by_snaplen``, ``truncated``.
    """
    from forensics.packets.pipeline import read_capture

    yield from read_capture(evidence)
