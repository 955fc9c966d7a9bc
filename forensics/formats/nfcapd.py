"""nfcapd files: what nfdump's collectors keep of NetFlow, read through nfdump where it is installed.

Example of the first bytes, little-endian, layout 2::

    0ca5 0200 0001 0701 dc2f 036b 0000 0000

nfdump is asked for one line a record; what the lines become is the same as of `forensics.formats.nfdump`, but that
times have milliseconds and are UTC.

==============================  ===================================================================================
nfdump's field                  becomes
==============================  ===================================================================================
%ts, %te                        ``start``, ``end``
%sa, %sp, %da, %dp, %pr         ``src``, ``src_port``, ``dst``, ``dst_port``, ``proto``
%ibyt, %ipkt                    ``bytes_out``, ``packets_out`` where they are above 0; ``bytes_kind`` is ``ip``
%obyt, %opkt                    ``bytes_in``, ``packets_in`` where they are above 0
==============================  ===================================================================================

``record`` is the number of the record as nfdump prints them. It prints 0 for what a record does not have: such a count,
and the ports of a protocol without ports, are null, and a record without a time is a reject.

Traps: the layout of these files changes between versions of nfdump, which is why nfdump reads them; a newer one reads
older files, not the other way round. Its ``%tsr`` and ``%ter`` print the wrong milliseconds in version 1.7.1. A row is
one direction. nfcapd multiplies sampled counts by the rate that their exporters tell. The version of nfdump is in the
notes; what it complains about is the error of the source. nfcapd counts, for each exporter, where sequence numbers
broke, and not what was missing or when: such a count is one gap of the kind ``sequence``, without times; an exporter
that began anew counts too.

References
----------
.. [1] nfdump, *nfdump.1* and *nfcapd.1*, https://github.com/phaag/nfdump
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC
from io import BufferedReader, RawIOBase
from typing import IO, TYPE_CHECKING, Any, cast

from forensics.errors import EvidenceError, MissingToolError
from forensics.formats._blocks import blocks, in_order
from forensics.formats._copied import copied_to_disk
from forensics.formats._delimited import Dialect, delimited
from forensics.formats._nfdump_rows import Layout, sheet_of
from forensics.formats._sheet import Vocabularies
from forensics.formats._stamps import compile_stamp
from forensics.formats._zones import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    import pyarrow as pa

    from forensics.formats import Evidence, Hints

__all__ = ["COMPANIONS", "EXACT_VOLUMES", "NAME", "OBSERVES", "PROGRAM", "STAMP", "TITLE", "declines", "parse"]

NAME = "nfcapd"
TITLE = "nfcapd flow file"
COMPANIONS: tuple[str, ...] = ()
EXACT_VOLUMES = False
STAMP = "window"
OBSERVES = ("out", "in")
PROGRAM = "nfdump"
"""What has to be installed to read it."""

MAGIC = (b"\x0c\xa5", b"\xa5\x0c")
COLUMNS = (
    "start", "end", "proto", "src", "src_port", "dst", "dst_port", "packets", "bytes", "packets_back", "bytes_back",
)  # fmt: skip
TIMES = "%Y-%m-%d%H:%M:%S.%f"
PRINTED = "fmt:%ts,%te,%pr,%sa,%sp,%da,%dp,%ipkt,%ibyt,%opkt,%obyt"
CHUNK = 1 << 20
_EXPORTER = re.compile(r"IP: +(\S+), version: (\d+), ID: +(\d+), Sequence failures: (\d+)")


def declines(head: bytes, hints: Hints) -> str | None:  # noqa: ARG001 - the protocol's signature
    """Say why a file is none of nfcapd, or None where it is."""
    if head[:2] not in MAGIC or len(head) < 4:
        return "it does not begin with nfcapd's number A50C"
    version = int.from_bytes(head[2:4], "little" if head.startswith(MAGIC[0]) else "big")
    return None if version in (1, 2) else f"nfcapd files of layout {version} are not known"


def parse(evidence: Evidence) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield flows and rejects; see `forensics.formats.Format.parse`.

    Raises
    ------
    forensics.errors.MissingToolError
        nfdump is not installed.
    forensics.errors.EvidenceError
        nfdump cannot read the file to its end, or the stream is damaged; after the rows before that.
    """
    program = shutil.which(PROGRAM)
    if program is None:
        raise MissingToolError("nfcapd files are read through nfdump: apt install nfdump")
    layout = Layout({name: place for place, name in enumerate(COLUMNS)}, len(COLUMNS), compile_stamp(TIMES))
    evidence.notes["nfdump"] = _version(program)
    evidence.notes["records"] = 0
    words, commas = Vocabularies(), Dialect(b",")
    clock = Clock(replace(evidence, notes={}), zone_of_log=UTC)
    with copied_to_disk(evidence) as (path, copy), _printed(program, path, evidence.source) as lines:
        cuts = (delimited(block, commas, layout.width) for block in blocks(replace(evidence, stream=lines)))
        for batches in in_order(lambda cut: list(sheet_of(cut, layout, evidence, clock, words.own).batches()), cuts):
            yield from batches
        _tell_breaks(program, path, evidence)
    copy.check()


def _version(program: str) -> str:
    """Return what nfdump says of itself."""
    told = subprocess.run([program, "-V"], capture_output=True, check=False, text=True, errors="replace")
    return told.stdout.strip().rpartition(" ")[2][:100]


def _tell_breaks(program: str, path: str, evidence: Evidence) -> None:
    """Tell of the breaks that nfcapd counted when it wrote the file."""
    told = subprocess.run([program, "-E", path], capture_output=True, check=False, text=True, errors="replace")
    for exporter, version, number, failures in _EXPORTER.findall(told.stdout):
        if int(failures):
            who = f"source {number} (version {version}) of {exporter}"
            met = f"nfcapd met breaks in the sequence numbers of {who}: {int(failures):,}"
            evidence.gap("sequence", None, None, f"{met}; there it lost datagrams, or the exporter began anew")


@contextmanager
def _printed(program: str, path: str, source: str) -> Iterator[BinaryIO]:
    """Yield what nfdump prints of a file; raise where it fails, once all was read."""
    command = [program, "-q", "-N", "-6", "-r", path, "-o", PRINTED]
    quiet = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, env=quiet) as process,
    ):
        try:
            yield cast("BinaryIO", BufferedReader(_Unpadded(cast("IO[bytes]", process.stdout)), CHUNK))
            code = process.wait()
        finally:
            process.kill()  # where the reader of its rows wants no more of them
        complaints.seek(0)
        said = complaints.read(500).decode("utf-8", "replace").strip().replace(path, "it")
        if code:
            raise EvidenceError(source, f"nfdump cannot read it to its end (exit code {code}): {said}")
        if said:
            raise EvidenceError(source, f"nfdump complains: {said}")


class _Unpadded(RawIOBase):
    """Lines without the blanks that nfdump aligns its columns with."""

    def __init__(self, lines: IO[bytes]) -> None:
        self._lines = lines

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """Read some bytes."""
        view = memoryview(buffer).cast("B")
        while data := self._lines.read(len(view)):
            data = data.translate(None, b" ")
            if data:
                view[: len(data)] = data
                return len(data)
        return 0
