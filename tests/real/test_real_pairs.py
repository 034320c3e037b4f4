"""The main job on real pairs: pictures of the same and of different people, from LFW's View 2."""

import zipfile
from collections import Counter
from pathlib import Path

import pytest

import lineament as ln

PAIRS = 60
"""Of each kind; the first of the first fold. bench/lfw.sh measures all 6,000."""


def first_pairs(text: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """(mated, non-mated) names of pictures."""
    mated: list[tuple[str, str]] = []
    others: list[tuple[str, str]] = []
    for line in text.splitlines()[1:601]:
        parts = line.split()
        if len(parts) == 3:
            mated.append((name_of(parts[0], parts[1]), name_of(parts[0], parts[2])))
        else:
            others.append((name_of(parts[0], parts[1]), name_of(parts[2], parts[3])))
    return mated[:PAIRS], others[:PAIRS]


def name_of(person: str, number: str) -> str:
    return f"{person}/{person}_{int(number):04d}.jpg"


@pytest.mark.slow
def test_verdicts_on_real_pairs(shared: Path):
    recognizer = ln.Recognizer()
    mated, others = first_pairs((shared / "data/lfw/pairs.txt").read_text())
    with zipfile.ZipFile(shared / "data/lfw/lfw160.zip") as archive:

        def decisions(pairs: list[tuple[str, str]]) -> Counter[ln.Decision]:
            return Counter(
                recognizer.compare(archive.read(a), archive.read(b), fmr=1e-3, policy="most_central").decision
                for a, b in pairs
            )

        same, different = decisions(mated), decisions(others)
    # At a false match rate of 1 in 1,000, one of 60 would be bad luck (6 %) and two a fault.
    assert different[ln.Decision.MATCH] <= 1, different
    assert different[ln.Decision.NO_MATCH] >= 0.9 * PAIRS, different
    assert same[ln.Decision.MATCH] >= 0.9 * PAIRS, same
    assert same[ln.Decision.NO_MATCH] <= 0.05 * PAIRS, same
