"""run.py: what it says on an unfit Python, and when it installs, remakes or leaves the environment alone."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

SCRIPT = Path(__file__).resolve().parents[1] / "run.py"
NOT_EMPTY = object()


@pytest.fixture
def run() -> ModuleType:
    """Return run.py as a module of its own, so that a test may change its constants."""
    spec = importlib.util.spec_from_file_location("run_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_old_python_is_told_its_version_and_the_needed_one(run: ModuleType) -> None:
    """The message names both versions and a command that would work."""
    with pytest.raises(run.SetupError, match=r"(?s)3\.10 is too old.*3\.11 or newer.*python3\.11 run\.py"):
        run.check_python((3, 10))


@pytest.mark.parametrize("version", [(3, 11), (3, 14), (4, 0)])
def test_a_new_python_is_accepted(run: ModuleType, version: tuple[int, int]) -> None:
    """The oldest supported Python and every newer one pass."""
    run.check_python(version, lambda _: NOT_EMPTY)


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_the_package(run: ModuleType, missing: str) -> None:
    """Debian keeps venv's parts in a package of its own, and the message names it."""
    with pytest.raises(run.SetupError, match="apt install python3-venv"):
        run.check_python((3, 11), lambda name: None if name == missing else NOT_EMPTY)


DONE = {"state": "done", "digest": "abc", "extras": ["test"]}


@pytest.mark.parametrize(
    ("stamp", "extras", "usable", "expected"),
    [
        (DONE, {"test"}, True, "nothing"),
        (DONE, set(), True, "nothing"),
        (DONE, {"test", "spark"}, True, "install"),
        (DONE | {"digest": "old"}, {"test"}, True, "install"),
        ({}, set(), True, "install"),
        ({"state": "installing"}, set(), True, "remake"),
        (DONE, {"test"}, False, "remake"),
        ({}, set(), False, "remake"),
    ],
    ids=[
        "as wanted",
        "more than wanted",
        "an extra is missing",
        "the project changed",
        "made by somebody else",
        "cut short",
        "its interpreter is gone",
        "no environment",
    ],
)
def test_plan(run: ModuleType, stamp: dict[str, object], extras: set[str], usable: bool, expected: str) -> None:
    """An environment is left alone, installed into or made anew, by what its stamp says."""
    assert run.plan(stamp, "abc", extras, usable=usable) == expected


def test_a_stamp_is_read_as_written(run: ModuleType, tmp_path: Path) -> None:
    """What one run notes, the next one reads, and no half-written file is left beside it."""
    path = tmp_path / "stamp.json"

    run.write_stamp(path, **DONE)

    assert run.read_stamp(path) == DONE
    assert [p.name for p in tmp_path.iterdir()] == ["stamp.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x00"])
def test_a_damaged_stamp_is_no_stamp(run: ModuleType, tmp_path: Path, content: str) -> None:
    """Whatever the file holds, reading it does not fail."""
    path = tmp_path / "stamp.json"
    path.write_text(content, encoding="utf-8")

    assert run.read_stamp(path) == {}


def test_the_digest_follows_metadata_and_place(run: ModuleType, tmp_path: Path) -> None:
    """Changed dependencies, changed versions and a moved checkout each ask for a new installation."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pyproject.toml").write_text("a", encoding="utf-8")
        (tmp_path / name / "constraints.txt").write_text("b", encoding="utf-8")
    seen = {run.digest(tmp_path / "one"), run.digest(tmp_path / "two")}
    (tmp_path / "one" / "constraints.txt").write_text("c", encoding="utf-8")
    seen.add(run.digest(tmp_path / "one"))
    (tmp_path / "one" / "pyproject.toml").write_text("d", encoding="utf-8")
    seen.add(run.digest(tmp_path / "one"))

    assert len(seen) == 4


def test_an_environment_without_interpreter_is_not_usable(run: ModuleType, tmp_path: Path) -> None:
    """A folder that holds no interpreter, or one that does not start, is no environment."""
    assert not run.usable(tmp_path)

    python = run.python_of(tmp_path)
    python.parent.mkdir()
    python.write_text("no program", encoding="utf-8")
    python.chmod(0o755)

    assert not run.usable(tmp_path)


@pytest.fixture
def checkout(run: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Point run.py at an empty checkout and record the commands it would start."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    started: list[list[str]] = []

    def start(argv: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        started.append([str(arg) for arg in argv[1:]])
        return subprocess.CompletedProcess(argv, 0)

    monkeypatch.setattr(run, "ROOT", tmp_path)
    monkeypatch.setattr(run, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(run, "STAMP", tmp_path / ".venv" / "stamp.json")
    monkeypatch.setattr(run, "usable", lambda venv: venv.exists())
    monkeypatch.setattr(run.subprocess, "run", start)
    return started


def test_the_first_run_makes_and_fills_the_environment(run: ModuleType, checkout: list[list[str]]) -> None:
    """An environment is made, the project installed with pinned versions, and both noted."""
    run.ensure_environment({"test"})

    assert checkout[0] == ["-m", "venv", str(run.VENV)]
    assert checkout[-1][-4:] == ["--constraint", "constraints.txt", "--editable", ".[test]"]
    assert run.read_stamp(run.STAMP)["state"] == "done"


def test_the_second_run_starts_at_once(run: ModuleType, checkout: list[list[str]]) -> None:
    """Nothing is installed where nothing changed."""
    run.ensure_environment({"test"})
    checkout.clear()

    run.ensure_environment(set())

    assert checkout == []


def test_an_extra_is_added_to_those_that_are_there(run: ModuleType, checkout: list[list[str]]) -> None:
    """Asking for another extra keeps the ones of earlier runs."""
    run.ensure_environment({"test"})

    run.ensure_environment({"spark"})

    assert checkout[-1][-1] == ".[spark,test]"
    assert run.read_stamp(run.STAMP)["extras"] == ["spark", "test"]


def test_an_environment_cut_short_is_made_anew(run: ModuleType, checkout: list[list[str]]) -> None:
    """What a killed installation left behind is removed before the next one."""
    run.VENV.mkdir()
    (run.VENV / "half a package").touch()
    run.write_stamp(run.STAMP, state="installing")

    run.ensure_environment(set())

    assert not (run.VENV / "half a package").exists()
    assert checkout[0][:2] == ["-m", "venv"]


def test_a_failed_installation_is_known_as_one(
    run: ModuleType, checkout: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where pip fails, the message says so and the environment is not taken for a whole one."""
    del checkout[:]
    monkeypatch.setattr(run.subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 1))

    with pytest.raises(run.SetupError, match="Installing failed"):
        run.ensure_environment(set())

    assert run.read_stamp(run.STAMP) == {"state": "installing"}


@pytest.mark.parametrize(("codes", "expected"), [([0, 0, 0, 0], 0), ([0, 3, 0, 4], 3), ([-9, 0, 0, 0], 137)])
def test_the_exit_code_is_the_first_failures(
    run: ModuleType, monkeypatch: pytest.MonkeyPatch, codes: list[int], expected: int
) -> None:
    """All four checks of ``lint`` run, and the first failing one decides; a signal counts as in a shell."""
    left = iter(codes)
    monkeypatch.setattr(run.subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, next(left)))

    assert run.run("lint", []) == expected
    assert next(left, None) is None


def test_arguments_go_to_the_tool(run: ModuleType) -> None:
    """``test`` alone measures coverage on all cores; with arguments it is pytest with just those."""
    assert run.steps("test", [], 2) == [["-m", "pytest", "--cov", "-n", "2", "--dist", "worksteal"]]
    assert run.steps("test", [], 1) == [["-m", "pytest", "--cov"]]
    assert run.steps("test", ["-k", "squid"], 2) == [["-m", "pytest", "-k", "squid"]]
    assert run.steps("demo", ["--help"], 2) == [["-m", "forensics", "demo", "--help"]]


def test_every_command_has_steps_and_needs(run: ModuleType) -> None:
    """The command list, the steps and the help name the same commands."""
    for command in run.EXTRAS:
        assert run.steps(command, [], 2)
        assert f"\n  {command} " in run.HELP


def test_help_teaches_without_setting_anything_up() -> None:
    """``--help`` works in a bare interpreter and shows a command to start with."""
    argv = [sys.executable, "-I", "-S", str(SCRIPT), "--help"]
    result = subprocess.run(argv, capture_output=True, text=True, check=True)

    assert "python3 run.py demo" in result.stdout


def test_the_stamp_file_lies_in_the_environment(run: ModuleType) -> None:
    """Removing .venv removes everything run.py has made."""
    assert run.STAMP.parent == run.VENV
    assert run.VENV.parent == SCRIPT.parent


def test_pinned_versions_name_no_index() -> None:
    """constraints.txt holds versions only: no index, no address, no path of the machine that made it."""
    lines = SCRIPT.with_name("constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]

    assert pins
    assert not [line for line in pins if line.startswith("-") or "==" not in line or "/" in line or "@" in line]
