"""The library never talks to the network: a look-up would tell the attacker that he is watched."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "forensics").rglob("*.py"))
NETWORKED = frozenset(
    {
        "aiohttp",
        "dns",
        "ftplib",
        "http.client",
        "http.server",
        "httpx",
        "imaplib",
        "poplib",
        "requests",
        "smtplib",
        "socket",
        "socketserver",
        "ssl",
        "urllib.request",
        "urllib3",
        "webbrowser",
        "xmlrpc",
    }
)


def imported(tree: ast.AST) -> set[str]:
    """Return every dotted name that a module imports, ``from a import b`` as ``a.b``."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            names.update(str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))
    return names


def networked(names: set[str]) -> set[str]:
    """Return the names that are, or lie in, a module that opens connections."""
    return {name for name in names for module in NETWORKED if f"{name}.".startswith(f"{module}.")}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_imports_what_opens_connections(path: Path) -> None:
    """A module of the library imports nothing that resolves names or opens connections."""
    tree = ast.parse(path.read_text(encoding="utf-8"))

    assert set() == networked(imported(tree))


@pytest.mark.parametrize(
    "line",
    [
        "import socket",
        "from urllib import request",
        "from urllib.request import urlopen",
        "import http.client as x",
        "import importlib; importlib.import_module('ssl')",
    ],
)
def test_the_check_sees_every_way_to_import(line: str) -> None:
    """The check above is not blind: each way to import a networked module is seen."""
    assert networked(imported(ast.parse(line)))


def test_the_check_leaves_harmless_neighbours_alone() -> None:
    """Taking a URL apart is not talking to the network."""
    assert not networked(imported(ast.parse("import urllib.parse, http\nfrom . import socket\nimport dnsx")))
