r"""Text of any encoding becomes UTF-8 on its way in, line by line; what cannot be decoded becomes ``\xNN``.

Example: ``text_stream(evidence).read(1 << 20)`` is UTF-8, whatever the file is.

All cutting happens on UTF-8: in cp932 the second byte of a character may be a backslash, in UTF-16 every byte may be
anything. A reject shows the bytes of the evidence, not ours: `Originals` gives them back.

References
----------
.. [1] Microsoft code page 932, https://www.unicode.org/Public/MAPPINGS/VENDORS/MICSFT/WINDOWS/CP932.TXT
.. [2] RFC 1922, *Chinese Character Encoding*; RFC 1468, *Japanese Character Encoding* (what is not supported, and why:
   an escape in one line changes the meaning of the next ones).
"""

from __future__ import annotations

import codecs
import re
from collections import deque
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

import numpy as np
import pyarrow as pa

from forensics.errors import EvidenceError
from forensics.rows import RAW_BYTES

if TYPE_CHECKING:
    from forensics.formats import Evidence, Hints

__all__ = ["Originals", "decoded", "encoding_of", "known_encoding", "read_into", "restored", "text_stream", "utf8_head"]

HEAD = 64 * 1024
"""How much of a file tells its encoding. [B]"""

CHUNK = 1 << 20
"""How much is decoded at once, with the rest of the line that it ends in. [B]"""

LONGEST = 1 << 22
"""A line longer than this is decoded in pieces. [B]"""

KEPT = 128
"""Chunks kept of which the bytes cannot be made from their text; as much as the blocks that are on their way."""

BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_WIDE = {"utf-16-le": "<u2", "utf-16-be": ">u2"}
_JAPANESE = re.compile("[\u3041-\u30fa\u3005\u4e00-\u9fff]")  # kana of full width, kanji
_PLAIN = bytes(range(9, 14)) + bytes(range(32, 127))


def known_encoding(name: str) -> str:
    """Return the name by which an encoding goes here.

    Raises
    ------
    ValueError
        It is not known, or its lines cannot be told apart before it is decoded.
    """
    try:
        found = codecs.lookup(name).name
        if found in ("utf-16", "utf-8-sig"):
            return {"utf-16": "utf-16-le", "utf-8-sig": "utf-8"}[found]
        stateful = found.startswith(("iso2022", "hz", "utf-7"))
        usable = found in _WIDE or (not stateful and _PLAIN.decode(found).encode("ascii") == _PLAIN)
    except (LookupError, UnicodeError, ValueError):
        usable, found = False, name
    if not usable:
        raise ValueError(f"encoding {name!r} is not one that logs use: utf-8, utf-16-le, cp932, euc-jp, cp1252")
    return found


@lru_cache(maxsize=2)  # every format asks for the same file
def encoding_of(head: bytes, hint: str | None = None) -> str:
    """Return the encoding of a file by its first bytes.

    A byte order mark decides, then the hint, then the zeros of UTF-16. What is not UTF-8 then is cp932 or EUC-JP if
    nine of ten lines can be read so and hold kana or kanji, of both the one with more of them; else UTF-8 with escapes.

    Parameters
    ----------
    head
        The first bytes of the file.
    hint
        What the analyst says.
    """
    marked = next((name for mark, name in BOMS if head.startswith(mark)), None)
    if marked is not None and (hint is None or hint in _WIDE or marked == "utf-8"):
        return marked
    if hint is not None:
        return hint
    if b"\0" in head:
        return _wide(head) or "utf-8"
    whole = head[: head.rfind(b"\n") + 1] or head
    if _mostly_utf8(whole):
        return "utf-8"
    most, name = max(((_japanese(whole, name), name) for name in ("cp932", "euc_jp")), key=lambda one: one[0])
    return name if most else "utf-8"


def _mostly_utf8(data: bytes) -> bool:
    """Tell whether half of the lines that are not ASCII are UTF-8: one hostile line decides nothing."""
    lines = [line for line in data.split(b"\n") if not line.isascii()]
    return sum(_text(line, "utf-8") is not None for line in lines) * 2 >= len(lines)


def _japanese(data: bytes, encoding: str) -> int:
    """Return how many kana and kanji bytes hold in an encoding; none where a tenth of the lines cannot be read so."""
    texts = [_text(line, encoding) for line in data.split(b"\n") if not line.isascii()]
    readable = [text for text in texts if text is not None]
    return len(_JAPANESE.findall("\n".join(readable))) if len(readable) * 10 >= len(texts) * 9 else 0


def _wide(head: bytes) -> str | None:
    """Return which UTF-16 a file without byte order mark is: a third of a log's characters are ASCII."""
    units = np.frombuffer(head[: len(head) // 2 * 2], "<u2")
    for name, values in (("utf-16-le", units), ("utf-16-be", units.byteswap())):
        plain = ((values >= 32) & (values < 127)) | ((values >= 9) & (values <= 13))
        if len(units) and int(plain.sum()) * 3 >= len(units):
            return name
    return None


def _text(line: bytes, encoding: str) -> str | None:
    """Return a line as text, None where it is not of that encoding; its last character may be cut."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(line)
    except UnicodeError:
        return None


def decoded(data: bytes, encoding: str) -> str:
    r"""Return bytes as text without byte order mark; what cannot be decoded becomes ``\xNN``."""
    return data.decode(encoding, "backslashreplace").removeprefix("\ufeff")


def utf8_head(head: bytes, hints: Hints) -> bytes:
    """Return the first bytes of a file as UTF-8, as its formats will read them."""
    encoding = encoding_of(head, hints.encoding)
    return head if encoding == "utf-8" else _recoded(head, encoding)


@lru_cache(maxsize=2)
def _recoded(head: bytes, encoding: str) -> bytes:
    return decoded(head, encoding).encode("utf-8", "backslashreplace")


class _Chunk(NamedTuple):
    """Lines of which the bytes cannot be made from their text."""

    first: int
    lines: list[bytes]


class Originals:
    """The bytes of the evidence behind lines that were decoded.

    Parameters
    ----------
    encoding
        Encoding of the evidence.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._kept: deque[_Chunk] = deque(maxlen=KEPT)
        self._lock = Lock()

    def keep(self, first: int, raw: bytes, text: bytes) -> None:
        """Keep the bytes of some lines, where they are not what their text gives when it is encoded again."""
        if _encoded(text, self._encoding) != raw:
            lines = _split(raw, self._encoding)
            with self._lock:
                self._kept.append(_Chunk(first, lines[:-1] if text.endswith(b"\n") else lines))

    def of(self, number: int, line: bytes) -> bytes:
        """Return the bytes of the evidence for the text of a line, or for its beginning.

        Parameters
        ----------
        number
            The line's number; where it does not fit the text, the text alone counts.
        line
            The text, in UTF-8.
        """
        with self._lock:
            chunk = next((c for c in self._kept if c.first <= number < c.first + len(c.lines)), None)
        if chunk is not None:
            raw = chunk.lines[number - chunk.first]
            if decoded(raw, self._encoding).encode("utf-8", "backslashreplace").startswith(line):
                return raw
        return _encoded(line, self._encoding) or line


def _encoded(text: bytes, encoding: str) -> bytes | None:
    """Return text of ours in another encoding, None where it has characters that this does not have."""
    try:
        return text.decode("utf-8", "ignore").encode(encoding)
    except UnicodeError:
        return None


def _split(raw: bytes, encoding: str) -> list[bytes]:
    """Return lines without their line ends."""
    if encoding not in _WIDE:
        return raw.split(b"\n")
    places = np.flatnonzero(np.frombuffer(raw[: len(raw) // 2 * 2], _WIDE[encoding]) == 10).tolist()
    starts = [0, *(2 * place + 2 for place in places)]
    ends = [*(2 * place for place in places), len(raw)]
    return [raw[start:end] for start, end in zip(starts, ends, strict=True)]


class _Utf8:
    """A stream of UTF-8 over one of another encoding; what it hands out are whole lines."""

    def __init__(self, stream: BinaryIO, encoding: str, originals: Originals) -> None:
        self._stream, self._encoding, self._originals = stream, encoding, originals
        self._carry, self._ready, self._at = b"", b"", 0
        self._number, self._ended = 1, False
        self._damage: EvidenceError | None = None

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, fewer than asked for only at the end of the file."""
        parts: list[bytes] = []
        wanted = size
        while wanted:
            if self._at >= len(self._ready) and not self._fill():
                break
            part = self._ready[self._at : self._at + wanted] if wanted > 0 else self._ready[self._at :]
            self._at += len(part)
            wanted -= len(part) if wanted > 0 else 0
            parts.append(part)
        if not parts and self._damage is not None:
            raise self._damage
        return b"".join(parts)

    def _fill(self) -> bool:
        """Decode the next lines; tell whether there were any."""
        ends = 0
        while not ends and not self._ended:
            ends = self._lines_end(self._carry)
            if ends and len(self._carry) >= CHUNK:
                break
            try:
                more = self._stream.read(CHUNK)
            except EvidenceError as error:  # what came before it is read first
                self._damage, more = error, b""
            self._ended = not more
            self._carry += more
            ends = len(self._carry) if self._ended else self._lines_end(self._carry)
        raw, self._carry = self._carry[:ends], self._carry[ends:]
        text = decoded(raw, self._encoding) if self._number == 1 else raw.decode(self._encoding, "backslashreplace")
        # Half of a pair that UTF-16 needs, written alone, is decoded by some codecs and can be encoded by none.
        self._ready, self._at = text.encode("utf-8", "backslashreplace"), 0
        self._originals.keep(self._number, raw, self._ready)
        self._number += self._ready.count(b"\n")
        return bool(raw)

    def _lines_end(self, raw: bytes) -> int:
        """Return where the last whole line ends; a line that has no end in sight ends where a character may."""
        if self._encoding in _WIDE:
            found = np.flatnonzero(np.frombuffer(raw[: len(raw) // 2 * 2], _WIDE[self._encoding]) == 10)
            end = 2 * int(found[-1]) + 2 if len(found) else 0
        else:
            end = raw.rfind(b"\n") + 1
        return end or (len(raw) // 4 * 4 if len(raw) > LONGEST else 0)


class _Joined:
    """What was read of a stream, and the rest of it."""

    def __init__(self, head: bytes, stream: BinaryIO, damage: EvidenceError | None) -> None:
        self._head, self._stream, self._damage = head, stream, damage

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, of the head alone where there are some left; what failed before fails again."""
        if not self._head:
            if self._damage is not None:
                raise self._damage
            return self._stream.read(size)
        part, self._head = (self._head, b"") if size < 0 else (self._head[:size], self._head[size:])
        return part

    def readinto(self, room: memoryview) -> int:
        """Put the next bytes where they are wanted, and return how many; what failed before fails again."""
        if not self._head and self._damage is None:
            return read_into(self._stream, room)
        part = self.read(len(room))
        room[: len(part)] = part
        return len(part)


def read_into(stream: BinaryIO, room: memoryview) -> int:
    """Put the next bytes of a stream where they are wanted, without a copy where it can, and return how many."""
    if readinto := getattr(stream, "readinto", None):
        return int(readinto(room))
    part = stream.read(min(len(room), CHUNK))
    room[: len(part)] = part
    return len(part)


def text_stream(evidence: Evidence) -> BinaryIO:
    """Return a file's bytes as UTF-8; of a file that is UTF-8 as they are.

    Notes get ``encoding`` where it is another, and rejects will show the original bytes.

    Parameters
    ----------
    evidence
        The file, of which nothing was read before.
    """
    head, damage, part = b"", None, b"?"
    while part and len(head) < HEAD:  # a stream may give few bytes at once, and the encoding must not depend on that
        try:
            part = evidence.stream.read(HEAD - len(head))
        except EvidenceError as error:
            damage, part = error, b""
        head += part
    joined = cast("BinaryIO", _Joined(head, evidence.stream, damage))
    hint = evidence.hints.encoding
    encoding = encoding_of(head, hint)
    if encoding == "utf-8":
        return joined
    evidence.notes["encoding"] = encoding
    evidence.notes["encoding_from"] = "the hint" if encoding == hint else "its first bytes"
    originals = Originals(encoding)
    evidence.originals.append(originals)
    return cast("BinaryIO", _Utf8(joined, encoding, originals))


def restored(rejects: pa.RecordBatch, originals: Originals) -> pa.RecordBatch:
    """Return rows of ``rejects`` with the bytes of the evidence in place of their text."""
    place = rejects.schema.get_field_index("raw")
    pairs = zip(rejects.column("record").to_pylist(), rejects.column("raw").to_pylist(), strict=True)
    raw = [(line and number and originals.of(number, line)[:RAW_BYTES]) or line for number, line in pairs]
    return rejects.set_column(place, rejects.schema.field(place), pa.array(raw, rejects.schema.field(place).type))
