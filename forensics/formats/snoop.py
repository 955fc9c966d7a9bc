"""Captures in the snoop format of Solaris, version 2.

Example of the first bytes: magic, version 2, datalink type 4 (Ethernet)::

    736e6f6f70000000 00000002 00000004

References
----------
.. [1] RFC 1761, *Snoop Version 2 Packet Capture File Format*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

NAME = "snoop"
TITLE = "packet capture (snoop)"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = True


def declines(head: bytes, hints: Hints) -> str | None:  # noqa: ARG001 - the protocol's signature
    """Say why a file is no snoop capture, or one of a version or network that is not read."""
    from forensics.packets.containers import BadContainerError, read_snoop_header

    try:
        read_snoop_header(head)
    except BadContainerError as error:
        return str(error)
    return None


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows, exact volumes, names, requests and rejects of a capture.

    Notes
    -----
    Filled in besides ``records``: ``link_types``, ``packets_in_flows``, and where there are any:
    ``dropped_by_interface`` (packets that the capturing program says it lost), ``not_ip`` (packets by EtherType),
    ``unread_link_types``, ``cut_by_snaplen``, ``truncated``.
    """
    from forensics.packets.pipeline import read_capture

    yield from read_capture(evidence)
