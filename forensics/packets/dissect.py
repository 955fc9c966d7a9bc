"""Chosen packets in full, every field of every layer, through tshark; for looking closely, not for the bulk.

pyshark drives tshark. It runs in a thread with an event loop of its own, so that a notebook, whose loop is already
running, can use it as well as a script.

References
----------
.. [1] https://www.wireshark.org/docs/dfref/: names of layers and fields.
"""

from __future__ import annotations

import asyncio
import html
import importlib
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forensics.errors import EvidenceError, MissingToolError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import ModuleType

__all__ = ["MAX_FRAMES", "DissectedPacket", "dissect"]

MAX_FRAMES = 10_000
"""Packets that one call takes apart at most; tshark does some hundreds a second."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class DissectedPacket:
    """One packet in full.

    Parameters
    ----------
    number
        Its number in the capture, from 1.
    time
        Its time as seconds since 1970, all digits of the capture kept. [s]
    layers
        Fields by name for every layer, outermost first; a layer met again is numbered (``ip_2``).
    text
        The same for reading: a line per field, control characters taken out.
    """

    number: int
    time: str
    layers: dict[str, dict[str, str]]
    text: str

    def __str__(self) -> str:
        """Return the text."""
        return self.text

    def _repr_html_(self) -> str:
        """Show the packet in a notebook; everything in it may be an attacker's and is escaped."""
        return f"<pre>{html.escape(self.text)}</pre>"


def dissect(path: Path, numbers: Sequence[int], *, decode_as: Mapping[str, str] | None = None) -> list[DissectedPacket]:
    """Take the packets of a small capture apart.

    Parameters
    ----------
    path
        The capture, as `forensics.packets.writing.write_capture` writes it.
    numbers
        The numbers of its packets in the evidence, in their order.
    decode_as
        Protocols of ports, as tshark's ``-d`` has them: ``{"tcp.port==8443": "tls"}``.

    Returns
    -------
    list
        The packets, in their order; where tshark fails on one of them, those before it.

    Raises
    ------
    MissingToolError
        tshark or pyshark is not installed.
    EvidenceError
        tshark cannot read the capture at all.
    ValueError
        More packets than `MAX_FRAMES`.
    """
    if not numbers:
        return []
    if len(numbers) > MAX_FRAMES:
        raise ValueError(f"at most {MAX_FRAMES} packets are taken apart, not {len(numbers)}")
    tool, pyshark = _tools()
    with ThreadPoolExecutor(1, thread_name_prefix="dissect") as worker:
        return worker.submit(_run, pyshark, tool, path, numbers, dict(decode_as or {})).result()


def _tools() -> tuple[str, ModuleType]:
    """Return tshark's path and the pyshark module."""
    tool = shutil.which("tshark")
    if tool is None:
        raise MissingToolError(
            "tshark is not installed: `apt install tshark`, `brew install wireshark`, or wireshark.org"
        )
    try:
        return tool, importlib.import_module("pyshark")
    except ImportError as error:
        raise MissingToolError("pyshark is not installed: `pip install pyshark`") from error


def _run(
    pyshark: ModuleType, tool: str, path: Path, numbers: Sequence[int], decode_as: dict[str, str]
) -> list[DissectedPacket]:
    """Run tshark in this thread, which has no event loop yet."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        capture = pyshark.FileCapture(
            str(path),
            decode_as=decode_as,
            tshark_path=tool,  # else pyshark believes a config.ini that lies in the working folder
            keep_packets=False,
            eventloop=loop,
            custom_parameters=["-n"],  # no look-ups
        )
        return _collect(pyshark, capture, path, numbers)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _collect(
    pyshark: ModuleType,
    capture: Any,  # noqa: ANN401 - pyshark has no types
    path: Path,
    numbers: Sequence[int],
) -> list[DissectedPacket]:
    """Return all packets that tshark gives, those before the one on which it fails."""
    packets: list[DissectedPacket] = []
    crashed = pyshark.capture.capture.TSharkCrashException
    failed: Exception | None = None
    try:
        for packet, number in zip(_packets(capture), numbers, strict=False):
            packets.append(_dissected(packet, number))
    except crashed as error:
        failed = error
    closed = _close(capture, crashed)
    failed = failed or closed
    if failed is not None and not packets:
        raise EvidenceError(path.name, f"tshark cannot read it: {failed}")
    return packets


def _close(capture: Any, crashed: type[Exception]) -> Exception | None:  # noqa: ANN401 - pyshark has no types
    """Close a pyshark capture; return the error where tshark had ended with one."""
    try:
        capture.close()
    except crashed as error:
        capture._running_processes.clear()  # noqa: SLF001 - else pyshark ends them again once the loop is closed
        capture.close()
        return error
    return None


def _packets(capture: Any) -> Iterator[Any]:  # noqa: ANN401 - pyshark has no types
    """Yield the packets of a pyshark capture."""
    while True:
        try:
            yield capture.next()
        except StopIteration:
            return


def _dissected(packet: Any, number: int) -> DissectedPacket:  # noqa: ANN401 - pyshark has no types
    """Copy what pyshark says about a packet into plain strings."""
    layers: dict[str, dict[str, str]] = {}
    lines = [f"packet {number} at {packet.sniff_timestamp}"]
    for layer in packet.layers:
        name = _free_name(layer.layer_name, layers)
        fields = {}
        lines.append(name)
        for field in layer.field_names:
            value = layer.get_field(field)
            fields[field] = _clean(value.show or "")
            lines.append("    " + _clean(value.showname or f"{field}: {value.show}"))
        layers[name] = fields
    return DissectedPacket(number, str(packet.sniff_timestamp), layers, "\n".join(lines))


def _free_name(name: str, taken: Mapping[str, object]) -> str:
    """Number a layer's name where the packet has it already."""
    free, count = name, 1
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free


def _clean(text: str) -> str:
    """Take control characters out, so that a packet cannot write to the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
