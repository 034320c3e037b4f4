"""kill -9 while alerts are written, a hundred times: none lost, none in pieces, none twice."""

import hashlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lineament.applications.watch.alert_file import AlertFile
from lineament.applications.watch.alerts import Alert

ROUNDS = 100


def some_of(pipe: int, patience: float) -> bytes:
    """What has been told so far; waits for something, and not for more."""
    return os.read(pipe, 1 << 16) if select.select([pipe], [], [], patience)[0] else b""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_hundred_kills(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    reader, writer = os.pipe()
    child = [sys.executable, str(Path(__file__).with_name("alerting_child.py")), str(path), str(writer)]
    parent = subprocess.Popen(
        child, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=[writer]
    )
    os.close(writer)
    rng = random.Random(1)  # noqa: S311  (no secret)
    told = b""
    assert parent.stdin is not None
    assert parent.stdout is not None
    try:
        for _ in range(ROUNDS):
            parent.stdin.write("go\n")
            parent.stdin.flush()
            writing = int(parent.stdout.readline())
            told += some_of(reader, 30.0)  # it writes by now
            time.sleep(rng.uniform(0.0, 0.02))
            os.kill(writing, signal.SIGKILL)
    finally:
        parent.stdin.close()
        parent.wait(30.0)
        parent.stdout.close()
    while more := some_of(reader, 0.0):
        told += more
    os.close(reader)

    acknowledged = told.decode().split()
    with AlertFile(path) as file:
        kept = len(file)
    alerts = [Alert.from_dict(json.loads(line)) for line in path.read_text().splitlines()]
    ids = [alert.id for alert in alerts]
    assert len(acknowledged) >= ROUNDS
    assert len(set(ids)) == len(ids) == kept
    assert set(acknowledged) <= set(ids)
    # At most one alert a round was on the disk and not yet told of.
    assert kept - len(set(acknowledged)) <= ROUNDS
    assert [alert.frame for alert in alerts] == list(range(kept))
    for alert in alerts:
        assert alert.evidence is not None
        assert hashlib.sha256((tmp_path / alert.evidence).read_bytes()).hexdigest() == alert.evidence_sha256
