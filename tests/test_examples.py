"""The examples run as they are written: the script, the notebooks in a real kernel, the ten lines of the README."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
QUICK = {**os.environ, "FORENSICS_JIT": "0"}
"""The samples are so small that plain Python reads them sooner than the loops are compiled."""


def evidence(lab: Path, folder: Path) -> None:
    """Put the laboratory's evidence into a folder, as links."""
    folder.mkdir()
    for file in (*lab.glob("*.pcap*"), *lab.glob("access.log*")):
        (folder / file.name).symlink_to(file)


def test_the_script_tells_the_story(tmp_path: Path, lab: Path) -> None:
    """examples/investigate.py names the relay of the uploads and the chain, and writes report and pictures."""
    evidence(lab, tmp_path / "evidence")
    command = [sys.executable, str(EXAMPLES / "investigate.py"), "evidence", "out"]

    done = subprocess.run(command, cwd=tmp_path, env=QUICK, capture_output=True, text=True, check=True)

    assert "spike:" in done.stdout
    assert "chain:" in done.stdout
    assert (tmp_path / "out" / "hops.png").stat().st_size > 10_000
    assert (tmp_path / "out" / "report" / "report.html").is_file()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, lab: Path, tshark: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook runs from start to end in a real kernel, and shows what the one in the project shows: no error."""
    monkeypatch.setenv("FORENSICS_JIT", "0")
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat has no types
    kept = kinds(notebook)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": EXAMPLES}})

    client.execute()

    assert kinds(notebook) == kept
    assert all(kept)
    assert not any("error" in kind for kind in kept)


def kinds(notebook: nbformat.NotebookNode) -> list[set[str]]:
    """What each cell with code gives: text, tables, pictures, errors."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    told = [[made for made in cell.outputs if made.get("name") != "stderr"] for cell in cells]  # Java's warnings
    return [{kind for made in outputs for kind in made.get("data", {made.output_type})} for outputs in told]


def test_the_notebooks_are_those_that_the_documentation_names() -> None:
    """Four stories, each told once."""
    assert [path.stem for path in NOTEBOOKS] == ["first_look", "proxy_to_relays", "skewed_clocks", "spark"]


def test_the_ten_lines_of_the_readme_run(tmp_path: Path, lab: Path) -> None:
    """The script in the README runs as written, in a folder with evidence."""
    script = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert script is not None
    evidence(lab, tmp_path / "evidence")

    subprocess.run([sys.executable, "-c", script[1]], cwd=tmp_path, env=QUICK, check=True, capture_output=True)

    assert (tmp_path / "hops.png").is_file()
    assert (tmp_path / "report" / "report.html").is_file()


def test_the_way_to_the_packets_runs(tmp_path: Path, lab: Path, tshark: str) -> None:
    """The blocks of Python in the how-to on packets run one after the other, in a folder with evidence."""
    text = (ROOT / "docs" / "how-to" / "packets.md").read_text("utf-8")
    evidence(lab, tmp_path / "evidence")

    script = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=QUICK, check=True, capture_output=True, text=True
    )

    counted = subprocess.run(
        [tshark, "-n", "-r", str(tmp_path / "spikes.pcapng")], check=True, capture_output=True, text=True
    )
    assert done.stdout.startswith(f"{counted.stdout.count(chr(10))} packets\n")
    assert {path.name for path in tmp_path.glob("*.pcapng")} == {
        f"{name}.pcapng" for name in ("spikes", "first-spike", "uploads", "largest", "relay", "alert")
    }


def test_the_tutorials_python_runs(tshark: str) -> None:
    """The tutorial's blocks of Python run one after the other, in the checkout, and show what the text says."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "tutorial.md").read_text("utf-8"), re.DOTALL)

    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)], cwd=ROOT, env=QUICK, check=True, capture_output=True, text=True
    )

    assert "203.0.113.130" in done.stdout
    assert "packet 3071 at" in done.stdout
