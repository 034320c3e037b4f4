"""`lineament report`: what it writes, what it says, what it refuses."""

import json
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from lineament.cli import exits
from lineament.cli.main import cli, main
from lineament.core.errors import DatasetInvalid, InvalidArgument, OutputFailed
from lineament.evaluate.run import Data, Run, System
from lineament.evaluate.verification import verification
from lineament.metrics.scores import Scores


@pytest.fixture
def record(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    similarity = np.concatenate([rng.normal(0.5, 0.15, 200), rng.normal(0, 0.15, 2000)]).clip(-1, 1)
    done = verification(Scores.of(similarity, np.arange(2200) < 200), targets=(1e-2,), replicates=0)
    errors = {"false_matches": [{"a": "x/1.png", "b": "y/2.png", "similarity": 0.4}], "false_nonmatches": []}
    path = tmp_path / "run.json"
    data = Data("made up", mated=200, nonmated=2000)
    Run("folder", System("m"), data, {**done.results, "errors": errors}, done.curves).save(path)
    return path


def test_everything_is_written_and_said_in_one_line(record: Path, tmp_path: Path) -> None:
    page, curves, figures = tmp_path / "r.html", tmp_path / "new" / "curves", tmp_path / "figures"
    call = [
        str(record),
        "--html",
        str(page),
        "--csv",
        str(curves),
        "--figures",
        str(figures),
        "--title",
        "A <b>",
    ]
    done = CliRunner().invoke(cli, ["report", *call], standalone_mode=False)
    assert done.exception is None and done.return_value == exits.DONE
    assert done.output == f"Wrote {page}, 2 curves in {curves}, 4 figures in {figures}\n"
    assert "<h1>A &lt;b&gt;</h1>" in page.read_text("utf-8")
    assert {p.name for p in curves.iterdir()} == {"roc.csv", "histogram.csv"}
    assert {p.suffix for p in figures.iterdir()} == {".svg"}


def test_machines_get_every_file(record: Path, tmp_path: Path) -> None:
    call = [str(record), "--figures", str(tmp_path / "f"), "--format", "png", "--json"]
    done = CliRunner().invoke(cli, ["report", *call], standalone_mode=False)
    written = [Path(name) for name in json.loads(done.output)["written"]]
    assert len(written) == 4
    for path in written:
        with PIL.Image.open(path) as picture:
            assert picture.format == "PNG"


def test_photographs_are_on_the_page_only_when_asked_for(record: Path, tmp_path: Path) -> None:
    for name in ("x/1.png", "y/2.png"):
        path = tmp_path / "people" / name
        path.parent.mkdir(parents=True)
        stream = BytesIO()
        exif = PIL.Image.Exif()
        exif[0x010E] = "a secret place"
        PIL.Image.new("RGB", (600, 300), (200, 120, 90)).save(stream, "PNG", exif=exif)
        path.write_bytes(stream.getvalue())
    page = tmp_path / "r.html"
    CliRunner().invoke(cli, ["report", str(record), "--html", str(page)], standalone_mode=False)
    assert "data:image" not in page.read_text("utf-8") and "holds photographs" not in page.read_text("utf-8")
    call = [str(record), "--html", str(page), "--thumbnails", str(tmp_path / "people"), "--worst", "1"]
    done = CliRunner().invoke(cli, ["report", *call], standalone_mode=False)
    assert done.exception is None
    text = page.read_text("utf-8")
    assert text.count("data:image/jpeg;base64,") == 2 and "holds photographs of people" in text
    assert "a secret place" not in text


def test_what_is_wrong_has_a_name(record: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text("{}")
    page = str(tmp_path / "r.html")
    calls: list[tuple[list[str], type[Exception]]] = [
        ([str(record)], InvalidArgument),
        ([str(record), "--csv", page, "--thumbnails", str(tmp_path)], InvalidArgument),
        ([str(record), "--html", str(record)], InvalidArgument),
        ([str(broken), "--html", page], DatasetInvalid),
        ([str(tmp_path / "absent.json"), "--html", page], DatasetInvalid),
        ([str(record), "--html", str(tmp_path / "no" / "r.html")], OutputFailed),
        ([str(record), "--csv", str(record / "x")], OutputFailed),
    ]
    for call, error in calls:
        done = CliRunner().invoke(cli, ["report", *call], standalone_mode=False)
        assert isinstance(done.exception, error), (call, done.exception)
    assert Run.load(record).data.name == "made up"


def test_exit_codes(record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "absent.json"), "--html", "r.html"]) == exits.BAD_INPUT
    assert main(["report", str(record), "--html", str(tmp_path / "no" / "r.html")]) == 9
    assert "no/r.html" in capsys.readouterr().err
