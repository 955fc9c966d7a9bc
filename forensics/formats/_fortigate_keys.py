"""The keys of FortiGate's logs that are read, as FortiGate writes them and as its CEF calls them; a place for each."""

from __future__ import annotations

__all__ = ["CEF", "PLAIN", "kind_of"]

(
    TYPE, SUBTYPE, LOGID, EVENTTIME, DATE, TIME, TZ, SRC, SPORT, DST, DPORT, PROTO, ACTION, SENT, RECEIVED, SENT_DELTA,
    RECEIVED_DELTA, SENT_PACKETS, RECEIVED_PACKETS, SENT_PACKETS_DELTA, RECEIVED_PACKETS_DELTA, DURATION,
    DURATION_DELTA, SESSION, HOST, URL, AGENT, REFERER, METHOD, FORWARDED,
) = range(30)  # fmt: skip

PLAIN = (
    b"type", b"subtype", b"logid", b"eventtime", b"date", b"time", b"tz", b"srcip", b"srcport", b"dstip", b"dstport",
    b"proto", b"action", b"sentbyte", b"rcvdbyte", b"sentdelta", b"rcvddelta", b"sentpkt", b"rcvdpkt", b"sentpktdelta",
    b"rcvdpktdelta", b"duration", b"durationdelta", b"sessionid", b"hostname", b"url", b"agent", b"referralurl",
    b"httpmethod", b"forwardedfor",
)  # fmt: skip

CEF = (
    b"cat", b"FTNTFGTsubtype", b"FTNTFGTlogid", b"FTNTFGTeventtime", b"FTNTFGTdate", b"FTNTFGTtime", b"FTNTFGTtz",
    b"src", b"spt", b"dst", b"dpt", b"proto", b"act", b"out", b"in", b"FTNTFGTsentdelta", b"FTNTFGTrcvddelta",
    b"FTNTFGTsentpkt", b"FTNTFGTrcvdpkt", b"FTNTFGTsentpktdelta", b"FTNTFGTrcvdpktdelta", b"FTNTFGTduration",
    b"FTNTFGTdurationdelta", b"externalId", b"dhost", b"request", b"requestClientApplication", b"FTNTFGTreferralurl",
    b"requestMethod", b"FTNTFGTforwardedfor",
)  # fmt: skip


def kind_of(text: str) -> str:
    """Return the type of a row; CEF writes the subtype behind it: ``traffic:forward``."""
    return text.partition(":")[0].casefold()
