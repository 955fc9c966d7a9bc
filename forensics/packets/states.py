"""What a flow's packed bits say in Zeek's words: its state and its history.

References
----------
.. [1] Zeek, ``scripts/base/protocols/conn/main.zeek``: ``conn_state`` and ``history``.
"""

from __future__ import annotations

from forensics.packets import layout

__all__ = ["STATES", "history_text"]

_LETTERS = len(layout.HISTORY_LETTERS)


def history_text(history: int, swapped: int) -> str | None:
    """Return a packed history as letters, the originator's in upper case."""
    text = ""
    while history & 31:
        code = history & 31
        history >>= 5
        if code == layout.HISTORY_FLIP:
            text += "^"
            continue
        letter = layout.HISTORY_LETTERS[(code - 1) % _LETTERS]
        text += letter if (code > _LETTERS) == bool(swapped) else letter.lower()
    return text or None


def _tcp_state(originator: int, responder: int, silent: bool) -> str:  # noqa: PLR0911, FBT001 - Zeek's own table
    """Return Zeek's ``conn_state`` of a TCP connection; ``silent`` where no end sent payload."""
    unopened = (layout.INACTIVE, layout.PARTIAL)
    if responder == layout.RESET:
        if originator in (layout.SYN_SENT, layout.SYN_ACK_SENT) or (originator == layout.RESET and silent):
            return "REJ"
        return "RSTRH" if originator in unopened else "RSTR"
    if originator == layout.RESET:
        return "RSTOS0" if responder in unopened else "RSTO"
    if originator == layout.CLOSED:
        if responder == layout.CLOSED:
            return "SF"
        return "SH" if responder in unopened else "S2"
    if responder == layout.CLOSED:
        return "SHR" if originator in unopened else "S3"
    if originator == layout.SYN_SENT and responder == layout.INACTIVE:
        return "S0"
    return "S1" if originator == responder == layout.ESTABLISHED else "OTH"


def _udp_state(sent: bool, answered: bool) -> str:  # noqa: FBT001 - the two facts of the table
    """Return Zeek's ``conn_state`` of a UDP conversation."""
    if sent:
        return "SF" if answered else "S0"
    return "SHR"


_TCP_STATES = [_tcp_state(code >> 1 & 7, code >> 4, bool(code & 1)) for code in range(128)]
_UDP_STATES = [_udp_state(bool(code & 1), bool(code & 2)) for code in range(4)]
STATES = [*_TCP_STATES, *_UDP_STATES, "OTH"]
