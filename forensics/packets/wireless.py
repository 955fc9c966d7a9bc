"""802.11 frames, and the headers that radios put before them.

References
----------
.. [1] IEEE 802.11-2020, clause 9.2.4 (MAC header), 9.3.2.1 (data frames), 9.3.2.2 (A-MSDU).
.. [2] https://www.radiotap.org: header and its Flags field; https://www.tcpdump.org/linktypes.html: Prism, AVS, PPI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.packets._jit import jit
from forensics.packets.ethertypes import AGGREGATE, CUT, ENCRYPTED, LINK_CONTROL, LINK_FRAGMENT, llc
from forensics.packets.framing import u8, u32

if TYPE_CHECKING:
    from forensics.packets.layout import Bytes

__all__ = ["PART_HEAD", "WLAN", "WLAN_PADDED", "past_radio", "wlan"]

PART_HEAD = 14
"""Addresses and length, before each part of an aggregate. [B]"""

WLAN = 105
WLAN_PADDED = 1 << 16 | WLAN
"""Link type of ours: 802.11 whose MAC header is padded to four bytes."""


@jit
def _radiotap(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Pass a radiotap header at ``o``; its flags say whether the MAC header is padded."""
    if o + 8 > end:
        return CUT, o
    length = u8(b, o + 3) << 8 | u8(b, o + 2)
    present = u32(b, o + 4, 0)
    at = o + 8
    word = present
    while word >> 31 and at + 4 <= end:  # more words of the bitmap
        word = u32(b, at, 0)
        at += 4
    if present & 1:  # time, aligned to its eight bytes
        at += -(at - o) % 8 + 8
    padded = present & 2 != 0 and at < min(end, o + length) and u8(b, at) & 0x20 != 0
    return (WLAN_PADDED if padded else WLAN), o + length


@jit
def _prism(b: Bytes, o: int, end: int) -> tuple[int, int]:
    """Pass a Prism header at ``o``, of either byte order, or the AVS header that took its place."""
    if o + 8 > end:
        return CUT, o
    avs = u32(b, o, 1) >> 12 == 0x80211
    length = u32(b, o + 4, 1)
    if not avs and length > 0xFFFF:
        length = u32(b, o + 4, 0)
    return WLAN, o + length


@jit
def past_radio(b: Bytes, o: int, end: int, link: int) -> tuple[int, int]:
    """Pass the header of radiotap, Prism or AVS at ``o``; return the link type behind it, or `CUT`, and its place."""
    if link == 127:
        return _radiotap(b, o, end)
    return _prism(b, o, end)


@jit
def wlan(b: Bytes, o: int, end: int, padded: int) -> tuple[int, int]:  # noqa: PLR0911 - one per kind of frame
    """Read an 802.11 frame at ``o``; of an aggregate (A-MSDU) no more than where its first part begins."""
    if o + 24 > end:
        if o < end and u8(b, o) & 0x0C != 8:  # control frames are short
            return LINK_CONTROL, o
        return CUT, o
    control = u8(b, o)
    flags = u8(b, o + 1)
    if control & 0x0C != 8 or control & 0x40:  # management and control; data frames without data
        return LINK_CONTROL, o
    if flags & 0x40:
        return ENCRYPTED, o
    if u8(b, o + 22) & 15:
        return LINK_FRAGMENT, o
    at = o + (30 if flags & 3 == 3 else 24)  # four addresses between access points
    aggregate = 0
    if control & 0x80:  # QoS
        if at + 2 > end:
            return CUT, o
        aggregate = u8(b, at) & 0x80
        at += 6 if flags & 0x80 else 2  # with or without HT control
    if padded:
        at += -(at - o) % 4
    if aggregate:
        return (CUT, o) if at + PART_HEAD > end else (AGGREGATE, at)
    return (CUT, o) if at + 2 > end else llc(b, at, end)
