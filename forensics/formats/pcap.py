"""Captures in the classic pcap format: microseconds or nanoseconds, either byte order.

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
    from forensics.packets.containers import BadContainerError, foreign_container, read_pcap_header

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
    are any: ``not_ip`` (packets by EtherType), ``unread_link_types``, ``cut_by_snaplen``, ``truncated``.
    """
    from forensics.packets.pipeline import read_capture

    yield from read_capture(evidence)
