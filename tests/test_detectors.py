"""What every detector must keep; detectors and their samples are found by themselves."""

from __future__ import annotations

import inspect
import json
import runpy
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import forensics as fx
from forensics.detectors import all_detectors
from forensics.schema import FINDING_COLUMNS, FINDINGS
from forensics.words import words_of

SAMPLES = Path(__file__).parents[1] / "sample_pcaps" / "detectors"
NAMES = sorted(all_detectors())

Sample = Callable[[str, str], fx.Case]


@pytest.fixture(scope="module")
def sample() -> Sample:
    """Return a reader of samples that reads each once."""
    known: dict[tuple[str, str], fx.Case] = {}

    def read(name: str, kind: str) -> fx.Case:
        if (name, kind) not in known:
            known[name, kind] = fx.read(SAMPLES / name / kind, timezone="Asia/Tokyo", progress=False)
        return known[name, kind]

    return read


def options_of(name: str) -> dict[str, Any]:
    """Return the options that a sample is tested with; names of files beside it are files."""
    file = SAMPLES / name / "options.json"
    options = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return {key: _path(SAMPLES / name, value) for key, value in options.items()}


def _path(folder: Path, value: object) -> object:
    if isinstance(value, list):
        return [_path(folder, one) for one in value]
    return str(folder / value) if isinstance(value, str) and (folder / value).exists() else value


@pytest.mark.parametrize("name", NAMES)
def test_a_detector_says_what_it_finds_and_when_it_misleads(name: str) -> None:
    """The module is its page."""
    detector = all_detectors()[name]
    assert detector.TITLE
    for text in (detector.VALUE, detector.SCORE):
        assert text.endswith("]") or text == "none", f"{name}: {text} has no unit"
    page = inspect.getdoc(detector)
    assert page is not None
    for part in ("When it misleads\n---", "References\n---", "math:"):
        assert part in page, f"{name}: its docstring has no {part!r}"


@pytest.mark.parametrize("name", NAMES)
def test_options_are_named_with_defaults_and_units(name: str) -> None:
    """No option is positional, and each is described."""
    for function in (all_detectors()[name].detect, all_detectors()[name].coverage):
        case, *options = inspect.signature(function).parameters.values()
        assert case.name == "case"
        for option in options:
            assert option.kind is option.KEYWORD_ONLY
            assert option.default is not option.empty
            assert f"\n{option.name}" in str(inspect.getdoc(all_detectors()[name].detect)).replace(", ", "\n")


@pytest.mark.parametrize("name", NAMES)
def test_the_quiet_sample_is_tested_and_nothing_is_found(name: str, sample: Sample) -> None:
    """Innocent traffic that is like what is looked for."""
    case, options = sample(name, "quiet"), options_of(name)
    found = all_detectors()[name].detect(case, **options)
    assert found.empty, found["reason"].tolist()
    coverage = all_detectors()[name].coverage(case, **options)
    assert coverage.detector == name
    assert coverage.tested > 0


@pytest.mark.parametrize("name", NAMES)
def test_the_loud_sample_gives_what_was_planted_and_nothing_else(name: str, sample: Sample) -> None:
    """Each finding is planted, each planted one is found."""
    found = all_detectors()[name].detect(sample(name, "loud"), **options_of(name))
    expected = json.loads((SAMPLES / name / "expected.json").read_text("utf-8"))
    rows = found.to_dict("records")
    assert [row["reason"] for row in rows if not any(_fits(row, planted) for planted in expected)] == []
    assert [planted for planted in expected if not any(_fits(row, planted) for row in rows)] == []


def _fits(row: Mapping[Any, object], planted: Mapping[str, object]) -> bool:
    return all(_same(row[name], value) for name, value in planted.items())


def _same(found: object, planted: object) -> bool:
    if isinstance(found, pd.Timestamp):
        return found == datetime.fromisoformat(str(planted))
    if planted is None:
        return found is None or found != found  # noqa: PLR0124 - pandas' way to say that there is none
    return found == (pytest.approx(planted) if isinstance(planted, float) else planted)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_says_can_be_told_in_japanese(name: str, sample: Sample) -> None:
    """Every part of its reasons, and why something was not tested; what an analyst's list says stays as it is."""
    told, options = words_of("ja").told, options_of(name)
    found = all_detectors()[name].detect(sample(name, "loud"), **options)
    coverage = all_detectors()[name].coverage(sample(name, "loud"), **options)
    for text in (*found["reason"], *filter(None, [coverage.why])):
        parts = zip(text.split("; "), told(text).split("。"), strict=True)
        assert [part for part, said in parts if part == said] == [], text


@pytest.mark.parametrize("name", NAMES)
def test_a_finding_is_whole(name: str, sample: Sample) -> None:
    """Its columns, evidence and order."""
    found = all_detectors()[name].detect(sample(name, "loud"), **options_of(name))
    assert tuple(found.columns) == FINDING_COLUMNS
    assert len(found)
    assert set(found["detector"]) == {name}
    assert (found["start"] < found["end"]).all()
    for column in ("reason", "source", "record", "value", "score"):
        assert found[column].notna().all(), column
        assert (found[column].astype(str) != "").all(), column
    for column in ("p_value", "q_value"):
        assert found[column].dropna().between(0, 1).all()
    keys = list(FINDINGS.order)
    assert found.sort_values(keys, kind="stable").index.tolist() == list(range(len(found)))


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_case_gives_no_finding_and_says_that_nothing_was_tested(name: str, tmp_path: Path) -> None:
    """Nothing in, nothing out."""
    case = fx.open_case(tmp_path / "empty.case")
    found = all_detectors()[name].detect(case, **options_of(name))
    assert tuple(found.columns) == FINDING_COLUMNS
    assert found.empty
    assert all_detectors()[name].coverage(case, **options_of(name)).tested == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_what_its_program_makes(name: str, tmp_path: Path) -> None:
    """The committed bytes come from the code beside them."""
    shutil.copytree(
        SAMPLES, tmp_path / "detectors", ignore=shutil.ignore_patterns("*.gz", "*.json", "*.csv", "__pycache__")
    )
    before = set((tmp_path / "detectors" / name).rglob("*"))
    runpy.run_path(str(tmp_path / "detectors" / name / "make.py"), run_name="__main__")
    made = {
        path.relative_to(tmp_path / "detectors" / name)
        for path in (tmp_path / "detectors" / name).rglob("*")
        if path.is_file() and path not in before and "__pycache__" not in path.parts
    }
    assert made
    for path in sorted(made):
        kept = SAMPLES / name / path
        assert kept.read_bytes() == (tmp_path / "detectors" / name / path).read_bytes(), path
