"""What the packet loops share: the columns of their arrays, the codes they report, the options that steer them.

All state of the engine lives in two-dimensional integer arrays, a row per packet, flow, cell or pick, so that the same
function runs compiled and as plain Python, and so that NumPy can turn whole columns into tables afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["BATCH", "Bytes", "FlowOptions", "Longs", "Tables"]

Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

BATCH = 2048
"""Packets whose keys are computed before any flow is touched, so that the cache misses of a batch overlap."""

LAYERS = 6
"""Connections of one packet that are told apart, from the wire inwards; what is deeper is left to the last of them."""

MAX_RECORD = 16 * 1024 * 1024
"""Longest packet record or block that is believed; a longer one means that the file is damaged. [B]"""

NO_TIME = -(2**63)
"""Time of a packet whose time does not fit (outside the years 1825-2115)."""

SECOND = 1_000_000_000
MINUTE = 60 * SECOND

# As headers have them: numbers of protocols, flags of TCP.
ICMP, TCP, UDP, ICMP6, SCTP = 1, 6, 17, 58, 132
FIN, SYN, RST, ACK = 1, 2, 4, 16

# Columns of a row of the batch: one layer of a packet. The framing fills the first ones.
(Q_START, Q_END, Q_WIRE, Q_TIME, Q_LINK, Q_KIND, Q_SIDE, Q_KEY1, Q_KEY2, Q_HASH, Q_IP, Q_PAYLOAD,
 Q_DATA, Q_DATA_END, Q_FLAGS, Q_SEQ, Q_PROTO, Q_SLOT, Q_ACK, Q_ROLE, Q_WINDOW, Q_NUMBER, Q_LAYER,
 Q_MARKS) = range(24)  # fmt: skip
Q_COLUMNS = 24

# Columns of a framed packet: Q_START to Q_KIND, its EtherType or UNKNOWN, where its network layer begins.
FR_TYPE, FR_AT = 6, 7
FRAME_COLUMNS = 8
UNKNOWN = -9

# Marks of a row.
MARK_CARRIES = 1  # the next row is what it carries
MARK_LATER = 2  # a later fragment
MARK_BAD_IP, MARK_BAD_SUM = 4, 8  # checksum of the IP header, of the transport

# Kinds of packets: what the decoder made of them.
OK, NOT_IP, UNREAD_LINK, BAD_CHECKSUM, AGGREGATED = 0, 1, 2, 3, 4
CUT_LINK, CUT_IP, BAD_IP, BAD_TIME, NO_INTERFACE, BAD_AGGREGATE = 10, 11, 12, 13, 14, 15

REJECT_REASONS = {
    CUT_LINK: "the link header is cut short",
    CUT_IP: "the IP header is cut short",
    BAD_IP: "the IP header contradicts itself (version or length)",
    BAD_TIME: "the time lies outside the years 1825-2115",
    NO_INTERFACE: "the packet names an interface that its section does not describe",
    BAD_AGGREGATE: "the rest of an 802.11 aggregate contradicts its length, or has more packets than are read",
}
"""Why a packet is a row of ``rejects`` and belongs to no flow."""

# Flags in the second key of a flow, above its eight bits of protocol.
KEY_IPV6, KEY_PORTLESS, KEY_ONE_WAY, KEY_FROM_HIGH, KEY_INNER = 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12
KEY_PORT_LOW, KEY_PORT_HIGH = 32, 16

# Columns of a flow, four cache lines: what every packet needs; what every packet of the low end needs; the same of the
# high end; sums of what was told before. "Low" and "high" are the two ends in the order of their keys. A packet
# changes the first line and that of its own end, and nothing else unless a minute or the flow is over.
# fmt: off
(F_KEY1, F_KEY2, F_LAST, F_BITS, F_CELL, F_SERIAL, F_START, F_HISTORY,
 F_PACKETS, F_IP, F_FRAME, F_PAYLOAD, F_SEQ, F_AGAIN, F_HOLES, F_PICK) = range(16)
F_HIGH = 8  # from a column of the low end to that of the high end
(F_SUM_PACKETS, F_SUM_PACKETS_HIGH, F_SUM_IP, F_SUM_IP_HIGH,
 F_SUM_FRAME, F_SUM_FRAME_HIGH, F_SUM_PAYLOAD, F_SUM_PAYLOAD_HIGH) = range(24, 32)
# fmt: on
F_COLUMNS = 32

# F_SERIAL: number of the flow's first packet, below it which of the packets in an aggregate, and the layer in three
# bits: no two flows share it. Q_LAYER has the same, and a bit for packets of aggregates.
LAYER_BITS, SERIAL_SHIFT = 3, 11
LAYER_MASK = (1 << LAYER_BITS) - 1
SERIAL_PLACE = (1 << SERIAL_SHIFT) - 1
FROM_AGGREGATE = 1 << SERIAL_SHIFT
MOST_PARTS = 1 << SERIAL_SHIFT - LAYER_BITS
"""Packets of an aggregate that are read; 802.11 allows it 11454 bytes, which so many fill with empty TCP segments."""

# F_SEQ: 32 bits of initial sequence number, 32 bits of the one expected next. F_AGAIN: bytes sent again.
# F_HOLES: bytes missing so far above HOLE_BITS, below it the first hole's row in the table of holes, from 1.
HOLE_BITS = 16
HOLE_ROWS = 1 << HOLE_BITS
MOST_HOLES = 32  # of one direction; the oldest is given up
H_START, H_END, H_NEXT = range(3)

# Bits of F_BITS.
BIT_ORIGIN = 1  # 1: the high end is the originator
BIT_STARTED = 2  # the start of the connection was seen
BIT_FLIPPED = 4  # the first packet was the responder's
BIT_HTTP = 8  # begins messages as HTTP does
BIT_FIN = 16  # 16, 32: FIN of the low, the high end
BIT_NEW = 64  # no minute of it was told
BIT_SOCKS = 128  # began as SOCKS does
STATE_SHIFT = 8  # three bits of endpoint state, low end
STATE_SHIFT_HIGH = 11
BIT_OUTER = 1 << 14  # carries other connections
BIT_SEQ = 1 << 15  # 15, 16: sequence numbers of the low, the high end are known
BIT_TLS = 1 << 17  # speaks TLS
BIT_DNS = 1 << 18  # speaks DNS
SEEN_SHIFT = 19  # history letters already written, a bit each

# States of a TCP endpoint.
INACTIVE, SYN_SENT, SYN_ACK_SENT, PARTIAL, ESTABLISHED, CLOSED, RESET = range(7)

# History letters, a code of five bits each: 1-12 those of the low end, 13-24 those of the high end.
HISTORY_LETTERS = "SHADFRQTGWCI"
HISTORY_FLIP = 31
HISTORY_ROOM = 12

# Columns of a cell: what one flow moved in one minute.
(C_SERIAL, C_KEY1, C_KEY2, C_BITS, C_CELL, C_NEW, C_PACKETS, C_PACKETS_HIGH, C_IP, C_IP_HIGH, C_PAYLOAD,
 C_PAYLOAD_HIGH, C_START) = range(13)  # fmt: skip
C_COLUMNS = 13

# Columns of a pick: a packet, or a part of one, that Python looks at. P_BODY: the body of a message that ends, or -1;
# CUT_HEAD where the capture has cut the packet inside the head, of which nothing more comes.
(P_NUMBER, P_TIME, P_SERIAL, P_KIND, P_SIDE, P_BITS, P_SEQ, P_DATA, P_DATA_END, P_LENGTH, P_KEY1, P_KEY2,
 P_START, P_BODY) = range(14)  # fmt: skip
P_COLUMNS = 14
CUT_HEAD = -2

# Kinds of picks; the kinds of packets above are used for rejected ones.
PICK_DNS, PICK_TCP, PICK_DNS_STREAM, PICK_QUIC, PICK_EXPORT = 100, 101, 102, 103, 104
# What a picked part of a TCP stream is: more of a message, the beginning of one, more that came before its beginning,
# or no bytes, only the news that a message has ended.
CONTINUES, BEGINS_HTTP, BEGINS_TLS, BEGINS_SSH, BEGINS_SOCKS, BEGINS_HTTP2, EARLY, ENDS = range(8)

# Columns of a stream: an HTTP connection whose messages are followed. The columns from S_MODE on are the low end's, as
# many after them the high end's.
(S_OWNER, S_ASKED, S_MODE, S_NEXT, S_LEFT, S_BODY, S_TIME, S_WHAT, S_LINE) = range(9)
S_SIDE = 7
S_COLUMNS = 16
STREAM_ROWS = 1 << 15

# Cursor: where the engine stands, and what it has counted.
(AT, NUMBER, EPOCH_END, OPEN, N_FRAMES, N_CLOSED, N_CELLS, N_PICKS, NOW, ADDRESSES, UNTIMED, IN_FLOWS, NOT_IP_COUNT,
 UNREAD_COUNT, REJECT_COUNT, SNAPPED, SINK, SWEEP_READ, SWEEP_WRITE, CONTAINER, BIG, UNIT, LINK, N_INTERFACES, FIRST,
 LAST, SEEN_TIME, LIMIT, BACKWARD, BAD_IP_SUMS, BAD_SUMS, CHECKED, DROPPED_COUNT, TUNNELLED, HOLE_FREE, HOLE_TOP,
 HOLES_LOST, PHASE, ROWS, EPOCH_START, RECORD_HEAD, OLD_LENGTHS, DROPPED, OTHER_BLOCKS,
 JOURNAL, N_MARKS, MARKED, N_STREAMS,
 CUT_HELLOS, N_FURTHER, FURTHER_PACKETS, UNWRAPPED, SPARE_ROWS, FACTORS) = range(54)  # fmt: skip
CURSOR_COLUMNS = FACTORS + 4  # FACTORS: the four of the hash

FRAMED_BY = (CONTAINER, BIG, UNIT, LINK, LIMIT, RECORD_HEAD, OLD_LENGTHS)
"""What of the cursor decides how packets are framed, besides the interfaces of a section."""

# Columns of a mark: where framing can begin anew.
M_RECORD, M_OFFSET, M_TIME = range(3)
M_COLUMNS = 3

PCAP, PCAPNG, SNOOP = 0, 1, 2

# Why a loop came back to Python.
(GO_ON, NEED_DATA, NEED_CONTROL, ABSURD_LENGTH, MALFORMED_BLOCK, EPOCH_DONE, OUTPUT_FULL, TABLE_FULL, NEED_LINKS,
 NEED_TUNNELS) = range(10)  # fmt: skip

# What is to be done next with the batch.
TO_FRAME, TO_DECODE, TO_ASSEMBLE = range(3)

# Columns of an interface of a pcapng section; see `framing.ticks_to_time`.
I_LINK, I_SNAPLEN, I_SECOND, I_SHIFT, I_MULTIPLY, I_DIVIDE, I_OFFSET = range(7)
I_COLUMNS = 7

# Options as the loops get them.
(O_TCP, O_TCP_CLOSED, O_TCP_ATTEMPT, O_UDP, O_ICMP, O_OTHER, O_CELL, O_PICK, O_DROP, O_SHORTEST) = range(10)

# Bits of the port table.
PORT_SERVER_TCP, PORT_SERVER_UDP, PORT_HTTP, PORT_DNS, PORT_TUNNEL, PORT_EXPORT = 1, 2, 4, 8, 16, 32

FRAGMENT_ROWS = 4096
G_KEY1, G_KEY2, G_ID, G_PORTS = range(4)
FRAGMENT_IPV6, FRAGMENT_CARRIED = 1 << 33, 1 << 34  # of an identification: of which packets it is


@dataclass(frozen=True, slots=True)
class FlowOptions:
    """What decides where a flow ends, and what is kept of it.

    A packet that comes after its flow was idle for longer than the limit begins a new flow.

    Parameters
    ----------
    tcp
        Idle limit of an open TCP connection: long, since a quiet connection that goes on with the same sequence
        numbers is the same connection. [s]
    tcp_closed
        Idle limit after both FINs or a RST: a late FIN or RST, sent again, still belongs to its connection. [s]
    tcp_attempt
        Idle limit of a SYN that was never answered; longer than the gaps between its retransmissions. [s]
    udp
        Idle limit of UDP, Zeek's. [s]
    icmp
        Idle limit of ICMP and ICMPv6, Zeek's. [s]
    other
        Idle limit of every other protocol. [s]
    max_open
        Open flows above which the ones idle longest are closed early; bounds memory under a SYN flood.
    cell
        Width of the time cells that bytes are counted in. [ns]
    pick
        Whether packets with names in them are handed out.
    drop_bad_checksums
        Whether packets whose IP or transport checksum is wrong are counted and left out of the flows, as Zeek does.
        They stay by default: a capture made on the sending host sees most checksums before the network card fills
        them in.
    """

    tcp: float = 3600.0
    tcp_closed: float = 60.0
    tcp_attempt: float = 75.0
    udp: float = 60.0
    icmp: float = 60.0
    other: float = 60.0
    max_open: int = 2_000_000
    cell: int = MINUTE
    pick: bool = True
    drop_bad_checksums: bool = False

    def as_array(self) -> Longs:
        """Return the options as the loops read them, times in nanoseconds."""
        seconds = (self.tcp, self.tcp_closed, self.tcp_attempt, self.udp, self.icmp, self.other)
        limits = [int(s * SECOND) for s in seconds]
        return np.array([*limits, self.cell, self.pick, self.drop_bad_checksums, min(limits)], dtype=np.int64)


class Tables(NamedTuple):
    """All arrays of a running engine, as one argument for the loops."""

    cursor: Longs
    options: Longs
    frames: Longs
    rows: Longs
    spare: Longs
    flows: Longs
    slots: Longs
    closed: Longs
    cells: Longs
    picks: Longs
    addresses: Longs
    address_slots: Longs
    fragments: Longs
    holes: Longs
    members: Longs
    further: Longs
    interfaces: Longs
    marks: Longs
    links: Longs
    ethertypes: Longs
    ports: Bytes
    streams: Longs
