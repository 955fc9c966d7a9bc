"""The shape of the code: what may import what, and how large things may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("forensics", "examples", "sample_pcaps", "docs")
SOURCES = sorted(
    path
    for path in [ROOT / "run.py", *(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))]
    if "_build" not in path.parts
)
FILE_LINES = 400
FUNCTION_LINES = 40


def long_functions(text: str) -> dict[str, int]:
    """Return the functions that reach the limit with their lines, docstring not counted."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            has_docstring = ast.get_docstring(node, clean=False) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
            lines = (node.end_lineno or 0) - node.lineno + 1 - docstring
            if lines >= FUNCTION_LINES:
                found[node.name] = lines
    return found


def test_imports_go_one_way() -> None:
    """Every contract of ``[tool.importlinter]`` is kept."""
    # In a process of its own: import-linter switches off every logger that there is.
    check = "from importlinter.cli import lint_imports; exit(lint_imports(no_cache=True, no_logo=True))"
    done = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    """A file has fewer than 400 lines, a function fewer than 40 (its docstring not counted)."""
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")

    assert lines < FILE_LINES
    assert long_functions(text) == {}


def test_the_limit_counts_code_and_not_the_docstring() -> None:
    """A function of 39 lines with a long docstring passes, one of 40 lines does not."""
    docstring = '    """First.\n' + "\n" * 50 + '    """\n'

    assert long_functions("def f():\n" + docstring + "    x = 1\n" * 38) == {}
    assert long_functions("def f():\n" + docstring + "    x = 1\n" * 39) == {"f": 40}
