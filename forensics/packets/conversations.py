"""What is known of one connection that was looked into: its ends, what it asked for, how it is labelled."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forensics.addresses import address_text
from forensics.packets import layout
from forensics.packets.labels import Label
from forensics.packets.texts import address_of
from forensics.packets.transport import unpair

if TYPE_CHECKING:
    from forensics.packets.layout import Longs
    from forensics.packets.protocols.socks import Dialogue

__all__ = ["Conversation", "ends_of"]


@dataclass(slots=True)
class Conversation:
    """One connection.

    Parameters
    ----------
    client, client_port, server, server_port
        Its ends.
    origin
        The client's side.

    Attributes
    ----------
    service
        Application protocol, as Zeek names it.
    targets
        Hosts that HTTP requests named, two at most: more would tell nothing more.
    pending
        Rows of HTTP requests without a reply.
    sending, replying
        Rows of the request and of the reply whose body is under way.
    tunnel, tunnel_port
        Where a proxy was told to connect to.
    server_name
        The name that a TLS or QUIC client asked for.
    inner_name
        The host that HTTP inside a tunnel asked for.
    """

    client: str
    client_port: int
    server: str
    server_port: int
    origin: int
    service: str | None = None
    targets: list[str] = field(default_factory=list)
    pending: list[dict[str, object]] = field(default_factory=list)
    sending: dict[str, object] | None = None
    replying: dict[str, object] | None = None
    through_proxy: bool = True
    tunnel: str | None = None
    tunnel_port: int | None = None
    server_name: str | None = None
    inner_name: str | None = None
    dialogue: Dialogue | None = None

    def speakers(self, side: int) -> tuple[str, tuple[str, int | None]]:
        """Return the address of a side; and the address of the other, with its port where it is the server."""
        if side == self.origin:
            return self.client, (self.server, self.server_port)
        return self.server, (self.client, None)

    @property
    def named_address(self) -> str | None:
        """The address that bears the server's name: behind a proxy nobody saw it, unless the client gave it."""
        return address_text(self.tunnel) if self.tunnel else self.server

    def remember(self, label: Label) -> None:
        """Take in what is known of the connection as a whole."""
        self.service = label.service
        if label.service == "http":
            self.targets, self.through_proxy = [label.name] if label.name else [], False
        else:
            self.server_name = label.name

    def label(self) -> Label:
        """Return what is known of the connection as a whole."""
        host = self.targets[0] if len(self.targets) == 1 else None
        if self.service in ("ssl", "quic") or not self.targets:
            return Label(self.service, self.server_name)
        literal = None if host is None else address_text(host)
        name = None if literal else host
        if self.tunnel and literal:  # a tunnel to an address, and perhaps a name inside it
            name = self.server_name or self.inner_name
        return Label(self.service, name, self.through_proxy and host is not None, literal)


def ends_of(columns: list[int], side: int, addresses: Longs) -> tuple[str, int, str, int]:
    """Return address and port of one side of a picked packet's flow, then those of the other."""
    key1, key2 = columns[layout.P_KEY1], columns[layout.P_KEY2]
    table = addresses if key2 & layout.KEY_IPV6 else None
    first, second = unpair(key1)
    low = address_of(first, table), key2 >> 32 & 0xFFFF
    high = address_of(second, table), key2 >> 16 & 0xFFFF
    return (*high, *low) if side else (*low, *high)
