"""The report as a PDF, printed by Chromium where it is installed.

Example: ``save_pdf(Path("report/report.html"), Path("report/report.pdf"))``.

Chromium is started without a profile, reaches no network, and runs no script: the page holds none and forbids all.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from forensics.errors import MissingToolError, ReportError
from forensics.replacing import replacing

__all__ = ["BROWSERS", "save_pdf"]

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Programs that print, the first one on the path is taken."""

MOST_SECONDS = 300
"""How long printing may take. [s]"""

_OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-pdf-header-footer",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)

_NODE = re.compile(rb"\(node(\d{8})\)")
_DATES = re.compile(rb"(/(?:CreationDate|ModDate) \(D:)\d{14}([^)]*\))")


def save_pdf(page: Path, target: Path) -> Path:
    """Print a page.

    Parameters
    ----------
    page
        The HTML file.
    target
        The PDF to write. The same page printed by the same Chromium gives the same bytes: the time of printing is
        taken out.

    Returns
    -------
    pathlib.Path
        The file that was written.

    Raises
    ------
    MissingToolError
        No Chromium is installed.
    ReportError
        Chromium did not print the page; the message holds what it said last.
    """
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise MissingToolError(f"a PDF is printed by Chromium: install one of {', '.join(BROWSERS)}")
    with TemporaryDirectory(prefix="forensics-pdf") as scratch:
        printed = Path(scratch, "printed.pdf")
        command = [browser, *_OPTIONS, f"--user-data-dir={scratch}/profile", f"--print-to-pdf={printed}"]
        if os.name == "posix" and os.geteuid() == 0:
            command.append("--no-sandbox")  # Chromium's sandbox refuses to work for root
        try:
            done = subprocess.run(
                [*command, page.resolve().as_uri()], capture_output=True, check=False, timeout=MOST_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise ReportError(f"{browser} did not print {page} within {MOST_SECONDS} s") from None
        if done.returncode or not printed.is_file():
            said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][:300]
            raise ReportError(f"{browser} did not print {page} (exit code {done.returncode}): {said}")
        content = _settled(printed.read_bytes())
    with replacing(target) as file:
        file.write(content)
    return target


def _settled(content: bytes) -> bytes:
    """Return a PDF without what differs from one printing to the next: its date, and where its nodes' numbers begin."""
    numbers = {number: place for place, number in enumerate(sorted(set(_NODE.findall(content))), 1)}
    content = _NODE.sub(lambda found: b"(node%08d)" % numbers[found[1]], content)
    return _DATES.sub(rb"\g<1>20000101000000\g<2>", content)
