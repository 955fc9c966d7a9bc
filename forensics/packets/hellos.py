"""What clients and servers give away when they begin to speak TLS, QUIC or SSH.

References
----------
.. [1] RFC 8446, section 4.1.2 (ClientHello); RFC 9001, section 4 (TLS inside QUIC); RFC 4253, section 4.2 (SSH).
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from forensics.addresses import host_name
from forensics.packets import layout
from forensics.packets.columns import ends, times
from forensics.packets.protocols.certificates import certificate_names
from forensics.packets.protocols.tls import certificate, handshake_bytes, parse_client_hello
from forensics.packets.texts import name_column

if TYPE_CHECKING:
    from forensics.packets.conversations import Conversation
    from forensics.packets.harvest import Messages
    from forensics.packets.layout import Longs
    from forensics.packets.protocols.client_hellos import Hellos
    from forensics.packets.telling import Teller

__all__ = ["Certificates", "tell_hello", "tell_hellos", "tell_ssh"]

_MAX_KNOWN = 65_536


def tell_hello(
    teller: Teller, conversation: Conversation, seen: tuple[int, int], hello: bytes, transport: str = "t"
) -> None:
    """Write the name that a client asks for, and its fingerprints.

    Parameters
    ----------
    teller
        Writes the rows.
    conversation
        The connection; inside a tunnel the server's address is the proxy's and is not written.
    seen
        Time [ns] and number of the packet it begins in.
    hello
        The ClientHello, with its handshake header.
    transport
        ``t`` for TCP, ``q`` for QUIC, as JA4 has it.
    """
    parsed = parse_client_hello(hello)
    if parsed is None:
        teller.fail("tls")
        return
    if parsed.server_name:
        conversation.server_name = host_name(parsed.server_name)
        teller.name(seen, conversation.named_address, parsed.server_name, "sni", conversation.client)
    speaker, peer = conversation.speakers(conversation.origin)
    teller.fingerprint(seen, speaker, peer, "ja3", parsed.ja3)
    teller.fingerprint(seen, speaker, peer, "ja4", parsed.ja4(transport))
    if parsed.alpn:
        teller.fingerprint(seen, speaker, peer, "alpn", parsed.protocols)


def tell_ssh(teller: Teller, conversation: Conversation, seen: tuple[int, int], side: int, data: bytes) -> None:
    """Write the version that one end of an SSH connection names.

    Parameters
    ----------
    teller, conversation, seen
        As in `tell_hello`.
    side
        Who speaks.
    data
        Its first line.
    """
    line = data.partition(b"\n")[0].rstrip(b"\r").decode("utf-8", "backslashreplace")
    speaker, peer = conversation.speakers(side)
    teller.fingerprint(seen, speaker, peer, "ssh", line)


def tell_hellos(teller: Teller, messages: Messages, hellos: Hellos, chosen: Longs) -> pa.Array:
    """Write names and fingerprints of many ClientHellos, each the first that is seen of its connection.

    Parameters
    ----------
    teller
        Writes the rows.
    messages
        The pieces, columns ``layout.P_*``.
    hellos
        What is known of them.
    chosen
        Which of them to write: n places of simple ones.

    Returns
    -------
    pyarrow.Array
        The names that are asked for, in canonical form, null for none. (n,)
    """
    columns = messages.columns[chosen]
    key1, key2, bits = (columns[:, k] for k in (layout.P_KEY1, layout.P_KEY2, layout.P_BITS))
    both = ends(key1, key2, bits, messages.addresses)
    seen = {"time": times(columns[:, layout.P_TIME]), "record": pa.array(columns[:, layout.P_NUMBER])}
    names = name_column(messages.data, hellos.names[chosen], hellos.name_ends[chosen])
    how = pa.repeat(pa.scalar("sni", pa.string()), len(chosen))
    teller.hold("names", **seen, address=both.dst, name=names, how=how, client=both.src)
    speakers = {**seen, "address": both.src, "peer": both.dst, "peer_port": both.dst_port}
    for kind, texts in _fingerprints(messages, chosen, hellos.offers[chosen]).items():
        rows = {**speakers, "kind": pa.repeat(pa.scalar(kind, pa.string()), len(chosen)), "fingerprint": texts}
        told = pa.RecordBatch.from_pydict(rows).filter(texts.is_valid())
        teller.hold("fingerprints", **dict(zip(told.schema.names, told.columns, strict=True)))
    return names


def _fingerprints(messages: Messages, chosen: Longs, offers: Longs) -> dict[str, pa.Array]:
    """Return fingerprints by their kind, null for none; each made once for all hellos that offer the same."""
    _, firsts, which = np.unique(offers, return_index=True, return_inverse=True)
    parsed = []
    for place in chosen[firsts].tolist():
        piece = messages.data[messages.ends[place] : messages.ends[place + 1]].tobytes()
        parsed.append(parse_client_hello(handshake_bytes(piece)))
    made = {
        "ja3": [hello.ja3 if hello else None for hello in parsed],
        "ja4": [hello.ja4() if hello else None for hello in parsed],
        "alpn": [hello.protocols if hello and hello.alpn else None for hello in parsed],
    }
    return {kind: pa.array(texts, pa.string()).take(pa.array(which)) for kind, texts in made.items()}


class Certificates:
    """Writes whom the certificates of TLS servers name: each certificate once per address."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], None] = {}

    def tell(self, teller: Teller, conversation: Conversation, seen: tuple[int, int], side: int, data: bytes) -> None:
        """Write the names in a server's certificate, where it is there and not known.

        Parameters
        ----------
        teller, conversation, seen
            As in `tell_hello`.
        side
            Who speaks.
        data
            TLS records, from the server's first on.
        """
        der = certificate(handshake_bytes(data))
        if der is not None:
            self.tell_one(teller, conversation, seen, side, der)

    def tell_one(
        self, teller: Teller, conversation: Conversation, seen: tuple[int, int], side: int, der: bytes
    ) -> None:
        """Write the names in a certificate, where it is not known.

        Parameters
        ----------
        teller, conversation, seen, side
            As in `tell`.
        der
            The certificate.
        """
        speaker, peer = conversation.speakers(side)
        key = (conversation.tunnel or speaker, sha256(der).digest())
        if key in self._known:
            return
        if len(self._known) >= _MAX_KNOWN:
            self._known.clear()
        self._known[key] = None
        named = certificate_names(der)
        if named is None:
            teller.fail("certificate")
            return
        if named.subject:
            teller.fingerprint(seen, speaker, peer, "certificate", named.subject)
        for name in named.names:
            teller.name(seen, conversation.named_address, name, "certificate", conversation.client)
