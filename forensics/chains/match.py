"""What is said of one connection into a relay that goes on as another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forensics.series import Connection

__all__ = ["BIN", "Match"]

BIN = 20_000
"""Window in which times are compared. [us]"""


@dataclass(frozen=True, slots=True)
class Match:
    """One connection into a host that goes on as another connection of it.

    Parameters
    ----------
    host
        The relay.
    inbound, outbound
        The two connections. ``outbound`` is the one that leads on; an operator may have opened it himself, into the
        relay (a reverse tunnel).
    score
        Share of the bytes that find their equal. [1]
    p_value
        Probability that strangers agree as well in time.
    q_value
        Expected share of false matches among those at least as good, all compared pairs of the case counted. None
        before they are.
    delay
        Least time that the relay took. [us]
    """

    host: str
    inbound: Connection
    outbound: Connection
    score: float
    p_value: float
    q_value: float | None = None
    delay: int | None = None

    @property
    def inward(self) -> str:
        """The peer that the traffic came from."""
        return self.inbound.peer(self.host)

    @property
    def onward(self) -> str:
        """The peer that the traffic went on to."""
        return self.outbound.peer(self.host)
