"""The progress bar: shown where it helps, silent in a pipe."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Self

import pytest
import rich.console

from forensics.reading import progress
from forensics.reading.progress import progress_bar


def run(total: int | None, *, show: bool | None = None) -> None:
    """Tell a bar of two reads."""
    with progress_bar(total, show=show) as advance:
        advance(0, "evil\x1b[2J.log")
        advance(60, None)
        advance(40, None)


@pytest.mark.parametrize("total", [100, None])
def test_nothing_in_a_pipe(total: int | None, capsys: pytest.CaptureFixture[str]) -> None:
    """Where standard error is no terminal, nothing is written."""
    run(total)

    assert capsys.readouterr() == ("", "")


def test_a_bar_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal shows how far reading has come, on standard error; a hostile file name moves no cursor."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "150")

    run(100, show=True)

    out, err = capsys.readouterr()
    assert out == ""
    assert "evil<U+001B>[2J.log" in err
    assert "100/100 bytes" in err


def test_no_bar_on_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A bar that was declined is not shown in a terminal either."""
    monkeypatch.setenv("FORCE_COLOR", "1")

    run(100, show=False)

    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("widgets", [None, ModuleSpec("ipywidgets", None)])
def test_notebooks(widgets: ModuleSpec | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook shows a bar where it can draw one, and never a warning in its place."""
    shown: list[bool] = []

    class Bar:
        def __init__(self, *_: object, disable: bool, **__: object) -> None:
            shown.append(not disable)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def add_task(self, *_: object, **__: object) -> int:
            return 0

        def update(self, *_: object, **__: object) -> None:
            pass

    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr("rich.progress.Progress", Bar)
    monkeypatch.setattr(progress, "find_spec", lambda _: widgets)
    display = ModuleType("IPython.display")
    monkeypatch.setitem(sys.modules, "IPython.display", display)

    run(100)

    assert shown == [widgets is not None]
