"""TLS handshakes of many connections, read together where they are as most are.

References
----------
.. [1] RFC 8446, sections 4.1.3 (ServerHello) and 5.1 (records); RFC 5246, section 7.4.2 (Certificate).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from forensics.packets import layout
from forensics.packets.hellos import tell_hellos
from forensics.packets.labels import Label
from forensics.packets.protocols.client_hellos import scan_hellos
from forensics.packets.protocols.tls import CERTIFICATE, CLIENT_HELLO, HANDSHAKE
from forensics.packets.recognising import HEAD_BYTES
from forensics.packets.texts import gathered
from forensics.packets.transport import unpair

if TYPE_CHECKING:
    from forensics.packets.harvest import Messages
    from forensics.packets.joining import Joined
    from forensics.packets.labels import Labels
    from forensics.packets.layout import Bytes, Longs
    from forensics.packets.telling import Teller

    Flags = npt.NDArray[np.bool_]

__all__ = ["Shown", "find_certificates", "read_handshakes"]

_HELLO_TYPE = 5  # where a handshake record says what it is
_STEPS = 8  # messages before the certificate that are gone through here


class Shown(NamedTuple):
    """A certificate that a server showed: the packet in which that begins, a row of ``layout.P_*``, and its DER."""

    columns: list[int]
    der: bytes


def _number(data: Bytes, at: Longs, size: int) -> Longs:
    """Return numbers of ``size`` bytes."""
    value = np.zeros(len(at), dtype=np.int64)
    for k in range(size):
        value = value << 8 | data[at + k]
    return value


def find_certificates(data: Bytes, bounds: Longs) -> tuple[Longs, Longs]:
    """Find the servers' own certificates in first flights: those that lie whole in one record.

    Parameters
    ----------
    data
        Flights, end to end: records of TLS handshakes.
    bounds
        Where each of them begins, and where the last one ends: n + 1 offsets.

    Returns
    -------
    tuple
        Where the certificates begin and end, in DER; twice 0 where none was found. (n,) (n,)
    """
    n = len(bounds) - 1
    begins, stops = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    at, record = bounds[:-1].copy(), bounds[:-1].copy()  # where a message begins, and where its record ends
    some = np.arange(n)
    limit = np.minimum(bounds[1:], bounds[:-1] + HEAD_BYTES)
    for _ in range(_STEPS):
        some = some[at[some] + 15 <= limit[some]]
        fresh = some[at[some] == record[some]]
        record[fresh] = at[fresh] + 5 + _number(data, at[fresh] + 3, 2)
        record[fresh[data[at[fresh]] != HANDSHAKE]] = 0
        at[fresh] += 5
        some = some[at[some] + 10 <= np.minimum(record, limit)[some]]
        shown = data[at[some]] == CERTIFICATE
        found = some[shown]
        size = _number(data, at[found] + 7, 3)
        whole = (size > 0) & (at[found] + 10 + size <= np.minimum(record, limit)[found])
        begins[found[whole]] = at[found[whole]] + 10
        stops[found[whole]] = (at[found] + 10 + size)[whole]
        some = some[~shown]
        at[some] += 4 + _number(data, at[some] + 1, 3)
        some = some[at[some] <= record[some]]
    return begins, stops


def read_handshakes(teller: Teller, labels: Labels, joined: Joined) -> tuple[Flags, dict[int, Shown]]:
    """Write what connections say that speak nothing but TLS, and of which nothing but this is known.

    Parameters
    ----------
    teller
        Writes the rows.
    labels
        What is known of flows, by their serial number.
    joined
        What was said.

    Returns
    -------
    tuple
        Which messages were read; and certificates that are left to be told, by the place of their last piece.
    """
    messages = joined.messages
    columns, sides = messages.columns, messages.columns[:, layout.P_SIDE]
    alone = joined.fresh & np.append(joined.fresh[1:], True)
    alone &= joined.intact & (columns[:, layout.P_START] == layout.BEGINS_TLS)
    alone &= np.diff(messages.ends) > _HELLO_TYPE
    hello = alone.copy()
    hello[alone] = messages.data[messages.ends[:-1][alone] + _HELLO_TYPE] == CLIENT_HELLO
    hellos = scan_hellos(messages.data, messages.ends)
    begins, stops = find_certificates(messages.data, messages.ends)
    asks = hello & hellos.simple
    answers = alone & ~hello & (begins > 0) & (sides != columns[:, layout.P_BITS] & layout.BIT_ORIGIN)
    counts = np.bincount(joined.flows[asks], minlength=joined.flows[-1] + 1)
    asks &= counts[joined.flows] == 1
    fine = np.ones(len(counts), dtype=np.bool_)
    fine[joined.flows[~asks & ~answers]] = False
    answers &= fine[joined.flows]
    chosen = np.flatnonzero(asks)
    if len(chosen):
        names = tell_hellos(teller, messages, hellos, chosen)
        _label(labels, columns[chosen, layout.P_SERIAL], names)
    chosen = np.flatnonzero(answers)
    _label(labels, columns[chosen, layout.P_SERIAL], pa.nulls(len(chosen), pa.string()))
    return asks | answers, _shown(messages, chosen, begins[chosen], stops[chosen], joined.done[chosen])


def _label(labels: Labels, serials: Longs, names: pa.Array) -> None:
    """Note what servers connections ask for; where one names none, a name that is known already stays."""
    new = names.is_valid().to_numpy(zero_copy_only=False)
    for place in np.flatnonzero(~new).tolist():
        new[place] = int(serials[place]) not in labels
    encoded = names.filter(pa.array(new)).dictionary_encode()
    known = [Label("ssl", name) for name in (*encoded.dictionary.to_pylist(), None)]
    labels.put(serials[new].tolist(), known, encoded.indices.fill_null(len(known) - 1).to_numpy())


def _shown(messages: Messages, chosen: Longs, begins: Longs, stops: Longs, done: Longs) -> dict[int, Shown]:
    """Return certificates by place, of each that a server shows the first."""
    columns = messages.columns[chosen]
    packed, offsets = gathered(messages.data, begins, stops)
    ders = pa.Array.from_buffers(pa.large_binary(), len(chosen), [None, pa.py_buffer(offsets), pa.py_buffer(packed)])
    six = columns[:, layout.P_KEY2] & layout.KEY_IPV6 != 0
    server = np.where(columns[:, layout.P_SIDE], *reversed(unpair(columns[:, layout.P_KEY1]))) << 1 | six
    kinds = np.stack([ders.dictionary_encode().indices.to_numpy(), server], axis=1)
    order = np.argsort(done)
    _, firsts = np.unique(kinds[order], axis=0, return_index=True)
    return {int(done[k]): Shown(columns[k].tolist(), ders[k].as_py()) for k in order[firsts].tolist()}
