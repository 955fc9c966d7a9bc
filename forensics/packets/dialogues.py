"""HTTP of many connections, read together where it is as most is: a request, its reply, the next request.

What is under way when the picks end is left to `forensics.packets.exchanges`, which reads everything else as well.

References
----------
.. [1] RFC 9112, sections 9.3 (persistent connections) and 9.3.2 (pipelining, of which nothing is read here).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forensics.addresses import address_text
from forensics.packets import layout
from forensics.packets.columns import ends, times
from forensics.packets.conversations import Conversation
from forensics.packets.joining import EMPTY_LINE, changes, rounded
from forensics.packets.labels import Label
from forensics.packets.protocols.http import asked_host, media_type, number
from forensics.packets.protocols.http_columns import Heads, scan_heads, text_column
from forensics.schema import TIME

if TYPE_CHECKING:
    from forensics.packets.joining import Joined
    from forensics.packets.labels import Labels
    from forensics.packets.layout import Longs
    from forensics.packets.telling import Teller

    Flags = npt.NDArray[np.bool_]

__all__ = ["read_dialogues"]

_NAMELESS = Label("http")


class _Exchanges(NamedTuple):
    """Requests and their replies: places among the messages, and what tells that a reply has ended, -1 for nothing."""

    request: Longs
    reply: Longs
    end: Longs


def _closed_by(joined: Joined, heads: Heads) -> tuple[Longs, Flags]:
    """Find which message tells that another has ended: itself, the next one, or -1 for none.

    Returns
    -------
    tuple
        That message; and which messages are out of the ordinary.
    """
    start = joined.messages.columns[:, layout.P_START]
    tail, head = start == layout.ENDS, start == layout.BEGINS_HTTP
    last = np.append(joined.fresh[1:], True)
    itself = head & ((joined.bodies >= 0) | joined.short)
    followed = np.append(tail[1:], False) & ~last
    place = np.arange(len(start))
    closed = np.where(itself, place, np.where(followed, place + 1, -1))
    odd = np.where(tail, np.diff(joined.messages.ends) > 0, ~(head & heads.simple & joined.intact))
    odd |= itself & followed
    odd |= (closed < 0) & head & ~last
    odd[tail] |= joined.fresh[tail] | tail[place[tail] - 1]
    origin = joined.messages.columns[:, layout.P_BITS] & layout.BIT_ORIGIN
    odd |= head & ((joined.messages.columns[:, layout.P_SIDE] == origin) == heads.reply)
    odd |= head & ~heads.reply & (closed < 0)
    return closed, odd


def _paired(joined: Joined, heads: Heads, closed: Longs, fine: Flags) -> _Exchanges:
    """Put replies beside requests; a connection in which they do not take turns is not fine."""
    flows, done = joined.flows, joined.done
    turns = np.flatnonzero((joined.messages.columns[:, layout.P_START] == layout.BEGINS_HTTP) & fine[flows])
    turns = turns[np.lexsort((done[turns], flows[turns]))]
    begins = np.flatnonzero(changes(flows[turns]))
    rank = np.arange(len(turns)) - np.repeat(begins, np.diff(begins, append=len(turns)))
    fine[flows[turns[(rank % 2 == 1) != heads.reply[turns]]]] = False
    turns = turns[fine[flows[turns]]]
    following = np.append(turns[1:], -1)
    following[flows[following] != flows[turns]] = -1
    following[-1:] = -1
    asks = ~heads.reply[turns]
    request, reply = turns[asks], following[asks]
    late = (reply >= 0) & (done[closed[request]] > done[reply])
    fine[flows[request[late]]] = False
    some = fine[flows[request]]
    request, reply = request[some], reply[some]
    return _Exchanges(request, reply, np.where(reply >= 0, closed[reply], -1))


def _bodies(joined: Joined, heads: Heads) -> pa.Array:
    """Return the sizes of bodies, null where they are not known; behind a head that was cut short, what that says."""
    bodies = joined.bodies.copy()
    cut = np.flatnonzero(joined.short)
    said = text_column(joined.messages.data, heads.fields["content-length"], cut)
    sizes = [number(text) for text in said.to_pylist()]
    bodies[cut] = [-1 if size is None else size for size in sizes]
    return pa.array(bodies, mask=bodies < 0)


def _hosts(joined: Joined, heads: Heads, request: Longs) -> tuple[Longs, list[str | None]]:
    """Return for each request the index of the host that it asks for, and the distinct ones: None for none at all.

    The index of an address is -1.
    """
    raw = text_column(joined.messages.data, heads.fields["host"], request).dictionary_encode()
    asked = [asked_host(text) for text in raw.dictionary.to_pylist()]
    names: dict[str | None, int] = {None: 0}
    codes = [-1 if host and address_text(host) else names.setdefault(host, len(names)) for host in asked]
    return np.array([*codes, 0])[raw.indices.fill_null(len(codes)).to_numpy()], list(names)


def _one_named(
    joined: Joined, request: Longs, hosts: tuple[Longs, list[str | None]], labels: Labels, fine: Flags
) -> None:
    """Take connections for not fine that ask for anything but one host, by its name."""
    codes, names = hosts
    flows = joined.flows[request]
    fine[flows[codes < 0]] = False
    first = changes(flows)
    fine[flows[~first & changes(codes)]] = False
    serials = joined.messages.columns[request, layout.P_SERIAL]
    for place in np.flatnonzero(first).tolist():
        known = labels.get(int(serials[place]))
        if known is not None and known != Label("http", names[codes[place]]):
            fine[flows[place]] = False


def _rows(source: str, joined: Joined, heads: Heads, request: Longs, bodies: pa.Array) -> dict[str, pa.Array]:
    """Return the columns of ``requests`` that requests fill, but for the host."""
    messages = joined.messages
    columns = messages.columns[request]
    key1, key2, bits = (columns[:, k] for k in (layout.P_KEY1, layout.P_KEY2, layout.P_BITS))
    both = ends(key1, key2, bits, messages.addresses)
    spans = {"method": heads.method, "url": heads.url}
    spans |= {"user_agent": heads.fields["user-agent"], "referer": heads.fields["referer"]}
    return {
        "start": pa.array(columns[:, layout.P_TIME] // 1000),
        "src": both.src,
        "src_port": both.src_port,
        "dst": both.dst,
        "dst_port": both.dst_port,
        **{name: text_column(messages.data, span, request) for name, span in spans.items()},
        "request_bytes": bodies,
        "source": pa.repeat(pa.scalar(source, pa.string()), len(request)),
        "record": pa.array(columns[:, layout.P_NUMBER]),
    }


def _tell_over(
    teller: Teller, joined: Joined, heads: Heads, pairs: _Exchanges, rows: pa.RecordBatch, *, bodies: pa.Array
) -> None:
    """Write exchanges that are over, in the order in which they ended."""
    over = np.flatnonzero(pairs.end >= 0)
    over = over[np.argsort(joined.done[pairs.end[over]])]
    reply, end, rows = pairs.reply[over], pairs.end[over], rows.take(pa.array(over))
    media = text_column(joined.messages.data, heads.fields["content-type"], reply).dictionary_encode()
    types = pa.array([media_type(text) for text in media.dictionary.to_pylist()], pa.string())
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    columns["start"] = columns["start"].cast(TIME)
    teller.hold(
        "requests",
        **columns,
        end=times(joined.messages.columns[end, layout.P_TIME]),
        status=pa.array(heads.status[reply].astype(np.int32)),
        content_type=types.take(media.indices),
        response_bytes=bodies.take(pa.array(end)),
    )


def _begin(
    conversations: dict[int, Conversation], joined: Joined, heads: Heads, pairs: _Exchanges, rows: pa.RecordBatch
) -> None:
    """Keep exchanges that are not over: of a connection a reply under way, a request that waits, or both."""
    begun = np.flatnonzero(pairs.end < 0)
    columns, data = joined.messages.columns, joined.messages.data
    firsts = columns[pairs.request[begun]]
    serials = firsts[:, layout.P_SERIAL].tolist()
    origins = (firsts[:, layout.P_BITS] & layout.BIT_ORIGIN).tolist()
    reply = np.maximum(pairs.reply[begun], 0)
    sizes = text_column(data, heads.fields["content-length"], reply).to_pylist()
    types = text_column(data, heads.fields["content-type"], reply).to_pylist()
    for k, row in enumerate(rows.take(pa.array(begun)).to_pylist()):
        conversation = conversations.get(serials[k])
        if conversation is None:
            conversation = Conversation(row["src"], row["src_port"], row["dst"], row["dst_port"], origins[k])
            conversation.remember(Label("http", row["name"]))
            conversations[serials[k]] = conversation
        if pairs.reply[begun[k]] < 0:
            conversation.pending.append(row)
        else:
            row["end"] = int(columns[reply[k], layout.P_TIME]) // 1000
            row["status"], row["content_type"] = int(heads.status[reply[k]]), media_type(types[k])
            row["response_bytes"] = number(sizes[k])
            conversation.replying = row


def _pass_over_mute(teller: Teller, labels: Labels, joined: Joined, heads: Heads) -> Flags:
    """Take notice of connections of whose requests not even the first line was captured.

    Returns
    -------
    numpy.ndarray
        Whether a connection is one of them.
    """
    flows, columns = joined.flows, joined.messages.columns
    mute = joined.short & (np.diff(joined.messages.ends) == len(EMPTY_LINE))
    known = mute | (joined.short & heads.simple & heads.reply)  # a reply to nothing that could be read
    known &= joined.intact & (columns[:, layout.P_START] == layout.BEGINS_HTTP)
    passed = np.ones(flows[-1] + 1, dtype=np.bool_)
    passed[flows[~known]] = False
    serials = columns[changes(flows), layout.P_SERIAL]
    for place in np.flatnonzero(passed).tolist():
        passed[place] = labels.get(int(serials[place])) in {None, _NAMELESS}
    if passed.any():
        labels.put(serials[passed].tolist(), [_NAMELESS], np.zeros(np.count_nonzero(passed), dtype=np.int64))
        teller.fail("http", int(np.count_nonzero(mute[passed[flows]])))
    return passed


def read_dialogues(teller: Teller, labels: Labels, conversations: dict[int, Conversation], joined: Joined) -> Flags:
    """Write what connections say that speak nothing but HTTP, each to one server by its name.

    Parameters
    ----------
    teller
        Writes the rows.
    labels, conversations
        What is known of flows, by their serial number; these connections are not among the latter, and those are put
        there whose last exchange is not over.
    joined
        What was said.

    Returns
    -------
    numpy.ndarray
        Which messages were read.
    """
    messages = rounded(joined.messages, joined.short)
    joined = joined._replace(messages=messages)
    heads = scan_heads(messages.data, messages.ends)
    closed, odd = _closed_by(joined, heads)
    mute = _pass_over_mute(teller, labels, joined, heads)
    fine = ~mute
    fine[joined.flows[odd]] = False
    pairs = _paired(joined, heads, closed, fine)
    codes, names = _hosts(joined, heads, pairs.request)
    _one_named(joined, pairs.request, (codes, names), labels, fine)
    some = fine[joined.flows[pairs.request]]
    pairs, codes = _Exchanges(*(places[some] for places in pairs)), codes[some]
    if len(codes):
        bodies = _bodies(joined, heads)
        columns = _rows(teller.source, joined, heads, pairs.request, bodies.take(pa.array(closed[pairs.request])))
        columns["name"] = pa.array(names, pa.string()).take(codes)
        rows = pa.RecordBatch.from_pydict(columns)
        how = pa.repeat(pa.scalar("http", pa.string()), len(codes))
        asked = {"address": columns["dst"], "name": columns["name"], "client": columns["src"]}
        teller.hold("names", time=columns["start"].cast(TIME), how=how, record=columns["record"], **asked)
        _tell_over(teller, joined, heads, pairs, rows, bodies=bodies)
        serials = messages.columns[pairs.request, layout.P_SERIAL].tolist()
        labels.put(serials, [Label("http", name) for name in names], codes)
        _begin(conversations, joined, heads, pairs, rows)
    return (fine | mute)[joined.flows]
