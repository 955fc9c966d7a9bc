"""The columns of PAN-OS logs: their places in what the firewall sends, and their names in what its screen exports."""

from __future__ import annotations

from forensics.formats._csv import Header
from forensics.formats._delimited import Dialect

__all__ = ["DIALECT", "NAMES", "TRAFFIC", "URL", "WIDTH"]

DIALECT = Dialect(b",", quote=b'"', doubled=True)

WIDTH = 109
"""Columns up to the one behind the last that is read; later versions have more."""

_BOTH = {
    "serial": 2, "type": 3, "subtype": 4, "time": 6, "src": 7, "dst": 8, "app": 14, "session": 22, "repeat": 23,
    "sport": 24, "dport": 25, "proto": 29, "action": 30,
}  # fmt: skip

TRAFFIC = Header(
    (),
    _BOTH | {"sent": 32, "received": 33, "start": 35, "elapsed": 36, "packets sent": 44, "packets received": 45,
             "reason": 46, "precise": 102},
    DIALECT,
)  # fmt: skip
"""Where the columns of TRAFFIC rows are, from 0. The last four came with later versions."""

URL = Header(
    (),
    _BOTH | {"url": 31, "content type": 41, "agent": 46, "forwarded": 48, "referer": 49, "method": 63, "precise": 107},
    DIALECT,
)
"""Where the columns of THREAT rows of the subtype ``url`` are, from 0."""

NAMES = {
    "serial": ("Serial #", "Serial Number", "serial"),
    "type": ("Type",),
    "subtype": ("Threat/Content Type", "Subtype", "log_subtype"),
    "time": ("Generate Time", "Generated Time", "time_generated"),
    "src": ("Source address", "Source IP", "src"),
    "dst": ("Destination address", "Destination IP", "dst"),
    "app": ("Application", "app"),
    "session": ("Session ID", "sessionid"),
    "repeat": ("Repeat Count", "repeatcnt"),
    "sport": ("Source Port", "sport"),
    "dport": ("Destination Port", "dport"),
    "proto": ("IP Protocol", "Protocol", "proto"),
    "action": ("Action",),
    "sent": ("Bytes Sent",),
    "received": ("Bytes Received",),
    "start": ("Start Time",),
    "elapsed": ("Elapsed Time (sec)", "Elapsed Time", "elapsed"),
    "packets sent": ("pkts_sent", "Packets Sent"),
    "packets received": ("pkts_received", "Packets Received"),
    "reason": ("Session End Reason",),
    "url": ("URL/Filename", "URL"),
    "content type": ("Content Type",),
    "agent": ("User Agent",),
    "referer": ("Referer",),
    "method": ("HTTP Method",),
    "forwarded": ("X-Forwarded-For", "xff"),
    "precise": ("High Resolution Timestamp", "high_res_timestamp"),
}
"""Names of the columns in an export of the firewall's screen, or of its interface."""
