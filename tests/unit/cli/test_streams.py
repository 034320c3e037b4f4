"""Standard output that goes away never looks like a verdict, and never like success by default."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a shell and /dev/full")


def shell(command: str, **environment: str) -> tuple[int, str]:
    """Exit code of `lineament` in the command (PIPESTATUS) and what stderr got."""
    line = command.replace("lineament", f'"{sys.executable}" -m lineament') + "; exit ${PIPESTATUS[0]}"
    done = subprocess.run(
        ["bash", "-c", line],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("form", ["", "--json"])
def test_a_reader_that_leaves_does_not_change_the_verdict(samples: Path, form: str):
    a, b, c = (samples / f"{name}.jpg" for name in ("collins", "collins-view", "coffee"))
    assert shell(f"lineament compare {a} {b} {form} | true") == (0, "")
    assert shell(f"lineament compare {a} {b} --threshold 0.999 {form} | true") == (1, "")
    assert shell(f"lineament compare {a} {c} {form} | true")[0] == 2


@pytest.mark.parametrize("form", ["", "--json"])
@pytest.mark.parametrize("where", [">/dev/full", ">&-"])
def test_an_answer_that_cannot_be_written_is_9(samples: Path, form: str, where: str):
    a, b = samples / "collins.jpg", samples / "collins-view.jpg"
    code, err = shell(f"lineament compare {a} {b} {form} {where}")
    assert code == 9
    assert err.startswith("lineament: cannot write to standard output")
    assert err.count("\n") == 1


def test_reports_survive_broken_streams(samples: Path):
    none = samples / "none.jpg"
    assert shell(f"lineament detect {none} --json >/dev/full 2>&1")[0] == 9
    assert shell(f"lineament detect {none} --json >&- 2>&-")[0] == 9
    assert shell(f"lineament detect {none} 2>/dev/full")[0] == 4
    assert shell("lineament bogus 2>&-")[0] == 3
    assert shell("lineament models list >/dev/full")[0] == 9
    assert shell("lineament --help >/dev/full")[0] == 9
    assert shell("lineament --help | true")[0] == 0


@pytest.mark.parametrize("encoding", ["ascii", "latin1"])
def test_a_poor_encoding_costs_question_marks_only(samples: Path, encoding: str):
    a, b = samples / "collins.jpg", samples / "collins-view.jpg"
    for form in ("", "--json"):
        assert shell(f"lineament compare {a} {b} {form}", PYTHONIOENCODING=encoding) == (0, "")
    assert shell(f"lineament detect {a}", PYTHONIOENCODING=encoding) == (0, "")
