"""A progress bar for long reads, in terminals and notebooks."""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from forensics.escaping import terminal_safe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(total: int | None, *, show: bool | None = None) -> Iterator[Callable[[int, str | None], None]]:
    """Show how far reading has come, on standard error or in the notebook.

    Parameters
    ----------
    total
        Size of all that will be read; None where it is not known. [B]
    show
        Whether to show a bar at all; None for: in a terminal and in a notebook, not in a pipe.

    Yields
    ------
    callable
        Takes the bytes that were read since the last call and, where it changes, the name of the file.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    wanted = (console.is_terminal or console.is_jupyter) if show is None else show
    if console.is_jupyter and find_spec("ipywidgets") is None:
        wanted = False  # rich cannot draw a bar that moves there, and would warn at each read
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not wanted) as bar:
        task = bar.add_task("reading", total=total)

        def advance(count: int, name: str | None = None) -> None:
            bar.update(task, advance=count, description=None if name is None else terminal_safe(name))

        yield advance
