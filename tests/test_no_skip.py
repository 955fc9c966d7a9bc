"""FORENSICS_NO_SKIP: where CI runs, nothing is skipped unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

SUITE = """
import pytest

def test_pass(): pass

def test_skip(): pytest.skip("no such tool")

@pytest.mark.xfail(strict=True)
def test_known_fault(): assert False

def test_on_corpus(corpus): pass
"""
WHOLE_MODULE = 'import pytest\npytest.importorskip("a_module_that_nobody_has")\n'


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A small suite under this project's conftest, without a corpus."""
    monkeypatch.delenv("FORENSICS_CORPUS", raising=False)
    monkeypatch.delenv("FORENSICS_NO_SKIP", raising=False)
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(test_small=SUITE, test_whole=WHOLE_MODULE)
    return pytester


def test_skips_are_skips_on_a_desk(suite: pytest.Pytester) -> None:
    """Without the switch, what is missing is skipped with its reason."""
    result = suite.runpytest_subprocess("-rs")

    result.assert_outcomes(passed=1, skipped=3, xfailed=1)
    result.stdout.fnmatch_lines(["*FORENSICS_CORPUS names no folder*"])


def test_skips_are_failures_in_ci(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the switch, a skipped test fails and gives the reason of the skip."""
    monkeypatch.setenv("FORENSICS_NO_SKIP", "1")

    result = suite.runpytest_subprocess("test_small.py")

    result.assert_outcomes(passed=1, failed=1, xfailed=1, deselected=1)
    result.stdout.fnmatch_lines(["*allows no skip*no such tool*"])


def test_a_skipped_module_is_an_error_in_ci(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the switch, a module that skips itself as a whole stops the run."""
    monkeypatch.setenv("FORENSICS_NO_SKIP", "1")

    result = suite.runpytest_subprocess("test_whole.py")

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*allows no skip*a_module_that_nobody_has*"])
