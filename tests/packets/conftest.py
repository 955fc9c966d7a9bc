"""The packet engine twice, compiled and as plain Python, and a writer of captures."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import sys
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from forensics.formats import Evidence
from forensics.packets import _jit

if TYPE_CHECKING:
    from types import ModuleType

Rows = dict[str, list[dict[str, Any]]]

SAMPLES = Path(__file__).resolve().parents[2] / "sample_pcaps" / "formats"
MODULES: tuple[str, ...] = (
    "_jit",
    "activity",
    "applications",
    "arrays",
    "assembly",
    "collecting",
    "columns",
    "containers",
    "conversations",
    "decode",
    "dialogues",
    "engine",
    "ethertypes",
    "exchanges",
    "flights",
    "framing",
    "harvest",
    "hashing",
    "http_framing",
    "index",
    "joining",
    "labels",
    "layout",
    "links",
    "lookups",
    "opening",
    "pipeline",
    "protocols.aes",
    "protocols.certificates",
    "protocols.client_hellos",
    "protocols.dns",
    "protocols.http",
    "protocols.http_columns",
    "protocols.quic",
    "protocols.socks",
    "protocols.streams",
    "protocols.tls",
    "seek",
    "sequences",
    "tcp",
    "telling",
    "texts",
    "together",
    "wireless",
)


def _import_modules() -> dict[str, ModuleType]:
    """Return the modules of the engine by name."""
    return {name.rpartition(".")[2]: importlib.import_module(f"forensics.packets.{name}") for name in MODULES}


class Build:
    """One build of the engine: its modules, and a way to read captures with it.

    They are the library's own where it is of that build, else freshly imported: numba finds nothing on disk for those,
    since its cache knows arguments by their class, and `layout.Tables` imported anew is another class.
    """

    def __init__(self, *, plain: bool) -> None:
        if plain != _jit.COMPILED:
            self.modules = _import_modules()
            return
        kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("forensics.packets")}
        before = os.environ.pop("FORENSICS_JIT", None)
        if plain:
            os.environ["FORENSICS_JIT"] = "0"
        self.modules = _import_modules()
        os.environ.pop("FORENSICS_JIT", None)
        if before is not None:
            os.environ["FORENSICS_JIT"] = before
        for name in [name for name in sys.modules if name.startswith("forensics.packets")]:
            del sys.modules[name]
        sys.modules.update(kept)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - a module
        """Return one of the modules."""
        if name not in self.modules:
            raise AttributeError(name)
        return self.modules[name]

    def read(self, data: bytes, **options: object) -> tuple[Rows, dict[str, Any]]:
        """Return the rows of a capture by table, and its notes."""
        evidence = Evidence(io.BytesIO(data), "sample", "sensor")
        rows: Rows = defaultdict(list)
        for table, batch in self.pipeline.read_capture(evidence, self.layout.FlowOptions(**options)):
            rows[table].extend(batch.to_pylist())
        return rows, evidence.notes

    @cached_property
    def empty_tables(self) -> Any:  # noqa: ANN401 - a type of this build
        """Arrays of an engine, for what looks at single packets."""
        return self.arrays.new_tables(self.layout.FlowOptions())

    def network(self, data: bytes, start: int, end: int, link: int) -> tuple[int, int]:
        """Return EtherType and place of the network layer of the packet from ``start`` to ``end``."""
        layout, tables = self.layout, self.empty_tables
        tables.cursor[layout.N_FRAMES] = 1
        tables.frames[0, [layout.Q_START, layout.Q_END, layout.Q_LINK]] = start, end, link
        tables.frames[0, layout.FR_TYPE] = layout.UNKNOWN
        self.links.find_networks(np.frombuffer(data, dtype=np.uint8), tables)
        return int(tables.frames[0, layout.FR_TYPE]), int(tables.frames[0, layout.FR_AT])

    def framed(self, data: bytes) -> list[list[int]]:
        """Return the packets of a capture as framing sees them, columns ``layout.Q_*``, up to its end or a damage."""
        layout, container = self.layout, self.opening.Container()
        tables = self.empty_tables
        cursor = tables.cursor
        cursor[:] = 0
        buffer = np.frombuffer(data, dtype=np.uint8)
        found: list[list[int]] = []

        def peek(size: int) -> bytes:
            return data[int(cursor[layout.AT]) :][:size]

        try:
            cursor[layout.AT] += container.begin(peek, cursor)
            status = layout.GO_ON
            while status in {layout.GO_ON, layout.NEED_CONTROL}:
                if status == layout.NEED_CONTROL:
                    cursor[layout.AT] += container.take_block(peek, cursor)
                tables = tables._replace(interfaces=container.section.interfaces)
                m, status = self.assembly.frame_next(buffer, cursor, tables.frames, tables.interfaces, layout.BATCH)
                cursor[layout.NUMBER] += m
                found += tables.frames[:m].tolist()
        except self.containers.BadContainerError:
            pass
        return found

    def flows(self, data: bytes, **options: object) -> list[dict[str, Any]]:
        """Return the flows of a capture, in the order of their first packets."""
        return sorted(self.read(data, **options)[0]["flows"], key=lambda row: row["record"])


@pytest.fixture(scope="session")
def plain() -> Build:
    """Return the engine as plain Python, in which bounds are checked and coverage is seen."""
    build = Build(plain=True)
    assert not build.modules["_jit"].COMPILED
    return build


@pytest.fixture(scope="session")
def compiled() -> Build:
    """Return the engine as users have it."""
    build = Build(plain=False)
    if not build.modules["_jit"].COMPILED:
        pytest.skip("numba is not installed, or switched off")
    return build


def _program(name: str) -> ModuleType:
    """Import a program that makes samples; they import each other by name."""
    spec = importlib.util.spec_from_file_location(name, SAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make() -> ModuleType:
    """Return the program that makes the samples: a writer of packets and captures."""
    return _program("make_captures")


@pytest.fixture(scope="session")
def make_links(make: ModuleType) -> ModuleType:
    """Return the program that makes the samples of link layers and containers."""
    return _program("make_link_captures")


@pytest.fixture(scope="session")
def samples() -> dict[str, bytes]:
    """Return all samples of captures by name, as they lie in the project."""
    found = [p for folder in ("pcap", "pcapng", "snoop") for p in sorted((SAMPLES / folder).iterdir())]
    return {p.name: p.read_bytes() for p in found if p.suffix in {".pcap", ".pcapng", ".snoop"}}
