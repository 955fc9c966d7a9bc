"""The checks of the fuzzer of log lines: they hold for odd inputs, and see a loop that is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETUP = """
import random, sys
sys.path.insert(0, {root!r})
from tests.fuzz import fuzz_logs
fuzz_logs.guard()
{more}
draw = random.Random(5)
pieces = [b" ", b"\\t", b",", b'"', b"'", b"\\\\", b"[", b"]", b"a",
          b"a=", b"bc=", b"\\0", b"\\r", b"\\n", b"\\xff", b"/"]
values = [b"1", b"-0.5e1", b"null", b'"x"', b'"\\\\u00e9"',
          b'{{"c":{{"d":[1]}}}}', b"true", b"01", b"NaN", b"[", b'"\\xff"']
keys = [b'"a"', b'"b"', b'"b.c"', b'"\\\\u0061"', b'"x"', b"a"]
for _ in range(400):
    data = draw.randbytes(2) + b"".join(draw.choices(pieces, k=draw.randrange(12)))
    if {check!r} == "check_pick":
        pairs = [draw.choice(keys) + b": " + draw.choice(values) for _ in range(draw.randrange(4))]
        data = b"{{" + b",".join(pairs) + draw.choice([b"}}", b"}}", b"}}", b"", b"}} x"])
    fuzz_logs.{check}(data)
"""


def run(check: str, more: str = "") -> subprocess.CompletedProcess[str]:
    """Run a check on random pieces, in a process of its own: what is done to the loops must not reach other tests."""
    script = SETUP.format(root=str(ROOT), check=check, more=more)
    given = {**os.environ, "FORENSICS_JIT": "0"}
    return subprocess.run([sys.executable, "-c", script], env=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("check", ["check_cut", "check_pick"])
def test_odd_lines_pass(check: str) -> None:
    """What loops find in odd lines is what a plain reading finds."""
    ended = run(check)

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        ("check_cut", "fuzz_logs._delimited._kinds = lambda dialect: fuzz_logs._delimited.classes_of(b' ')"),
        ("check_cut", "fuzz_logs._pairs.TWICE = 0"),
        ("check_pick", "fuzz_logs._picked.NUMBER = 0"),
        ("check_pick", "fuzz_logs._picked.TWICE = 0"),
    ],
)
def test_a_loop_that_is_wrong_is_seen(check: str, wrong: str) -> None:
    """A loop that finds something else fails its check."""
    assert run(check, wrong).returncode == 1


def test_an_index_below_0_is_seen() -> None:
    """Blocks and what loops write to take no index below 0, which NumPy takes from the end."""
    ended = run("check_cut", "all(fuzz_logs._cut.np.full((2, 3), 1)[1]); fuzz_logs.block(b'a').data[-1]")

    assert "is below 0" in ended.stderr
