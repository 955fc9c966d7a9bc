"""States and history of a TCP connection, as Zeek tells them.

The endpoint states and their transitions are Zeek's, so that ``state`` means what ``conn_state`` means. The history
has Zeek's letters, upper case for the originator, and ``^`` where the responder's packet came first: ``S H A D F R``,
``I`` (SYN and RST at once), ``Q`` (others of SYN, FIN, RST at once), ``T`` (payload sent again), ``G`` (acknowledged
payload that the capture lacks), ``W`` (a window of zero), ``C`` (a wrong checksum). Each is written once per direction,
where Zeek writes the last four again at every tenth, hundredth, ... time, and twelve letters at most.

References
----------
.. [1] Zeek, ``src/packet_analysis/protocol/tcp/TCPSessionAdapter.cc``: endpoint states.
.. [2] Zeek, ``scripts/base/protocols/conn/main.zeek``: ``conn_state`` and ``history``.
"""

# ruff: noqa: PLR0917 - a compiled loop takes its arguments by place

from __future__ import annotations

from forensics.packets._jit import hot, jit
from forensics.packets.layout import (
    ACK,
    BIT_FIN,
    BIT_ORIGIN,
    CLOSED,
    ESTABLISHED,
    F_BITS,
    F_HISTORY,
    FIN,
    HISTORY_FLIP,
    HISTORY_ROOM,
    INACTIVE,
    PARTIAL,
    RESET,
    RST,
    SEEN_SHIFT,
    STATE_SHIFT,
    STATE_SHIFT_HIGH,
    SYN,
    SYN_ACK_SENT,
    SYN_SENT,
    Longs,
)

__all__ = [
    "AGAIN",
    "BAD_SUM",
    "DATA",
    "GAP",
    "NO_WINDOW",
    "is_attempt",
    "is_closed",
    "is_noted",
    "note_flip",
    "note_history",
    "note_letter",
    "step",
]

_S, _H, _A, DATA, _F, _R, _Q, AGAIN, GAP, NO_WINDOW, BAD_SUM, _I = range(1, 13)
_LETTERS = 12
_CODE_BITS = 5
_WENT_ON = (1 << _A | 1 << DATA) * (1 | 1 << _LETTERS) << SEEN_SHIFT
"""An end acknowledged or sent payload: it had its answer, which a capture of one direction does not have."""


@hot
def is_closed(bits: int) -> int:
    """Tell whether a connection is over: a RST, or a FIN of both ends."""
    low = bits >> STATE_SHIFT & 7
    high = bits >> STATE_SHIFT_HIGH & 7
    return int(RESET in (low, high) or bits & BIT_FIN * 3 == BIT_FIN * 3)


@hot
def is_attempt(bits: int) -> int:
    """Tell whether a connection is a SYN that was never answered."""
    if bits & _WENT_ON:
        return 0
    low = bits >> STATE_SHIFT & 7
    high = bits >> STATE_SHIFT_HIGH & 7
    return int((low == SYN_SENT and high == INACTIVE) or (low == INACTIVE and high == SYN_SENT))


@jit
def _from_inactive(flags: int, peer: int, originator: int, length: int) -> tuple[int, int]:
    """First packet of an endpoint: its new state and its peer's."""
    state = INACTIVE
    if flags & SYN:
        if originator:
            state = SYN_ACK_SENT if flags & ACK else SYN_SENT
        else:
            state = ESTABLISHED
            if peer in (SYN_SENT, SYN_ACK_SENT):
                peer = ESTABLISHED
    if flags & FIN:
        state = CLOSED
    if flags & RST:
        state = RESET
    if state != INACTIVE or (not originator and length == 0 and peer == SYN_SENT):
        return state, peer
    return (ESTABLISHED if flags & ACK and peer == ESTABLISHED else PARTIAL), peer


@jit
def _from_open(flags: int, state: int, peer: int, peer_fin: int) -> tuple[int, int]:
    """Packet of an endpoint that is established, or was met in the middle of its connection."""
    if flags & SYN and not flags & ACK and state == PARTIAL and peer == INACTIVE:
        state = SYN_SENT
    if flags & RST:
        return RESET, peer
    if flags & FIN:
        if peer == RESET and peer_fin:  # FIN, then RST: a normal end after all
            peer = CLOSED
        state = CLOSED
    return state, peer


@jit
def _next(flags: int, state: int, peer: int, peer_fin: int, originator: int, length: int) -> tuple[int, int]:
    """Return the states of the sender and of its peer after a packet of the sender."""
    if state == INACTIVE:
        return _from_inactive(flags, peer, originator, length)
    if state in (ESTABLISHED, PARTIAL):
        return _from_open(flags, state, peer, peer_fin)
    if state in (SYN_SENT, SYN_ACK_SENT):
        if flags & RST:
            return RESET, peer
        return (CLOSED if flags & FIN else state), peer
    if state == CLOSED and flags & RST and peer != CLOSED:
        return RESET, peer
    return state, peer


@jit
def step(bits: int, side: int, flags: int, length: int) -> int:
    """Return a connection's bits after a packet of one side with these flags and ``length`` bytes of payload."""
    mine = STATE_SHIFT_HIGH if side else STATE_SHIFT
    other = STATE_SHIFT if side else STATE_SHIFT_HIGH
    peer_fin = bits & BIT_FIN << (1 - side)
    originator = int(bits & BIT_ORIGIN == side)
    state, peer = _next(flags, bits >> mine & 7, bits >> other & 7, peer_fin, originator, length)
    bits = bits & ~(7 << mine | 7 << other) | state << mine | peer << other
    return bits | (BIT_FIN << side if flags & FIN else 0)


@hot
def _letter(flags: int, length: int) -> int:
    """Return the code of a packet's history letter, 0 for none."""
    several = (flags & SYN != 0) + (flags & FIN != 0) + (flags & RST != 0)
    if several > 1:
        return _I if flags & SYN and flags & RST and not flags & FIN else _Q
    if flags & SYN:
        return _H if flags & ACK else _S
    if flags & FIN:
        return _F
    if flags & RST:
        return _R
    if length > 0:
        return DATA
    return _A if flags & ACK else 0


@jit
def _append(flows: Longs, j: int, code: int) -> None:
    """Put a code behind the history, where there is room."""
    history = int(flows[j, F_HISTORY])
    at = 0
    while at < HISTORY_ROOM and history >> _CODE_BITS * at & 31:
        at += 1
    if at < HISTORY_ROOM:
        flows[j, F_HISTORY] = history | code << _CODE_BITS * at


@hot
def is_noted(flows: Longs, j: int, side: int, letter: int) -> int:
    """Tell whether a side has earned a history letter."""
    return int(flows[j, F_BITS]) & 1 << SEEN_SHIFT + letter + _LETTERS * side


@hot
def note_letter(flows: Longs, j: int, side: int, letter: int) -> None:
    """Write a history letter, the first time its side earns it."""
    code = letter + _LETTERS * side
    seen = 1 << SEEN_SHIFT + code
    bits = int(flows[j, F_BITS])
    if bits & seen == 0:
        flows[j, F_BITS] = bits | seen
        _append(flows, j, code)


@hot
def note_history(flows: Longs, j: int, side: int, flags: int, length: int) -> None:
    """Write a packet's history letter, the first time its side earns it."""
    letter = _letter(flags, length)
    if letter:
        note_letter(flows, j, side, letter)


@jit
def note_flip(flows: Longs, j: int) -> None:
    """Write ``^``: the roles are not those of the first packet."""
    _append(flows, j, HISTORY_FLIP)
