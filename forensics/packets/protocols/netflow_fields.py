"""What the information elements of NetFlow v9 and IPFIX are to us: the part that a field plays in a row of ``flows``.

Elements below 128 have the same numbers in both; those above are IPFIX's, and exporters of v9 use them too.

References
----------
.. [1] IANA, *IP Flow Information Export (IPFIX) Entities*, https://www.iana.org/assignments/ipfix/ipfix.xhtml
.. [2] RFC 5103, *Bidirectional Flow Export Using IPFIX*, section 6.1: reverse elements have the enterprise 29305.
.. [3] Cisco, *NetFlow Version 9 Flow-Record Format*, table 6.
.. [4] Wireshark, ``packet-netflow.c``: the elements of Cisco's *Application Visibility and Control*.
"""

from __future__ import annotations

__all__ = ["OPTIONS", "V5", "V5_RECORD", "part_of"]

REVERSE, CISCO = 29305, 9

_PARTS = {
    1: "bytes", 2: "packets", 4: "proto", 7: "src_port", 8: "src4", 11: "dst_port", 12: "dst4", 21: "end_up",
    22: "start_up", 23: "post_bytes", 24: "post_packets", 27: "src6", 28: "dst6", 32: "icmp", 85: "total_bytes",
    86: "total_packets", 139: "icmp", 150: "start_s", 151: "end_s", 152: "start_ms", 153: "end_ms", 154: "start_ntp",
    155: "end_ntp", 156: "start_ntp", 157: "end_ntp", 158: "start_ago", 159: "end_ago", 160: "boot_ms",
    161: "lasted_ms", 162: "lasted_us", 176: "icmp_type", 177: "icmp_code", 178: "icmp_type", 179: "icmp_code",
    180: "src_port", 181: "dst_port", 182: "src_port", 183: "dst_port", 231: "initiator_bytes",
    232: "responder_bytes", 233: "event", 298: "initiator_packets", 299: "responder_packets", 322: "seen_s",
    323: "seen_ms", 324: "seen_ntp", 325: "seen_ntp",
}  # fmt: skip
_OF_CISCO = {12236: "src4", 12237: "dst4", 12240: "src_port", 12241: "dst_port"}
"""Client and server of a connection; version 9 has the same numbers with the highest bit set."""
_REVERSED = {1: "back_bytes", 2: "back_packets", 85: "back_total_bytes", 86: "back_total_packets"}
OPTIONS = {34: "sampling", 50: "sampling", 305: "sampling", 306: "skipped"}
"""Elements of options that matter: one packet in ``sampling`` was looked at; so many were skipped after some."""

V5_RECORD = 48
"""[B]"""

V5: tuple[tuple[str, int, int], ...] = (
    ("src4", 0, 4), ("dst4", 4, 4), ("packets", 16, 4), ("bytes", 20, 4), ("start_up", 24, 4), ("end_up", 28, 4),
    ("src_port", 32, 2), ("dst_port", 34, 2), ("proto", 38, 1),
)  # fmt: skip
"""Parts of a record of NetFlow v5: name, place, length. [B]"""


def part_of(element: int, enterprise: int, *, options: bool) -> str | None:
    """Return the part that an information element plays; None where it plays none.

    Parameters
    ----------
    element
        Its number.
    enterprise
        The private enterprise whose number it is; 0 for IANA's.
    options
        Whether it is of an options template.

    Examples
    --------
    >>> part_of(1, 0, options=False), part_of(1, 29305, options=False), part_of(1, 9, options=False)
    ('bytes', 'back_bytes', None)
    """
    if options:
        return None if enterprise else OPTIONS.get(element)
    return {0: _PARTS, CISCO: _OF_CISCO, REVERSE: _REVERSED}.get(enterprise, {}).get(element)
