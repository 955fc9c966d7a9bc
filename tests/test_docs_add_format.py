"""The page that adds a format: what it says is done, and works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "how-to" / "add-a-format.md"
FILE = re.compile(r"`((?:forensics|sample_pcaps)/[\w./]+)`:\n\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_format_of_the_page_keeps_the_contract(tmp_path: Path) -> None:
    """Its files, put where the page says, pass the contract tests and give the row that it shows."""
    text = PAGE.read_text(encoding="utf-8")
    files = FILE.findall(text)
    assert len(files) == 5
    shutil.copytree(ROOT / "forensics", tmp_path / "forensics", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "conftest.py", "test_formats.py"):
        if (ROOT / "tests" / name).exists():
            (tmp_path / "tests").mkdir(exist_ok=True)
            shutil.copy(ROOT / "tests" / name, tmp_path / "tests" / name)
    for name, content in files:
        place = tmp_path / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content, encoding="utf-8")

    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        os.devnull,
        "--rootdir",
        str(tmp_path),
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [*command, "-p", "no:randomly", "-k", "gatelog", "--update-golden", "tests/test_formats.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "FORENSICS_JIT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]

    folder = tmp_path / "sample_pcaps" / "formats" / "gatelog"
    first = (folder / "normal.log.expected.jsonl").read_text(encoding="utf-8").splitlines()[0]
    shown = re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)
    assert [json.loads(first)] == [json.loads(row) for row in shown]
    traps = [json.loads(line) for line in (folder / "traps.log.expected.jsonl").read_text("utf-8").splitlines()]
    assert [row["reason"] for row in traps if row.get("table") == "rejects"] == [
        "time is not a decimal number",
        "row has 3 fields, 5 are expected",
    ]
