"""Opening: which container a capture is in, and what it says of itself besides its packets.

`Container` is asked once for the start of the file, and again for every block of a pcapng file that describes the file
and is no packet. It sets the cursor, so that the loops of `framing` go on from there, and gathers facts and names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from forensics.addresses import host_name
from forensics.packets import containers, layout
from forensics.packets.containers import BadContainerError, Section
from forensics.packets.framing import IDB, NAMES, STATISTICS
from forensics.packets.layout import NUMBER, SEEN_TIME, Longs

if TYPE_CHECKING:
    from collections.abc import Callable

    from forensics.packets.layout import Longs

__all__ = ["Container", "ListedName"]

MAX_COMMENTS = 20
"""Comments that are kept."""

MAX_EARLY_NAMES = 65_536
"""Names kept that are listed before any packet; what is beyond is counted."""


@dataclass(frozen=True, slots=True)
class ListedName:
    """One pair of a Name Resolution Block.

    Parameters
    ----------
    time, record
        Time [ns] and number of the packet before it; where it comes before any packet, the earliest time in the
        capture, and the number of the first one.
    address, name
        The pair.
    """

    time: int
    record: int
    address: str
    name: str


@dataclass(slots=True)
class Container:
    """The container of one capture.

    Parameters
    ----------
    section
        The current section of a pcapng file.
    links
        Link types met.
    names
        Names that the capture lists, not yet taken by the reader.
    notes
        Facts for ``sources``.
    """

    section: Section = field(default_factory=Section)
    links: set[int] = field(default_factory=set)
    names: list[ListedName] = field(default_factory=list)
    notes: dict[str, object] = field(default_factory=dict)
    _early: list[tuple[str, str]] = field(default_factory=list)
    _counts: dict[str, int] = field(default_factory=dict)
    _comments: list[str] = field(default_factory=list)

    # -- the start ---------------------------------------------------------------------------------------------------

    def begin(self, peek: Callable[[int], bytes], cursor: Longs) -> int:
        """Read the start of the capture and set the cursor's columns for it.

        Parameters
        ----------
        peek
            Returns so many of the next bytes without taking them, fewer at the end of the file.
        cursor
            The cursor of the loops.

        Returns
        -------
        int
            Bytes of the file's header. [B]

        Raises
        ------
        BadContainerError
            It is none of the containers that are read, or its header is cut short.
        """
        head = peek(containers.GUESS_BYTES)
        if head.startswith(containers.PCAPNG_MAGIC):
            cursor[layout.CONTAINER] = layout.PCAPNG
            return 0
        if head.startswith(containers.SNOOP_MAGIC):
            cursor[[layout.CONTAINER, layout.LINK]] = layout.SNOOP, containers.read_snoop_header(head).link
            self.links.add(int(cursor[layout.LINK]))
            return containers.SNOOP_HEADER_BYTES
        header = containers.read_pcap_header(head)
        cursor[[layout.CONTAINER, layout.BIG, layout.UNIT]] = layout.PCAP, header.big, header.unit
        cursor[[layout.LINK, layout.LIMIT]] = header.link, header.limit
        cursor[[layout.RECORD_HEAD, layout.OLD_LENGTHS]] = header.record_head, header.version < (2, 4)
        self.section = Section(header.big, header.interface)
        self.links.add(header.link)
        self.notes.update(snaplen=header.snaplen, resolution=header.resolution)
        if header.version != (2, 4):
            self.notes["version"] = "{}.{}".format(*header.version)
        if header.record_head != containers.RECORD_HEAD_BYTES:
            self.notes["record_header_bytes"] = header.record_head
        return containers.PCAP_HEADER_BYTES

    # -- blocks of pcapng --------------------------------------------------------------------------------------------

    def take_block(self, peek: Callable[[int], bytes], cursor: Longs) -> int:
        """Take in the block at the cursor, one that is no packet.

        Returns
        -------
        int
            Its length. [B]

        Raises
        ------
        BadContainerError
            It contradicts itself, or the file ends inside it.
        """
        head = peek(12)
        fresh = head[:4] == containers.PCAPNG_MAGIC
        order: Literal["big", "little"] = "big" if self.section.big else "little"
        big, length = containers.open_section(head) if fresh else (self.section.big, int.from_bytes(head[4:8], order))
        if not 12 <= length <= layout.MAX_RECORD or length % 4:
            raise BadContainerError("a block has an absurd length")
        block = peek(length)
        if len(block) < length:
            raise BadContainerError("the file is cut inside a block")
        if block[-4:] != block[4:8]:
            raise BadContainerError("the two lengths of a block differ")
        if fresh:
            self._begin_section(block[8:-4], big)
        else:
            self._describe(int.from_bytes(head[:4], order), block[8:-4], cursor)
        cursor[[layout.BIG, layout.N_INTERFACES]] = big, len(self.section.interfaces)
        return length

    def _begin_section(self, body: bytes, big: int) -> None:
        """Take in a section header: from here on byte order and interfaces are new."""
        self._keep(containers.check_section(body, big))
        self._fold()
        self.section = Section(big)
        self._add("sections")

    def _describe(self, kind: int, body: bytes, cursor: Longs) -> None:
        """Take in a block that describes the file."""
        if kind == IDB:
            self._keep(self.section.describe(body))
            self.links.add(int(self.section.interfaces[-1, layout.I_LINK]))
        elif kind == STATISTICS:
            self.section.count(body)
        elif kind == NAMES:
            self._list(body, cursor)
        else:
            self._add("decryption_secrets")

    def _list(self, body: bytes, cursor: Longs) -> None:
        """Keep the names of a Name Resolution Block, with the packet that they come after."""
        number, time = int(cursor[NUMBER]), int(cursor[SEEN_TIME])
        for address, text in self.section.names(body):
            name = host_name(text)
            if name is None:
                continue
            if number:
                self.names.append(ListedName(time, number, address, name))
            elif len(self._early) < MAX_EARLY_NAMES:
                self._early.append((address, name))
            else:
                self._add("names_left_out")

    def _keep(self, comment: str | None) -> None:
        if comment and len(self._comments) < MAX_COMMENTS:
            self._comments.append(comment)

    def _add(self, name: str, count: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + count

    def _fold(self) -> None:
        """Add the statistics of the section's interfaces to those of the file."""
        for counts in self.section.statistics.values():
            for code, count in counts.items():
                self._add(_STATISTICS[code], count)
        self.section.statistics.clear()

    # -- what was met ------------------------------------------------------------------------------------------------

    def told(self) -> list[ListedName]:
        """Return the names listed since the last call."""
        names, self.names = self.names, []
        return names

    def settle(self, cursor: Longs) -> list[tuple[str, str]]:
        """At the end, add the names that came before any packet to `names`; return them where there was no packet."""
        early, self._early = self._early, []
        first = int(cursor[layout.FIRST])
        if first > int(cursor[layout.LAST]):
            return early
        self.names += [ListedName(first, 1, address, name) for address, name in early]
        return []

    def facts(self, cursor: Longs) -> dict[str, object]:
        """Return what ``sources`` should know of the container, as far as there is any of it."""
        self._fold()
        snoop = cursor[layout.CONTAINER] == layout.SNOOP
        counts = self._counts | {
            "dropped_by_interface" if snoop else "dropped_between_packets": int(cursor[layout.DROPPED]),
            "other_blocks": int(cursor[layout.OTHER_BLOCKS]),
            "journal_entries": int(cursor[layout.JOURNAL]),
        }
        found: dict[str, object] = {name: count for name, count in counts.items() if count}
        return self.notes | found | ({"comments": list(self._comments)} if self._comments else {})


_STATISTICS = {
    containers.ISB_RECEIVED: "received_by_interface",
    containers.ISB_DROPPED: "dropped_by_interface",
    containers.ISB_DROPPED_BY_SYSTEM: "dropped_by_system",
}
