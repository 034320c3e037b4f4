"""A file of alerts: on the disk before it counts, each id once, pieces mended, everything else left alone."""

import hashlib
import json
import resource
import stat
from pathlib import Path

import cv2
import numpy as np
import pytest

from lineament.applications.watch.alert_file import AlertFile
from lineament.applications.watch.alerts import Alert, AlertSink, Evidence, Votes, iso
from lineament.core.errors import GalleryBroken, InvalidArgument, OutputFailed


def alert(number: int, *, kind: str = "enter", subject: str | None = "anna", source: str = "door") -> Alert:
    return Alert(
        id=hashlib.sha256(str(number).encode()).hexdigest()[:32],
        at="2026-11-25T12:00:00.000Z",
        moment=float(number),
        source=source,
        frame=number,
        kind=kind,  # type: ignore[arg-type]  (a text here)
        watchlist="staff",
        subject=subject,
        similarity=0.625,
        threshold={"value": 0.4, "fpir": 0.001, "gallery_size": 1000},
        model={"name": "m", "digest": "0" * 64},
        votes=Votes(3, 5, 0.75, 3, 0.0, None),
        track=1,
        began=1.5,
        visit=0,
        last_seen=2.5,
        evidence=None,
        evidence_sha256=None,
        evidence_frame=number,
        provenance={"lineament": "0", "detector": "d", "alignment": "arcface-112"},
    )


def crop(seed: int) -> Evidence:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    return Evidence(pixels, np.ones(4, np.float32) / 2)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_is_stored_can_be_read_by_anybody(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    with AlertFile(path) as file:
        assert isinstance(file, AlertSink)
        kept = file.store(alert(1), crop(1))
        assert kept is not None
    (line,) = lines(path)
    assert Alert.from_dict(line) == kept
    assert line["threshold"]["gallery_size"] == 1000
    assert line["votes"] == {
        "agreeing": 3,
        "of": 5,
        "share": 0.75,
        "needed": 3,
        "margin": 0.0,
        "second": None,
    }


def test_the_crop_lies_beside_and_is_the_very_one(tmp_path: Path):
    with AlertFile(tmp_path / "alerts.jsonl") as file:
        kept = file.store(alert(1), crop(1))
    assert kept is not None
    assert kept.evidence == f"alerts.evidence/{kept.id}.png"
    data = (tmp_path / kept.evidence).read_bytes()
    assert hashlib.sha256(data).hexdigest() == kept.evidence_sha256
    pixels = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(pixels, crop(1).crop)


def test_everything_is_private(tmp_path: Path):
    with AlertFile(tmp_path / "alerts.jsonl") as file:
        kept = file.store(alert(1), crop(1))
    assert kept is not None
    assert kept.evidence is not None
    for path in (tmp_path / "alerts.jsonl", tmp_path / kept.evidence):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "alerts.evidence").stat().st_mode) == 0o700


def test_no_crop_where_none_is_wanted(tmp_path: Path):
    with AlertFile(tmp_path / "alerts.jsonl", evidence=False) as file:
        kept = file.store(alert(1), crop(1))
    assert kept is not None
    assert kept.evidence is None
    assert [p.name for p in tmp_path.iterdir()] == ["alerts.jsonl"]


def test_an_id_is_kept_once_in_this_run_and_in_the_next(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    with AlertFile(path) as file:
        assert file.store(alert(1), None) is not None
        assert file.store(alert(1), crop(1)) is None
    with AlertFile(path) as file:
        assert len(file) == 1
        assert file.store(alert(1), None) is None
        assert file.store(alert(2), None) is not None
        assert not file.repaired
    assert [line["frame"] for line in lines(path)] == [1, 2]


def test_any_piece_of_a_last_line_is_taken_out(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    with AlertFile(path) as file:
        file.store(alert(1), None)
        whole = path.read_bytes()
        file.store(alert(2), None)
    both = path.read_bytes()
    for length in range(len(whole) + 1, len(both), 37):
        path.write_bytes(both[:length])
        with AlertFile(path) as file:
            assert file.repaired
            assert len(file) == 1
            assert path.read_bytes() == whole
            assert file.store(alert(2), None) is not None
        assert path.read_bytes() == both


def test_a_whole_last_line_that_lacks_only_its_end_is_kept(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    with AlertFile(path) as file:
        file.store(alert(1), None)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with AlertFile(path) as file:
        assert file.store(alert(1), None) is None
        assert file.store(alert(2), None) is not None
    assert path.read_bytes().startswith(whole)
    assert len(lines(path)) == 2


def test_a_piece_of_the_very_first_line(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    path.write_bytes(b'{"id": "00')
    with AlertFile(path) as file:
        assert file.store(alert(1), None) is not None
    assert len(lines(path)) == 1


def test_another_file_is_left_as_it_is(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("milk\nbread\n")
    with pytest.raises(InvalidArgument, match="not a file of alerts"):
        AlertFile(path)
    assert path.read_text() == "milk\nbread\n"
    with pytest.raises(InvalidArgument, match="not a file"):
        AlertFile(tmp_path)


def test_a_damaged_line_in_the_midst_is_an_error_and_nothing_is_lost(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    with AlertFile(path) as file:
        for k in range(3):
            file.store(alert(k), None)
    data = path.read_bytes().splitlines(keepends=True)
    damaged = data[0] + data[1].replace(b'"kind": "enter"', b'"kind": "entre"') + data[2]
    path.write_bytes(damaged)
    with pytest.raises(GalleryBroken, match="line 2"):
        AlertFile(path)
    assert path.read_bytes() == damaged


def test_two_at_a_time_are_refused(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    with AlertFile(path), pytest.raises(InvalidArgument, match="another process"):
        AlertFile(path)
    AlertFile(path).close()


def test_a_full_disk_is_a_named_error_and_leaves_whole_lines(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    with AlertFile(path) as file:
        file.store(alert(1), None)
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        import signal

        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
        try:
            with pytest.raises(OutputFailed, match=r"alerts\.jsonl"):
                file.store(alert(2), None)
            assert path.read_bytes() == before
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        # There is room again: the same call works.
        assert file.store(alert(2), None) is not None
    assert [line["frame"] for line in lines(path)] == [1, 2]


def test_an_interruption_at_any_place_keeps_each_alert_once(tmp_path: Path):
    """Ctrl-C at the n-th line of code of `store`, for every n; then the same call again."""
    import sys

    path = tmp_path / "alerts.jsonl"
    number = 0
    with AlertFile(path, evidence=False) as file:
        while True:
            count = 0

            def strike(frame: object, event: str, argument: object, number: int = number) -> object:
                nonlocal count
                if event == "line" and frame.f_code.co_filename.endswith("alert_file.py"):  # type: ignore[attr-defined]
                    count += 1
                    if count > number:
                        sys.settrace(None)
                        raise KeyboardInterrupt
                return strike

            sys.settrace(strike)
            try:
                file.store(alert(number), None)
                struck = False
            except KeyboardInterrupt:
                struck = True
            finally:
                sys.settrace(None)
            file.store(alert(number), None)
            number += 1
            if not struck:
                break
    assert number > 10
    assert [line["frame"] for line in lines(path)] == list(range(number))


def test_a_file_that_somebody_writes_to_meanwhile_is_noticed(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    with AlertFile(path) as file:
        file.store(alert(1), None)
        with path.open("ab") as other:
            other.write(b"hello\n")
        with pytest.raises(GalleryBroken, match="somebody else"):
            file.store(alert(2), None)
        with pytest.raises(OutputFailed):
            file.store(alert(2), None)
    assert path.read_bytes().endswith(b"hello\n")


def test_a_place_that_cannot_be_written(tmp_path: Path):
    with pytest.raises(OutputFailed, match="cannot write"):
        AlertFile(tmp_path / "nowhere" / "alerts.jsonl")
    file = AlertFile(tmp_path / "alerts.jsonl")
    file.close()
    with pytest.raises(OutputFailed):
        file.store(alert(1), None)


def test_the_latest_of_each_subject_source_and_list(tmp_path: Path):
    path = tmp_path / "alerts.jsonl"
    rows = [
        alert(1),
        alert(2, kind="exit"),
        alert(3, subject="ben"),
        alert(4, source="gate"),
        alert(5, kind="unknown", subject=None),
    ]
    with AlertFile(path) as file:
        for row in rows:
            file.store(row, None)
        first = file.latest("door", "staff")
    with AlertFile(path) as file:
        again = file.latest("door", "staff")
    assert [(a.subject, a.kind) for a in first] == [("anna", "exit"), ("ben", "enter")]
    assert first == again
    past = first[0].past()
    assert past is not None
    assert (past.subject, past.kind, past.moment) == ("anna", "exit", 2.0)
    assert rows[4].past() is None


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "entered"},
        {"id": "short"},
        {"moment": "noon"},
        {"moment": True},
        {"subject": 5},
        {"votes": {"for": 3}},
        {"type": "lineament alert 2"},
        {"more": 1},
    ],
)
def test_what_is_no_alert(change: dict):
    values = alert(1).to_dict()
    assert Alert.from_dict(json.loads(json.dumps(values))) == alert(1)
    with pytest.raises(InvalidArgument):
        Alert.from_dict(values | change)
    with pytest.raises(InvalidArgument):
        Alert.from_dict([values])


def test_faces_and_templates_stay_out_of_texts():
    assert repr(crop(1)) == "Evidence(crop=True, template=True)"


def test_moments_sort_as_their_texts_do():
    import datetime

    moments = [
        datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC) + datetime.timedelta(milliseconds=k)
        for k in (0, 7, 999, 1000)
    ]
    texts = [iso(m) for m in moments]
    assert texts == sorted(texts)
    assert texts[1] == "2026-03-01T12:00:00.007Z"


def test_descriptors_are_closed(tmp_path: Path):
    before = len(list(Path("/proc/self/fd").iterdir()))
    (tmp_path / "bad.jsonl").write_text("x\n")
    for _ in range(5):
        with pytest.raises(InvalidArgument):
            AlertFile(tmp_path / "bad.jsonl")
    after = len(list(Path("/proc/self/fd").iterdir()))
    assert after == before
