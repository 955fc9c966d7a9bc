#!/usr/bin/env python3
"""Set up this checkout and run it: needs Python and nothing else.

The first run makes ``.venv`` beside this file and installs the project into it; later runs start at once,
until pyproject.toml or constraints.txt changes. Nothing outside the checkout is touched; removing ``.venv``
undoes it all.

Only the standard library, and only syntax that Python 3.7 reads: an old Python must get as far as the message
about its age.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed-by-run.json"
OLDEST = (3, 11)

# What each command needs installed besides the library itself.
EXTRAS: dict[str, tuple[str, ...]] = {
    "demo": (),
    "test": ("test",),
    "lint": ("test",),
    "docs": ("test",),
    "bench": ("test",),
}

WITH = "install an extra of pyproject.toml too, for example notebook; it stays installed"
HELP = """\
commands:
  demo    investigate the sample captures and say where the pictures and the report are
  test    all tests, with coverage; with arguments, pytest on just those
  lint    ruff, its formatter, mypy and the import rules
  docs    build the documentation into docs/_build/html; a warning is an error
  bench   the benchmarks

examples:
  python3 run.py demo
  python3 run.py test
  python3 run.py test tests/test_case.py -x
  python3 run.py lint --fix                  arguments of lint go to ruff
  python3 run.py --with notebook demo        the notebook kernel too, for working in .venv afterwards

Arguments after the command go to the tool it runs, and that tool's exit code is returned.
"""


class SetupError(Exception):
    """The checkout cannot be set up; the message says what to do."""


def check_python(version: Sequence[int], find: Callable[[str], object] = importlib.util.find_spec) -> None:
    """Raise SetupError where this Python is too old or cannot make virtual environments."""
    oldest = ".".join(map(str, OLDEST))
    if tuple(version[:2]) < OLDEST:
        msg = (
            f"Python {version[0]}.{version[1]} is too old: forensics needs {oldest} or newer.\n"
            f"Start this script with a newer one, for example: python{oldest} run.py demo"
        )
        raise SetupError(msg)
    if find("venv") is None or find("ensurepip") is None:  # Debian ships venv without ensurepip
        msg = (
            "This Python cannot make virtual environments: a part of its standard library is not installed.\n"
            "On Debian and Ubuntu: sudo apt install python3-venv"
        )
        raise SetupError(msg)


def python_of(venv: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def digest(root: Path) -> str:
    """Return what changes whenever the project must be installed anew: its metadata, or its place."""
    parts = [str(root).encode()] + [(root / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def read_stamp(path: Path) -> dict[str, Any]:
    """Return what the last installation noted; empty where there is none or it cannot be read."""
    try:
        stamp = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(path: Path, **stamp: object) -> None:
    """Replace the note of the last installation, in one step."""
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(stamp), encoding="utf-8")
    fresh.replace(path)


def plan(stamp: dict[str, Any], wanted: str, extras: Iterable[str], *, usable: bool) -> str:
    """Say what an environment needs: ``remake``, ``install`` or ``nothing``.

    An installation that was cut short left the state ``installing``: what it holds is anybody's guess, so it
    is made anew. An environment that somebody else made has no stamp: it is installed into, never removed.
    """
    if not usable or stamp.get("state") == "installing":
        return "remake"
    if stamp.get("digest") != wanted or not set(extras) <= set(stamp.get("extras", ())):
        return "install"
    return "nothing"


def usable(venv: Path) -> bool:
    """Say whether the environment's interpreter starts and is new enough."""
    try:
        probe = [str(python_of(venv)), "-c", f"import sys; sys.exit(sys.version_info < {OLDEST})"]
        return subprocess.run(probe, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def execute(*argv: str | Path) -> None:
    """Run one step of the installation; raise SetupError where it fails."""
    if subprocess.run([str(a) for a in argv], check=False, cwd=ROOT).returncode:
        msg = (
            "Installing failed; the message is above. Packages come from the index that pip is set up for:\n"
            "check that it can be reached, and run the same command again."
        )
        raise SetupError(msg)


def install(extras: Iterable[str], wanted: str) -> None:
    """Install the project, editable and with pinned versions, into the environment."""
    names = ",".join(sorted(extras))
    python = python_of(VENV)
    print(f"Installing forensics{f'[{names}]' if names else ''} into {VENV} ...", flush=True)
    started = time.monotonic()
    write_stamp(STAMP, state="installing")
    if subprocess.run([str(python), "-c", "import pip"], check=False, capture_output=True).returncode:  # uv's
        execute(python, "-m", "ensurepip")
    target = f".[{names}]" if names else "."
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--constraint", "constraints.txt"]
    execute(python, "-m", "pip", "install", *options, "--editable", target)
    write_stamp(STAMP, state="done", digest=wanted, extras=sorted(extras))
    print(f"Installed in {time.monotonic() - started:.0f} s.", flush=True)


def ensure_environment(extras: Iterable[str]) -> None:
    """Make the environment, or bring it up to date, where it is not."""
    stamp, wanted = read_stamp(STAMP), digest(ROOT)
    needed = plan(stamp, wanted, extras, usable=usable(VENV))
    if needed == "nothing":
        return
    if needed == "remake":
        if VENV.exists():
            print(f"{VENV} is incomplete: making it anew.", flush=True)
            shutil.rmtree(VENV)
        VENV.mkdir()
        write_stamp(STAMP, state="installing")  # first of all: an environment cut short is known as one
        execute(sys.executable, "-m", "venv", VENV)
    install({*extras, *stamp.get("extras", ())}, wanted)


def steps(command: str, args: Sequence[str], cores: int) -> list[list[str]]:
    """Return the command lines of a command, without the interpreter they start with."""
    pytest = ["-m", "pytest"]
    coverage = ["--cov", *(["-n", str(min(cores, 8)), "--dist", "worksteal"] if cores > 1 else [])]
    lint_imports = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_logo=True))"
    return {
        "demo": [["-m", "forensics", "demo", *args]],
        "test": [[*pytest, *(args or coverage)]],
        "lint": [
            ["-m", "ruff", "check", *args],
            ["-m", "ruff", "format", "--check"],
            ["-m", "mypy"],
            ["-c", lint_imports],
        ],
        "docs": [["-m", "sphinx", "-n", "-W", "--keep-going", "-q", *args, "docs", "docs/_build/html"]],
        "bench": [[*pytest, "tests/benches", "--benchmark-only", *args]],
    }[command]


def run(command: str, args: Sequence[str]) -> int:
    """Run all steps of a command; return the exit code of the first that fails, else 0."""
    codes = []
    for step in steps(command, args, os.cpu_count() or 1):
        shown = " ".join(step if step[0] == "-m" else ["-m", "importlinter"])
        print(f"$ python {shown}", flush=True)
        code = subprocess.run([str(python_of(VENV)), *step], check=False, cwd=ROOT).returncode
        codes.append(code if code >= 0 else 128 - code)  # a signal, as a shell reports it
    return next((code for code in codes if code), 0)


def main(argv: Sequence[str] | None = None) -> int:
    """Set up what the command needs, and run it."""
    parser = argparse.ArgumentParser(
        prog="python3 run.py",
        description="Set up this checkout in .venv (first time: about a minute), then run one command.",
        epilog=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--with", dest="extras", metavar="EXTRA", action="append", default=[], help=WITH)
    parser.add_argument("command", choices=sorted(EXTRAS), metavar="command", help=", ".join(EXTRAS))
    parser.add_argument("args", nargs=argparse.REMAINDER, help="handed on to the tool")
    options = parser.parse_args(argv)
    try:
        check_python(sys.version_info[:2])
        ensure_environment({*EXTRAS[options.command], *options.extras})
        return run(options.command, options.args)
    except SetupError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
