"""The log of a run, and what TensorBoard reads."""

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from lineament.core.errors import OutputFailed
from lineament.train.log import Log, read_rows, reported


def events(run: Path) -> list[Any]:
    """All events in all files, in order of their names."""
    from tensorboardX.proto import event_pb2

    found: list[Any] = []
    for path in sorted((run / "tensorboard").iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            event = event_pb2.Event()
            event.ParseFromString(data[at + 12 : at + 12 + length])
            found.append(event)
            at += 16 + length
    return found


def test_rows_and_scalars(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    log.add(1, "step", {"loss": 2.5, "accuracy": math.nan, "count": 3, "flag": True})
    log.add(1, "broken", {"picture": "näme/\udcff\u2028.jpg: empty"})
    # What was added can be read while the run goes on.
    assert read_rows(tmp_path / "log.jsonl") == [
        {"step": 1, "kind": "step", "loss": 2.5, "accuracy": None, "count": 3, "flag": True},
        {"step": 1, "kind": "broken", "picture": "näme/\udcff\u2028.jpg: empty"},
    ]
    scalars = {(v.tag, event.step): v.simple_value for event in events(tmp_path) for v in event.summary.value}
    assert scalars["step/loss", 1] == 2.5
    assert scalars["step/count", 1] == 3.0
    assert set(scalars) == {("step/loss", 1), ("step/accuracy", 1), ("step/count", 1)}
    log.close()


def test_it_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    for step in range(1, 6):
        log.add(step, "step", {"loss": float(step)})
    log.close()
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"step": 6, "kind": "st')
    log = Log(tmp_path, 3)
    log.add(4, "step", {"loss": 40.0})
    log.close()
    assert [(r["step"], r["loss"]) for r in read_rows(tmp_path / "log.jsonl")] == [
        (1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0)
    ]  # fmt: skip
    # Two files, though both began within a second, and a mark to forget what came after step 3.
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    marks = [event.step for event in events(tmp_path) if event.HasField("session_log")]
    assert marks == [1, 4]


def test_lines_that_are_no_rows_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert read_rows(path) == []
    path.write_text('\n3\n{"kind": "step"}\n{"step": 1}\nnonsense\n')
    assert read_rows(path) == [{"step": 1}]


def test_every_line_is_json(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    log.add(1, "step", {"loss": math.inf})
    log.close()
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail) == {"step": 1, "kind": "step", "loss": None}


def test_nowhere_to_write(tmp_path: Path) -> None:
    with pytest.raises(OutputFailed, match=r"log\.jsonl"):
        Log(tmp_path / "absent", 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("what", ["log.jsonl", "board"])
def test_a_full_disk_is_told_and_closing_is_quiet(tmp_path: Path, what: str) -> None:
    log = Log(tmp_path, 0)
    with Path("/dev/full").open("w") as full:
        if what == "board":
            inner = next(iter((tmp_path / "tensorboard").iterdir()))
            target = next(int(p.name) for p in Path("/proc/self/fd").iterdir() if points_at(p, inner))
            os.dup2(full.fileno(), target)
        else:
            target = log._stream.fileno()
            os.dup2(full.fileno(), target)
        with pytest.raises(OutputFailed, match="make room"):
            for _ in range(1000):
                log.add(1, "step", {"loss": 1.0})
        log.close()


def points_at(descriptor: Path, file: Path) -> bool:
    try:
        return descriptor.resolve() == file.resolve()
    except OSError:
        return False


def test_a_broken_picture_that_was_told_of_is_known_when_the_run_goes_on(tmp_path: Path) -> None:
    assert reported(tmp_path, 0) == set()
    log = Log(tmp_path, 0)
    log.add(3, "broken", {"picture": "Ada/1.jpg: image_truncated"})
    log.add(7, "broken", {"picture": "Bo/2.jpg: crop_size"})
    log.close()
    assert reported(tmp_path, 5) == {"Ada/1.jpg: image_truncated"}
