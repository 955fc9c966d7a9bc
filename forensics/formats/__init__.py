"""The formats of evidence: one module each, found by being in this folder.

A module is a format when it has the members of `Format`. There is no list to edit: add a module here and a sample
under ``sample_pcaps/formats/<name>/``, and the reader, the contract tests and the reference know it.

Example::

    from forensics import formats

    formats.all_formats()["squid"].TITLE
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from forensics.formats._gaps import Gap, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import tzinfo
    from ipaddress import IPv4Network, IPv6Network

    import pyarrow as pa

    from forensics.formats._description import TableDescription
    from forensics.formats._encodings import Originals

__all__ = ["HEAD_BYTES", "Evidence", "Format", "Hints", "all_formats", "format_named", "format_names"]

HEAD_BYTES = 64 * 1024
"""How much of a file's start `Format.declines` is shown. [B]"""

CAPTURES = ("pcap", "pcapng", "snoop")
"""Formats that are asked before the others."""

_notes_lock = Lock()
"""One for all files: copies of an `Evidence` share their notes, and a note is added to in no time."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the analyst, or a file lying beside the log, says about an evidence file.

    Parameters
    ----------
    timezone
        Zone of times that carry none.
    year
        Year of the newest record, where times carry none.
    logformat
        How the lines are made up: ``<format>: <definition>``, several of them one a line. Without a format's name it
        is a Squid ``logformat`` (the text after its name, or the name of a predefined one), or nginx's where it holds
        ``$name``.
    encoding
        Encoding of the text, as Python calls it; None where the file tells.
    trusted_proxies
        Networks of proxies whose ``X-Forwarded-For`` is believed.
    table
        Which columns of a table are which of ours; the file is read as such a table then, and as nothing else.
    companions
        Content of the files named by a format's ``COMPANIONS`` that lie in the log's own folder, by file name.
    """

    timezone: tzinfo | None = None
    year: int | None = None
    logformat: str | None = None
    encoding: str | None = None
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = ()
    table: TableDescription | None = None
    companions: Mapping[str, bytes] = field(default_factory=dict)


def _nothing_beside(pattern: str) -> Iterator[tuple[str, BinaryIO]]:  # noqa: ARG001 - as others
    """Return no file."""
    return iter(())


@dataclass(frozen=True, slots=True)
class Evidence:
    """One opened evidence file, as a format's ``parse`` gets it.

    Parameters
    ----------
    stream
        The decompressed bytes. ``read(n)`` may return fewer than ``n`` bytes only at the end. Where the compressed
        data is damaged or grows past a limit the stream ends there: what was read before stands, and the reader
        puts the trouble into the ``error`` of the ``sources`` row.
    source
        Name of the file in the ``sources`` table; every row carries it.
    vantage
        Where it was recorded; every flow and volume carries it.
    hints
        What is known about the file besides its content.
    notes
        Facts for the ``notes`` of the ``sources`` row, filled while parsing; JSON values only. The keys ``records``
        (int, packets or lines met, rejected ones included) and ``timezone`` (str, the zone assumed) go to the columns
        of those names, as does ``encoding`` (str); everything else is kept as it is. ``truncated`` (str) says where and
        why a file ends too early.
    originals
        Filled by `forensics.formats._encodings.text_stream` where the text is not UTF-8: what rejects need to show the
        bytes of the evidence.
    beside
        Opens the other files of the log's folder whose names fit a pattern: their names and decompressed bytes. For
        logs that say again what others of the same set say; none where a log lies in no folder.
    gaps
        Filled by `gap`.
    """

    stream: BinaryIO
    source: str
    vantage: str
    hints: Hints = field(default_factory=Hints)
    notes: dict[str, object] = field(default_factory=dict)
    originals: list[Originals] = field(default_factory=list)
    beside: Callable[[str], Iterator[tuple[str, BinaryIO]]] = _nothing_beside
    gaps: list[Gap] = field(default_factory=list)

    def gap(self, kind: Kind, start: int | None, end: int | None, reason: str, record: int | None = None) -> None:
        """Tell of something that the file should hold and does not; threads may.

        Parameters
        ----------
        kind
            What kind of gap it is.
        start, end
            The time of which something is missing; None where that is not known. [us since 1970]
        reason
            What is missing, in words.
        record
            Packet or line where it shows.
        """
        self.gaps.append(Gap(kind, start, end, reason, record))

    def note(self, key: str, count: int) -> None:
        """Add to a number in `notes`; threads may. Nothing is no note, except where ``records`` are counted.

        Parameters
        ----------
        key
            What is counted.
        count
            How many more there are.
        """
        with _notes_lock:
            before = self.notes.get(key, 0)
            if count or key == "records":
                self.notes[key] = count + (before if isinstance(before, int) else 0)


class Format(Protocol):
    """What a module in this folder must have to be a format; mypy checks modules against it."""

    NAME: str
    """Short name: the module's own, for example ``squid``."""

    TITLE: str
    """Name in words, for messages and the reference."""

    COMPANIONS: tuple[str, ...]
    """Names of files that, lying in the same folder, say how to read it; usually none."""

    EXACT_VOLUMES: bool
    """Whether ``parse`` yields the ``volumes`` of its ``flows`` itself; otherwise they are spread over their minutes.

    Exchanges are spread in any case: in a capture they are flows that others told of.
    """

    def declines(self, head: bytes, hints: Hints) -> str | None:
        """Say why a file is not of this format, or None where it is.

        Pure, quick, and never raises, whatever the bytes.

        Parameters
        ----------
        head
            The first `HEAD_BYTES` of the decompressed file, fewer where it is shorter.
        hints
            What else is known.
        """

    def parse(self, evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Yield batches of rows, each with the name of the table it belongs to.

        One bad record is a row for ``rejects``, never an exception. Memory is bounded, whatever the file's size.

        Parameters
        ----------
        evidence
            The opened file.

        Yields
        ------
        tuple
            A table name of `forensics.schema.FILLED` (``flows``, ``volumes``, ``names``, ``requests``, ``rejects``,
            or ``exchanges`` for rows of several of them) and a record batch of that table's schema; of captures also
            those of `forensics.packets.index.INDEX`.
        """


@cache
def format_names() -> tuple[str, ...]:
    """Return the names of all formats in the order in which they are asked: captures, then by name.

    A few bytes tell a capture, and most evidence is of them: the modules of all others need not be loaded then.
    Modules whose name begins with ``_`` are helpers, not formats.
    """
    names = (module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    return tuple(sorted(names, key=lambda name: (name not in CAPTURES, name)))


def format_named(name: str) -> Format:
    """Return a format by its name, one of `format_names`."""
    return cast("Format", importlib.import_module(f"{__name__}.{name}"))


@cache
def all_formats() -> dict[str, Format]:
    """Return every format by name, sorted."""
    return {name: format_named(name) for name in sorted(format_names())}
