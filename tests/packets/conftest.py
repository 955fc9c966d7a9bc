"""The packet engine twice, compiled and as plain Python, and a writer of captures."""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from forensics.formats import Evidence

if TYPE_CHECKING:
    from types import ModuleType

Rows = dict[str, list[dict[str, Any]]]

SAMPLES = Path(__file__).resolve().parents[2] / "sample_pcaps" / "formats"
MODULES: tuple[str, ...] = (
    "_jit",
    "activity",
    "applications",
    "assembly",
    "columns",
    "containers",
    "decode",
    "engine",
    "exchanges",
    "find",
    "framing",
    "hashing",
    "http_framing",
    "layout",
    "pipeline",
    "protocols.aes",
    "protocols.certificates",
    "protocols.dns",
    "protocols.http",
    "protocols.quic",
    "protocols.socks",
    "protocols.streams",
    "protocols.tls",
    "tcp",
)


class Build:
    """One build of the engine: its modules, freshly imported, and a way to read captures with it."""

    def __init__(self, *, plain: bool) -> None:
        kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.startswith("forensics.packets")}
        before = os.environ.pop("FORENSICS_JIT", None)
        if plain:
            os.environ["FORENSICS_JIT"] = "0"
        self.modules = {
            name.rpartition(".")[2]: importlib.import_module(f"forensics.packets.{name}") for name in MODULES
        }
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


def _make_captures() -> ModuleType:
    """Import the program that makes the samples."""
    spec = importlib.util.spec_from_file_location("make_captures", SAMPLES / "make_captures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make() -> ModuleType:
    """Return the program that makes the samples: a writer of packets and captures."""
    return _make_captures()


@pytest.fixture(scope="session")
def samples() -> dict[str, bytes]:
    """Return all samples of captures by name, as they lie in the project."""
    return {p.name: p.read_bytes() for folder in ("pcap", "pcapng") for p in sorted((SAMPLES / folder).glob("*.pcap*"))}
