"""Write reference/cli.md from the command line's own help.

Run ``python docs/make_cli.py`` after a change of `forensics.cli`; a test fails while the page is stale.
"""

from __future__ import annotations

from pathlib import Path

import typer
from typer.cli import get_docs_for_click

from forensics.cli import app

PAGE = Path(__file__).parent / "reference" / "cli.md"
NOTE = "<!-- Made by docs/make_cli.py from forensics/cli.py: change that, not this page. -->"


def reference() -> str:
    """Return the whole page."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="forensics")
    text = get_docs_for_click(obj=command, ctx=context, name="forensics", title="Command line")
    # Usage lines hold placeholders: they are no commands to copy (tests/test_docs.py reads `console` blocks as such).
    return f"{NOTE}\n\n{text.replace('```console', '```text').strip()}\n"


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
    print(f"Wrote {PAGE.name}")
