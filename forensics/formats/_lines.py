"""Logs of one record a line: read in bounded memory, whatever the length of a line.

Example::

    yield from read_lines(evidence, rows, add)

where ``add(number, line)`` puts what the line holds into ``rows``.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from forensics.errors import EvidenceError
from forensics.formats._encodings import text_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from forensics.formats import Evidence
    from forensics.rows import Rows

__all__ = ["MAX_LINE", "complete_lines", "lines", "read_lines", "text_of"]

MAX_LINE = 1 << 20
"""Longest line that is read; a longer one becomes one reject. [B]"""

CHUNK = 1 << 20
"""How much is read at once. [B]"""

CHECK_EVERY = 1024
"""Lines after which it is asked whether a batch is full; asking at every line would cost more than reading it."""

BOM = b"\xef\xbb\xbf"


def lines(evidence: Evidence) -> Iterator[tuple[int, bytes]]:
    r"""Yield number and bytes of every line, without its ``\n`` or ``\r\n``.

    A line of more than `MAX_LINE` bytes comes cut to a length above `MAX_LINE`, by which it is known. A last line
    without line end is yielded and mentioned in ``evidence.notes["truncated"]``.

    Raises
    ------
    forensics.errors.EvidenceError
        Where the stream does, after the last line before the damage was yielded.
    """
    stream, number, carry = text_stream(evidence), 0, b""
    damage: EvidenceError | None = None
    while damage is None:
        try:
            chunk = stream.read(CHUNK)
        except EvidenceError as error:
            damage, chunk = error, b""
        if not chunk:
            break
        parts = chunk.split(b"\n")
        # Two bytes above the limit: one that shows the excess, one for a "\r" that is no part of the line.
        parts[0] = (carry + parts[0])[: MAX_LINE + 2]
        carry = parts.pop()
        for number, part in enumerate(parts, number + 1):  # noqa: B020 - numbering goes on where it stood
            yield number, _bare(part, number)
    if carry:
        evidence.notes["truncated"] = f"line {number + 1}, the last, has no line end"
        yield number + 1, _bare(carry, number + 1)
    if damage is not None:
        raise damage


def _bare(line: bytes, number: int) -> bytes:
    r"""Return a line without ``\r`` at its end and, where it is the first, without byte order mark."""
    if line.endswith(b"\r"):
        line = line[:-1]
    return line.removeprefix(BOM) if number == 1 else line


def read_lines(
    evidence: Evidence, rows: Rows, add: Callable[[int, bytes], None]
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the batches that `add` fills `rows` with, line by line; blank lines are passed over.

    What was read before a damage of the stream is yielded before its error is raised. Lines that are no blanks are
    counted in ``evidence.notes["records"]``.
    """
    evidence.notes["records"] = 0
    records = 0
    try:
        for number, line in lines(evidence):
            if not line or line.isspace():
                continue
            records += 1
            if len(line) > MAX_LINE:
                rows.reject(evidence.source, number, f"line longer than {MAX_LINE >> 20} MiB", line)
            else:
                add(number, line)
            if not records % CHECK_EVERY and rows.full:
                yield from rows.drain()
    except EvidenceError:
        yield from rows.drain()
        raise
    finally:
        evidence.notes["records"] = records
    yield from rows.drain()


def complete_lines(head: bytes, limit: int) -> list[bytes]:
    """Return the first non-blank lines of a file's head, at most `limit`; a cut line only where it is the only one."""
    parts = head.split(b"\n")
    if len(parts) > 1:
        parts.pop()  # cut by the end of the head, or empty after the last line end
    found = (_bare(part, number) for number, part in enumerate(parts, 1))
    return list(islice((line for line in found if line and not line.isspace()), limit))


def text_of(line: bytes) -> str:
    r"""Return a line as text; bytes that are not UTF-8 become ``\xNN``."""
    return line.decode("utf-8", "backslashreplace")
