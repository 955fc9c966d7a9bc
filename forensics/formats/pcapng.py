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
    from forensics.packets.containers import PCAPNG_MAGIC, BadContainerError, open_section

    if not head.startswith(PCAPNG_MAGIC):
        return "it does not begin with a Section Header Block (0a0d0d0a)"
    try:
        open_section(head)
    except BadContainerError as error:
        return str(error)
    return None


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, exact volumes, names, requests and rejects of a capture.

    Notes
    -----
    Names that the capture itself lists (Name Resolution Blocks, ``how`` is ``capture``) have the time and number of the
    packet before their block; before the first packet, the capture's earliest time and number 1.

    Filled in besides ``records``: ``sections``, ``link_types``, ``packets_in_flows``, and where there are any:
    ``not_ip`` (packets by EtherType), ``unread_link_types``, ``untimed_packets`` (Simple Packet Blocks, which take
    the time of the packet before), ``received_by_interface``, ``dropped_by_interface`` and ``dropped_by_system`` (the
    last statistics of every interface, added up), ``dropped_between_packets`` (as the packets themselves tell),
    ``comments`` (of sections and interfaces, the first 20, each cut to 200 characters), ``decryption_secrets``,
    ``journal_entries`` and ``other_blocks`` (blocks passed over: systemd's journal, custom and unknown ones),
    ``names_left_out``, ``cut_by_snaplen``, ``truncated``.
    """
    from forensics.packets.pipeline import read_capture

    yield from read_capture(evidence)
