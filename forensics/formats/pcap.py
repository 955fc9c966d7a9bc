"""Captures in the classic pcap format: microseconds or nanoseconds, either byte order, and its modified variants.

Read besides are files of Kuznetzov's modified libpcap and of its relatives at SuSE, Red Hat and Nokia, whose record
headers are longer, and files of versions before 2.4, whose two lengths may be swapped.

Example of the first bytes, little-endian, microseconds, snaplen 65535, Ethernet::

    d4c3b2a1 0200 0400 00000000 00000000 ffff0000 01000000

References
----------
.. [1] draft-ietf-opsawg-pcap-05, *PCAP Capture File Format*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

NAME = "pcap"
TITLE = "packet capture (pcap)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = True


def declines(head: bytes, hints: Hints) -> str | None:  # noqa: ARG001 - the protocol's signature
    """Say why a file is no pcap capture; other containers of captures are named with what converts them."""
    from forensics.packets.containers import BadContainerError, read_pcap_header
    from forensics.packets.foreign import foreign_container

    try:
        read_pcap_header(head)
    except BadContainerError as error:
        return foreign_container(head) or str(error)
    return None


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, exact volumes, names, requests and rejects of a capture.

    Notes
    -----
    Filled in besides ``records``: ``link_types``, ``snaplen``, ``resolution``, ``packets_in_flows``, and where there
    are any: ``not_ip`` (packets by EtherType), ``unread_link_types``, ``cut_by_snaplen``, ``truncated``,
    ``further_packets_in_aggregates`` (of 802.11, beside the first of each); ``version`` and ``record_header_bytes``
    where they are not the usual ones (2.4, 16).
    """
    from forensics.packets.pipeline import read_capture

    yield from read_capture(evidence)
