"""The documentation: generated pages are current, every page can be reached, every command shown exists."""

from __future__ import annotations

import importlib.util
import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in (*DOCS.rglob("*.md"), *DOCS.rglob("*.rst"))
    if not {"_build", "agreement-logs"} & set(path.parts)  # fragments are no pages
    and not re.search(r"\.\w+\.md$", path.name)  # 42.added.md is one too
)
TEXTS = [ROOT / "README.md", *PAGES]

# Programs that a page may tell the reader to start, besides our own.
OTHERS = {"cd", "git", "pipx", "sudo", "uv"}
OWN = {"forensics", ".venv/bin/forensics"}
PYTHONS = {"python", "python3", ".venv/bin/python"}
TOOLS = {".venv/bin/ruff"}


def load(path: Path) -> ModuleType:
    """Return a script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a page that are marked with a language."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^ *```{re.escape(language)}\n(.*?)^ *```", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[tuple[str, str]]:
    """Return every command of every ``console`` block with the page it stands on."""
    return [
        (str(path.relative_to(ROOT)), line.strip()[2:])
        for path in TEXTS
        if path.exists()
        for block in blocks(path, "console")
        for line in block.replace("\\\n", " ").splitlines()
        if line.lstrip().startswith("$ ")
    ]


def linked(path: Path) -> set[Path]:
    """Return the pages that a page's tables of contents lead to."""
    found: set[Path] = set()
    for block in blocks(path, "{toctree}"):
        for line in block.splitlines():
            if line and not line.startswith(":"):
                found.update(path.parent.glob(f"{line.strip()}.*"))
    return found


@cache
def options_of_the_command_line() -> dict[str, set[str]]:
    """Return the options of each verb; those of ``forensics`` itself under an empty name."""
    import typer.core

    from forensics.cli import app

    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    context = typer.Context(group, info_name="forensics")
    verbs = {"": group} | {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {
        name: {opt for param in verb.params for opt in (*param.opts, *param.secondary_opts)} | {"--help"}
        for name, verb in verbs.items()
        if verb is not None
    }


def check_own(words: list[str]) -> None:
    """Check that a verb and its options exist."""
    known = options_of_the_command_line()
    verb = next((word for word in words if not word.startswith("-")), "")
    assert verb in known
    used = {word.split("=")[0] for word in words if word.startswith("-")}
    assert used <= known[verb] | known[""]


def check_python(words: list[str]) -> None:
    """Check that what Python is told to run exists: run.py and its command, our command line, pip, or a script."""
    if words[0] == "run.py":
        run = load(ROOT / "run.py")
        assert [word for word in words[1:] if word in run.EXTRAS] or "--help" in words
    elif words[:2] == ["-m", "forensics"]:
        check_own(words[2:])
    elif words[0] == "-m":
        assert words[1] in {"pip", "pytest", "venv"}
    else:
        assert (ROOT / words[0]).is_file()


def test_the_glossary_is_current() -> None:
    """docs/glossary.md says what forensics/schema.py says; after a change run docs/make_glossary.py."""
    made = load(DOCS / "make_glossary.py").glossary()

    assert (DOCS / "glossary.md").read_text(encoding="utf-8") == made


def test_the_command_line_reference_is_current() -> None:
    """docs/reference/cli.md says what the command line's help says; after a change run docs/make_cli.py."""
    made = load(DOCS / "make_cli.py").reference()

    assert (DOCS / "reference" / "cli.md").read_text(encoding="utf-8") == made


def test_every_page_can_be_reached_from_the_index() -> None:
    """Following the tables of contents from the index leads to every page."""
    reached: set[Path] = set()
    waiting = {DOCS / "index.md"}
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting |= linked(page) - reached

    assert set(PAGES) - reached == set()


def test_every_relative_link_leads_to_a_file() -> None:
    """A link from one page to a file of the project finds it."""
    dead = []
    for path in TEXTS:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            file = target.partition("#")[0]
            if file and "://" not in target and not (path.parent / file).exists():
                dead.append(f"{path.relative_to(ROOT)}: {target}")

    assert dead == []


@pytest.mark.parametrize(("page", "command"), commands())
def test_every_command_shown_exists(page: str, command: str) -> None:
    """A command of a ``console`` block is one that exists, with options that exist."""
    program, *words = shlex.split(command.partition(" #")[0])

    if program in OWN:
        check_own(words)
    elif program in PYTHONS:
        check_python(words)
    else:
        assert program in OTHERS | TOOLS, f"{page}: is {program!r} a program that readers have?"


def test_the_check_of_commands_is_not_blind() -> None:
    """A verb or an option that does not exist is noticed."""
    with pytest.raises(AssertionError):
        check_own(["demoo"])
    with pytest.raises(AssertionError):
        check_own(["investigate", "--no-such-option", "x"])
    with pytest.raises(AssertionError):
        check_python(["run.py", "tset"])


def test_changes_are_named_by_the_rule() -> None:
    """Each fragment of the release notes is ``<n>.<kind>.md`` or ``<n>.<part>.<kind>.md`` and one sentence."""
    for path in (DOCS / "changes").glob("*.md"):
        if path.name != "README.md":
            assert re.fullmatch(r"\d+(\.[a-z]+)?\.(added|changed|fixed|removed)\.md", path.name)
            assert path.read_text(encoding="utf-8").strip().endswith((".", "`"))
