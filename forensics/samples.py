"""The samples that come with the library: where they lie, and what in them is evidence.

Example: ``sample_evidence(sample_folder() / "lab")`` are the files of the recorded laboratory.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from forensics.errors import CaseError

__all__ = ["sample_evidence", "sample_folder"]


def sample_folder() -> Path:
    """Return the folder of the samples: beside the package in a checkout, inside it where it is installed.

    Returns
    -------
    pathlib.Path
        A folder with ``lab`` and ``campaign`` in it.

    Raises
    ------
    CaseError
        There are none.
    """
    package = Path(str(resources.files("forensics")))
    places = (package.parent / "sample_pcaps", package / "_samples")
    for place in places:
        if (place / "lab").is_dir():
            return place
    raise CaseError(f"the samples are neither in {places[0]} nor in {places[1]}: install the library anew")


def sample_evidence(folder: Path) -> list[Path]:
    """Return the evidence of a sample: the captures and logs that its truth lists.

    The truth itself, the README and the programs that made the sample lie beside them and are no evidence.

    Parameters
    ----------
    folder
        A sample's folder.

    Returns
    -------
    list of pathlib.Path
        The files, in the order of the list.
    """
    truth = json.loads((folder / "truth.json").read_text("utf-8"))
    return [folder / entry["file"] for entry in (*truth["captures"], *truth["logs"])]
