"""The public names: what ``import forensics`` gives, what it costs, and how well it is described."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import time
from pathlib import Path
from types import FunctionType

import pytest

import forensics

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("pandas", "matplotlib", "scipy", "numba", "pyshark", "pyspark", "networkx")
OPTIONAL = ("maxminddb", "stix2", "evtx", "dissect", "itables", "ipykernel", "pyspark")
MODULES = sorted(module.name for module in pkgutil.walk_packages(forensics.__path__, "forensics."))
FUNCTIONS = sorted(name for name in forensics.__all__ if isinstance(getattr(forensics, name), FunctionType))

HIDE = """
import importlib, importlib.abc, json, sys
hidden = set(json.loads(sys.argv[1]))
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in hidden:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
for module in json.loads(sys.argv[2]):
    importlib.import_module(module)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the library in its path, free of what the test process has set up."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_"))}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=120, env=env | {"PYTHONPATH": str(ROOT)}
    )


def test_all_names_are_sorted_and_there() -> None:
    """``__all__`` is sorted, and is what is visible besides modules."""
    visible = {
        name for name in vars(forensics) if not name.startswith("_") and not inspect.ismodule(getattr(forensics, name))
    }

    assert list(forensics.__all__) == sorted(forensics.__all__)
    assert set(forensics.__all__) == visible | {"__version__"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_documented(name: str) -> None:
    """Every public function says in numpydoc form what it takes, each parameter by name, and what it returns."""
    function = getattr(forensics, name)
    text = inspect.getdoc(function) or ""

    assert re.search(r"^Returns\n-{7}$", text, re.MULTILINE)
    described = {
        name for line in re.findall(r"^\*{0,2}[a-z_]+(?:, [a-z_]+)*$", text, re.MULTILINE) for name in line.split(", ")
    }
    stars: dict[object, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    taken = {stars.get(p.kind, "") + p.name for p in inspect.signature(function).parameters.values()}
    assert not taken or re.search(r"^Parameters\n-{10}$", text, re.MULTILINE)
    assert taken <= described


def test_import_is_cheap() -> None:
    """``import forensics`` takes less than four times what NumPy and Arrow take, which it cannot do without.

    The best of five in turn, of processor time: half a second of one machine is a whole one of another.
    """
    program = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"
    ours, theirs = zip(
        *(
            (float(run("-c", program.format(name)).stdout) for name in ("forensics", "numpy, pyarrow"))
            for _ in range(5)
        ),
        strict=True,
    )

    assert min(ours) < 4 * min(theirs)


def test_import_loads_nothing_heavy() -> None:
    """Libraries that take long to import are imported where they are used."""
    loaded = json.loads(run("-c", "import forensics, json, sys; print(json.dumps(list(sys.modules)))").stdout)

    assert not {name.partition(".")[0] for name in loaded} & set(HEAVY)


def test_help_needs_nothing_heavy() -> None:
    """The command line answers before the packet loops and the data frames are loaded."""
    loaded = json.loads(run("-c", "import forensics.cli, json, sys; print(json.dumps(list(sys.modules)))").stdout)

    assert not {"pandas", "numba", "matplotlib", "forensics.packets.engine"} & set(loaded)


def test_recognition_needs_no_data_frames_and_no_packet_loops() -> None:
    """What only captures, exports of flows and results need is not loaded to tell what a file is."""
    program = (
        "from forensics import formats; import json, sys; formats.all_formats(); print(json.dumps([*sys.modules]))"
    )
    loaded = set(json.loads(run("-c", program).stdout))

    assert "forensics.formats.netflow" in loaded
    assert not {"pandas", "scipy.stats", "forensics.packets.engine", "forensics.packets.exported"} & loaded


def test_types_are_published() -> None:
    """The marker that tells type checkers to believe the annotations lies in the package (PEP 561)."""
    assert (Path(forensics.__file__).parent / "py.typed").is_file()


def test_version_on_the_command_line() -> None:
    """``python -m forensics --version`` says the version of the package."""
    assert run("-m", "forensics", "--version").stdout == f"forensics {forensics.__version__}\n"


def test_modules_import_without_optional_packages() -> None:
    """Every module can be imported where only the required packages are installed."""
    run("-c", HIDE, json.dumps(OPTIONAL), json.dumps([name for name in MODULES if name != "forensics.__main__"]))


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_they_are_for(name: str) -> None:
    """Every module has a docstring, and what it offers by name is there."""
    module = importlib.import_module(name)

    assert module.__doc__
    assert all(hasattr(module, offered) for offered in getattr(module, "__all__", ()))


def test_nothing_waits_for_the_network() -> None:
    """The import is over in a moment where no name resolves, too: nothing is looked up."""
    begun = time.monotonic()
    run("-c", "import socket; socket.getaddrinfo = None; socket.socket.connect = None; import forensics")

    assert time.monotonic() - begun < 30
