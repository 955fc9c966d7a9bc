"""HTTP requests and their replies: each request is a row, complete once the body of its reply has ended.

``request_bytes`` and ``response_bytes`` are the bytes of the bodies: as far as the connection's sequence numbers went,
without the framing of chunks. Where a gap hid where a body ends, they are what the head announced.

References
----------
.. [1] RFC 9112, section 9.3.2 (pipelining); RFC 9110, sections 9.3.6 (CONNECT) and 15.2 (informational replies).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forensics.addresses import address_text
from forensics.packets.protocols.http import parse_reply, parse_request

if TYPE_CHECKING:
    from forensics.packets.conversations import Conversation
    from forensics.packets.protocols.http import Request
    from forensics.packets.telling import Teller

__all__ = ["MAX_PENDING", "close_exchange", "end_message", "tell_reply", "tell_request"]

MAX_PENDING = 64
"""Requests of one connection that wait for their replies; the oldest is told without one where there are more."""

_ASKED, _ANSWERED = "request_bytes", "response_bytes"


def tell_request(teller: Teller, conversation: Conversation, seen: tuple[int, int], data: bytes, body: int) -> None:
    """Keep an HTTP request until its reply comes, and write the name it asks for.

    Parameters
    ----------
    teller
        Writes the rows.
    conversation
        The connection.
    seen
        Time [ns] and number of the packet it begins in.
    data
        Its head.
    body
        Size of its body, -1 where that is not known yet. [B]
    """
    request = parse_request(data)
    if request is None:
        teller.fail("http")
        return
    row = _row(conversation, request, seen) | {"source": teller.source}
    if body >= 0:
        row[_ASKED] = body
    conversation.sending = row if body < 0 else None
    if len(conversation.pending) >= MAX_PENDING:
        teller.rows.add("requests", **conversation.pending.pop(0))
    conversation.pending.append(row)
    if request.host is not None:
        _note_host(teller, conversation, seen, request, request.host)
    if conversation.tunnel is None:
        conversation.through_proxy &= request.to_proxy
    if request.method == "CONNECT":
        conversation.tunnel, conversation.tunnel_port = request.host, request.port


def _note_host(teller: Teller, conversation: Conversation, seen: tuple[int, int], request: Request, host: str) -> None:
    """Write the name a request asks for; behind a proxy it belongs to an address nobody saw."""
    inside = conversation.tunnel is not None and request.method != "CONNECT"
    if inside:
        conversation.inner_name = None if address_text(host) else host
    elif host not in conversation.targets and len(conversation.targets) < 2:
        conversation.targets.append(host)
    if address_text(host) is None:
        address = None if request.to_proxy else conversation.named_address
        teller.name(seen, address, host, "connect" if request.method == "CONNECT" else "http", conversation.client)


def _row(conversation: Conversation, request: Request, seen: tuple[int, int]) -> dict[str, object]:
    """Return the row of a request, without its reply."""
    inside = conversation.tunnel is not None and request.method != "CONNECT"
    via = conversation.server if request.to_proxy or inside else None
    dst, dst_port = conversation.server, conversation.server_port
    asked, port = (conversation.tunnel, conversation.tunnel_port) if inside else (request.host, request.port)
    return {
        "start": seen[0] // 1000,
        "src": conversation.client,
        "src_port": conversation.client_port,
        "dst": (address_text(asked) if asked else None) if via else dst,
        "dst_port": port if via else dst_port,
        "name": request.host,
        "via": via,
        "method": request.method,
        "url": request.url,
        "user_agent": request.user_agent,
        "referer": request.referer,
        _ASKED: request.content_length,
        "record": seen[1],
    }


def tell_reply(teller: Teller, conversation: Conversation, seen: tuple[int, int], data: bytes, body: int) -> None:
    """Put a reply beside the oldest request that waits for one; an interim reply (1xx) answers nothing.

    Parameters
    ----------
    teller, conversation, seen, data, body
        As in `tell_request`.
    """
    reply = parse_reply(data)
    if reply is None:
        teller.fail("http")
        return
    if reply.upgrade and reply.status == 101 and reply.upgrade.lower().startswith("h2c"):
        conversation.service = "http2"
    if reply.status // 100 == 1 and reply.status != 101:
        return
    _write_reply(teller, conversation)
    if not conversation.pending:
        return
    row = conversation.replying = conversation.pending.pop(0)
    row["end"] = seen[0] // 1000
    row["status"] = reply.status
    row["content_type"] = reply.content_type
    row[_ANSWERED] = body if body >= 0 else reply.content_length
    if body >= 0:
        _write_reply(teller, conversation)


def end_message(teller: Teller, conversation: Conversation, side: int, time: int, body: int) -> None:
    """Take in that a body has ended.

    Parameters
    ----------
    teller, conversation
        As in `tell_request`.
    side
        Who sent it.
    time
        When it ended. [ns]
    body
        Its size. [B]
    """
    if side == conversation.origin:
        if conversation.sending is not None:
            conversation.sending[_ASKED] = body
            conversation.sending = None
    elif conversation.replying is not None:
        conversation.replying["end"] = time // 1000
        conversation.replying[_ANSWERED] = body
        _write_reply(teller, conversation)


def _write_reply(teller: Teller, conversation: Conversation) -> None:
    """Write the row of the reply that is under way."""
    if conversation.replying is not None:
        if conversation.sending is conversation.replying:
            conversation.sending = None
        teller.rows.add("requests", **conversation.replying)
        conversation.replying = None


def close_exchange(teller: Teller, conversation: Conversation) -> None:
    """Write what a closed connection still owes."""
    _write_reply(teller, conversation)
    for row in conversation.pending:
        teller.rows.add("requests", **row)
    conversation.pending.clear()
