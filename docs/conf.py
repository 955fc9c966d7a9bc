"""Sphinx: the documentation, readable without a network. Build it with ``python3 run.py docs``."""

from __future__ import annotations

import pkgutil
import re
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import SphinxError

import forensics.detectors
import forensics.formats

if TYPE_CHECKING:
    from types import ModuleType

    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

project = "forensics"
author = "The forensics developers"
copyright = f"2026, {author}"
release = metadata.version("forensics")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb"]
exclude_patterns = ["_build", "changes/*.*.md", "explanation/agreement-logs/*"]  # fragments are no pages
default_role = "py:obj"

# The reference is written in the docstrings: what `forensics.__all__` names, in that order.
autodoc_member_order = "bysource"
autodoc_default_options = {"no-value": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_use_rtype = False

# A reference that a text makes to a name of ours must resolve. Those to other projects cannot, since nothing is looked
# up on the web; and annotations (py:class) may name classes that are not part of the public reference.
nitpick_ignore_regex = [(r"py:.*", r"(?!forensics\.).*"), (r"py:class", r".*")]
suppress_warnings = ["ref.footnote"]  # a reference at the end of a docstring need not be cited in its text

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"  # a page that is a notebook runs whenever the documentation is built, so it stays true
nb_execution_raise_on_error = True
nb_execution_timeout = 120

html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"forensics {release}"
html_copy_source = False
html_show_sphinx = False


def public_names() -> str:
    """Return the public names, a line each, for ``autosummary``."""
    return "\n".join(f"   {name}" for name in forensics.__all__ if not name.startswith("_"))


def sections(package: ModuleType, members: str) -> str:
    """Return a section for each module of a folder: formats and detectors are found, not listed."""
    found = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))
    return "\n".join(
        f"{name}\n{'=' * len(name)}\n\n.. automodule:: {package.__name__}.{name}\n{members}\n" for name in found
    )


_TABLES = ("flows", "requests", "names", "fingerprints", "volumes")
_TIMES = {"start": "start", "end": "end", "window": "start and end"}


def formats_table() -> str:
    """Return what each format yields, as its samples show, and what it can know of bytes and times."""
    rows = ["* - format", "  - tables", "  - uploads", "  - downloads", "  - a line's time is its"]
    for name, module in forensics.formats.all_formats().items():
        folder = Path(__file__).resolve().parents[1] / "sample_pcaps" / "formats" / name
        lines = "".join(path.read_text("utf-8") for path in sorted(folder.rglob("*.expected.jsonl")))
        told = [table for table in _TABLES if f'{{"table": "{table}"' in lines]
        observed = getattr(module, "OBSERVES", ("out", "in"))
        known = ["where logged" if way in observed else "never" for way in ("out", "in")]
        cells = [f"`{name}`__: {module.TITLE}", ", ".join(told), *known, _TIMES[getattr(module, "STAMP", "window")]]
        rows += [f"{'* -' if k == 0 else '  -'} {cell}" for k, cell in enumerate(cells)]
    targets = "".join(f"\n__ #{name.replace('_', '-')}\n" for name in forensics.formats.all_formats())
    return ".. list-table::\n   :header-rows: 1\n\n" + "".join(f"   {row}\n" for row in rows) + targets


def agreements() -> str:
    """Return how logs of others are read beside what others read in them; each kind of log has a fragment."""
    folder = Path(__file__).resolve().parent / "explanation" / "agreement-logs"
    return "\n".join(path.read_text("utf-8") for path in sorted(folder.glob("*.md")))


def fill_in(_app: Sphinx, _docname: str, source: list[str]) -> None:
    """Put what the code knows where a page asks for it."""
    source[0] = (
        source[0]
        .replace("@PUBLIC_NAMES@", public_names())
        .replace("@FORMAT_TABLE@", formats_table())
        .replace("@FORMATS@", sections(forensics.formats, ""))
        .replace("@AGREEMENTS@", agreements())
        .replace("@DETECTORS@", sections(forensics.detectors, "   :members: detect\n"))
    )


def number_footnotes(_app: Sphinx, _what: str, name: str, _object: object, _options: object, lines: list[str]) -> None:
    """Number references through a page: each docstring counts its own from 1, and a page shows several."""
    label = re.sub(r"\W", "-", name)
    lines[:] = [
        re.sub(r"^\.\. \[(\d+)\] ", rf".. [#{label}-\1] ", re.sub(r"\[(\d+)\]_", rf"[#{label}-\1]_", line))
        for line in lines
    ]


def accept_internal_name(_app: Sphinx, _env: object, node: nodes.Element, shown: nodes.Element) -> nodes.Element | None:
    """Accept a reference to a name of ours that exists but has no place in the reference; warn about all others."""
    try:
        pkgutil.resolve_name(node.get("reftarget", ""))
    except (AttributeError, ImportError, ValueError):
        return None
    return shown


def visit_math(self: HTML5Translator, node: nodes.Element) -> None:
    """Write a formula as MathML: browsers show it by themselves, where MathJax would be fetched from the web."""
    self.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


def refuse_web_content(app: Sphinx, error: Exception | None) -> None:
    """Fail where a page would load anything from the web."""
    for page in Path(app.outdir).rglob("*.html") if error is None else ():
        if found := re.search(r"<(?:script|link|img|iframe)[^>]+(?:https?:)?//[^>]+>", page.read_text("utf-8")):
            msg = f"{page.name} loads from the web: {found[0]}"
            raise SphinxError(msg)


def setup(app: Sphinx) -> None:
    """Connect what is above."""
    app.connect("source-read", fill_in)
    app.connect("autodoc-process-docstring", number_footnotes)
    app.connect("missing-reference", accept_internal_name)
    app.connect("build-finished", refuse_web_content)
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math, None))
