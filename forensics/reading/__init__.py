"""The only room that opens evidence: find, hash, decompress, recognise, parse, keep what could not be read.

Every file is opened read-only and read once from start to end. What comes out is batches of rows for the tables of
`forensics.schema`, and one row for ``sources`` that says what the file was and what was assumed about it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from contextlib import closing, suppress
from functools import partial
from io import BufferedReader, BytesIO
from typing import TYPE_CHECKING, BinaryIO, cast

from forensics.errors import EvidenceError, ForensicsError, TimezoneNeededError, UnknownFormatError, YearNeededError
from forensics.formats import HEAD_BYTES, Evidence, format_named, format_names
from forensics.formats._encodings import restored
from forensics.reading.checking import check_batch
from forensics.reading.compression import outer_compression
from forensics.reading.copies import Copies, Earlier, Opener, find_copies
from forensics.reading.files import EvidenceFile, EvidenceLike, find_evidence
from forensics.reading.gaps import Jumps, gaps_text, tell_ends
from forensics.reading.opening import open_expanded, open_seekable, opened, sha256_of
from forensics.reading.options import ReadOptions, TableLike
from forensics.reading.progress import progress_bar
from forensics.reading.sets import ordered, vantage_of
from forensics.reading.streams import ExpandedStream, Limits, RawStream
from forensics.reading.tallies import Sink, Tally
from forensics.schema import EXCHANGES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence

    import pyarrow as pa

    from forensics.formats import Format, Hints

__all__ = [
    "Earlier",
    "EvidenceFile",
    "EvidenceLike",
    "Limits",
    "ReadOptions",
    "Sink",
    "TableLike",
    "companion_names",
    "find_evidence",
    "in_order",
    "open_expanded",
    "open_seekable",
    "progress_bar",
    "read_file",
    "sha256_of",
]

_log = logging.getLogger(__name__)

STREAM_BUFFER = 1 << 20
"""Read-ahead of the expanded bytes. [B]"""

COMPANION_BYTES = 1 << 20
"""A companion file longer than this is no configuration file. [B]"""

TABLE = "table"
"""The format that alone reads what a description is given for."""

ARCHIVES = {b"PK\x03\x04": "zip", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar"}


def read_file(
    file: EvidenceFile,
    sink: Sink,
    *,
    source: str,
    options: ReadOptions,
    earlier: Sequence[Earlier] = (),
    progress: Callable[[int], object] = lambda _: None,
    trouble: Callable[[EvidenceError], object] = lambda _: None,
) -> dict[str, object]:
    """Read one evidence file into a sink and return its row for ``sources``.

    A file that no format recognises, or that cannot be read to its end, does not raise: the row's ``error`` says why,
    and what was read before the trouble stands.

    Parameters
    ----------
    file
        The file. A file object is read from where it stands to its end.
    sink
        Takes its rows.
    source
        Its name in the ``sources`` table.
    options
        What is known about it.
    earlier
        Files that were read before: lines of a file of the same log that stand in this one too give no rows again.
    progress
        Called with the number of bytes of each read.
    trouble
        Called with the error that ended the reading, where one did.

    Raises
    ------
    TimezoneNeededError
        Its times carry no zone and ``options`` give none.
    YearNeededError
        Its times carry no year, and neither its name nor ``options`` tell it.
    EvidenceError
        The operating system cannot read it to its end: it has no SHA-256, so it cannot be evidence.
    """
    tally = Tally(sink)
    vantage = options.vantage or vantage_of(source)
    with opened(file, source) as stored:
        raw = RawStream(stored, progress)
        expanded = ExpandedStream(source, raw, options.limits)
        fmt, evidence, error = _read_stream(
            file, expanded, tally, source=source, vantage=vantage, options=options, earlier=earlier
        )
        try:
            sha256 = raw.finish()
        except OSError as failure:
            problem = f"cannot be read to its end ({failure.strerror or failure}): rescue it to a sound disk first"
            raise EvidenceError(source, problem) from failure
    if error is not None:
        trouble(error)
    known = {"sha256": sha256, "size": raw.count, "compression": expanded.compression}
    return _source_row(fmt, tally, evidence) | known | {"error": error.problem if error else None}


def in_order(files: Sequence[EvidenceFile], options: ReadOptions) -> list[EvidenceFile]:
    """Return evidence files in the order in which they are read: the parts of a rotated log by their times.

    Parameters
    ----------
    files
        The files.
    options
        What is known about them.
    """
    return ordered(files, lambda file: _first_time(file, options))


def _first_time(file: EvidenceFile, options: ReadOptions) -> int | None:
    """Return the earliest time at the head of a log; None where it has none, or is a capture, whose name must do."""
    try:
        with opened(file, file.name) as stored:
            head = ExpandedStream(file.name, RawStream(stored), options.limits).head(HEAD_BYTES)
        fmt, hints = _recognise(file.name, file, head, options)
    except (ForensicsError, OSError):  # what is wrong with it is told when it is read
        return None
    return None if fmt.EXACT_VOLUMES else _earliest(fmt, hints, head)


def _earliest(fmt: Format, hints: Hints, head: bytes) -> int | None:
    """Return the earliest time of the first rows that a format makes of a head. [us since 1970]"""
    tally = Tally(_Nowhere())
    evidence = Evidence(BytesIO(head[: head.rfind(b"\n") + 1] or head), "", "", hints)
    with suppress(ForensicsError, OSError), closing(_batches(fmt, evidence, tally)) as batches:
        for table, batch in batches:
            tally.write(table, batch)
            if tally.first is not None:
                break
    return tally.first


class _Nowhere:
    """A sink that keeps nothing."""

    def write(self, table: str, batch: pa.RecordBatch) -> None:
        """Let go of a batch."""


def _read_stream(
    file: EvidenceFile,
    expanded: ExpandedStream,
    tally: Tally,
    *,
    source: str,
    vantage: str,
    options: ReadOptions,
    earlier: Sequence[Earlier],
) -> tuple[Format | None, Evidence, EvidenceError | None]:
    """Read the expanded bytes of a file; return its format, what is known of it, and what ended the reading."""
    fmt, error = None, None
    evidence = Evidence(cast("BinaryIO", expanded), source, vantage)
    try:
        head = expanded.head(HEAD_BYTES)
        fmt, hints = _recognise(source, file, head, options)
        notes: dict[str, object] = {"told": options.told} if options.told else {}
        notes |= {f"read with {name}": hashlib.sha256(data).hexdigest() for name, data in hints.companions.items()}
        if getattr(fmt, "LINES", False):  # blocks of lines are read in a thread of their own
            expanded.hash_in_place()
        stream = BufferedReader(expanded, STREAM_BUFFER)
        others = partial(_beside, file, options.limits)
        evidence = Evidence(stream, source, vantage, hints, notes, beside=others)
        opener = cast("Opener", partial(open_expanded, file, options.limits))
        copies = _copies(fmt, evidence, head, opener, earlier if file.path else ())
        jumps = Jumps(fmt, evidence)
        for table, batch in _batches(fmt, evidence, tally, copies):
            tally.write(table, batch)
            jumps.look(table, batch)
    except (TimezoneNeededError, YearNeededError):
        raise
    except EvidenceError as problem:
        error = problem
    ended = _ended(source, expanded)
    if fmt is not None:
        tell_ends(evidence, tally.last, ended)
    return fmt, evidence, ended or error


def _copies(fmt: Format, evidence: Evidence, head: bytes, opener: Opener, earlier: Sequence[Earlier]) -> Copies | None:
    """Return which lines of a log other files gave already; only where a format's records are lines."""
    if not earlier or not getattr(fmt, "LINES", False):
        return None
    first = _earliest(fmt, evidence.hints, head)
    return None if first is None else find_copies(evidence, fmt.NAME, first, opener, earlier)


def _batches(
    fmt: Format, evidence: Evidence, tally: Tally, copies: Copies | None = None
) -> Generator[tuple[str, pa.RecordBatch]]:
    """Yield what a format makes of a file, and the volumes that follow from it.

    Evidence is hostile: a file that meets a bug of its reader, on purpose or not, must not take the others down.
    """
    try:
        for table, batch in fmt.parse(evidence):
            check_batch(table, batch)
            if table == "rejects" and evidence.originals:
                batch = restored(batch, evidence.originals[-1])  # noqa: PLW2901 - the same rows with other bytes
            if copies:
                tally.span(table, batch)  # what is left out here is still a part of this file
                batch = copies.left(batch)  # noqa: PLW2901
            yield table, batch
            if table == EXCHANGES.name or (table == "flows" and not fmt.EXACT_VOLUMES):
                from forensics.reading.spread import spread_over_minutes  # compiled; captures need none of it

                yield from (("volumes", volumes) for volumes in spread_over_minutes(batch))
    except EvidenceError:
        raise
    except ForensicsError as error:
        raise EvidenceError(evidence.source, str(error)) from error
    except Exception as error:
        _log.exception("a bug in the reader of %s, please report it", fmt.NAME)
        problem = f"the reader of {fmt.NAME} met a bug ({type(error).__name__}: {error}); what it read before stands"
        raise EvidenceError(evidence.source, problem) from error


def _recognise(source: str, file: EvidenceFile, head: bytes, options: ReadOptions) -> tuple[Format, Hints]:
    """Return the format that claims the file, with the hints it goes by."""
    declined: dict[str, str] = {}
    for name in [TABLE] if options.table else format_names():
        fmt = format_named(name)
        hints = options.hints(_companions(file, fmt))
        reason = fmt.declines(head, hints)
        if reason is None:
            return fmt, hints
        declined[name] = reason
    if not head:
        raise EvidenceError(source, "the file is empty")
    archive = "tar" if head[257:262] == b"ustar" else _by_magic(ARCHIVES, head)
    if archive:
        raise EvidenceError(source, f"a {archive} archive: unpack it and add the folder")
    if twice := outer_compression(head):
        raise EvidenceError(source, f"compressed twice: expand it once and add the {twice} file in it")
    raise UnknownFormatError(source, declined)


def _by_magic(kinds: Mapping[bytes, str], head: bytes) -> str | None:
    return next((kind for magic, kind in kinds.items() if head.startswith(magic)), None)


def _companions(file: EvidenceFile, fmt: Format) -> dict[str, bytes]:
    """Return the content of the files beside a log that say how to read it."""
    contents = {}
    for name in fmt.COMPANIONS:
        path = file.companion(name)
        try:
            if path is not None and path.stat().st_size <= COMPANION_BYTES:
                contents[name] = path.read_bytes()
        except OSError as error:
            _log.warning("%s lies beside %s and cannot be read: %s", name, file.name, error.strerror)
    return contents


def _beside(file: EvidenceFile, limits: Limits, pattern: str) -> Iterator[tuple[str, BinaryIO]]:
    """Open the other files of a file's folder whose names fit a pattern, one after another."""
    if file.path is None:
        return
    for path in sorted(file.path.parent.glob(pattern)):
        if not path.is_file() or path.samefile(file.path):
            continue
        try:
            with path.open("rb", buffering=0) as opened:
                expanded = ExpandedStream(path.name, RawStream(opened, lambda _: None), limits)
                yield path.name, BufferedReader(expanded, STREAM_BUFFER)
        except OSError as error:
            _log.warning("%s lies beside %s and cannot be read: %s", path.name, file.name, error.strerror)


def _source_row(fmt: Format | None, tally: Tally, evidence: Evidence) -> dict[str, object]:
    notes = evidence.notes
    records, zone, encoding = notes.pop("records", 0), notes.pop("timezone", None), notes.pop("encoding", None)
    return {
        "source": evidence.source,
        "format": fmt.NAME if fmt else None,
        "first": tally.first,
        "last": tally.last,
        "records": records,
        "rejected": tally.rows["rejects"],
        "flows": tally.rows["flows"],
        "observed_out": tally.observed["bytes_out"],
        "observed_in": tally.observed["bytes_in"],
        "vantage": evidence.vantage,
        "timezone": zone,
        "encoding": encoding,
        "clock_offset": None,
        "gaps": gaps_text(evidence.gaps),
        "notes": json.dumps(notes, sort_keys=True, ensure_ascii=False) if notes else None,
    }


def _ended(source: str, expanded: ExpandedStream) -> EvidenceError | None:
    """Return what ended the expanded bytes before their end."""
    problem, count = expanded.problem, f"{expanded.count:,} expanded bytes"
    if problem is None or isinstance(problem, EvidenceError):
        return problem
    words = str(problem) or type(problem).__name__
    if "emory" in words:  # xz: "Memory usage limit exceeded"; zstd: "Frame requires too much memory for decoding"
        return EvidenceError(source, f"asks for more memory than any lawful file needs, after {count}: {words}")
    return EvidenceError(source, f"damaged after {count}: {words}")


def companion_names() -> frozenset[str]:
    """Return the names of files that say how to read the logs beside them."""
    return frozenset(file for name in format_names() for file in format_named(name).COMPANIONS)
