"""`lineament train finetune`, `doctor` and `clean` from the command line, on patterns made by code."""

import csv
import json
import zipfile
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from lineament.cli.main import main
from lineament.train import state

TINY = ["backbone.dimension=16", "backbone.width=8", "backbone.reduce=4", "threads=1", "channels_last=false"]


def settings(*values: str) -> list[str]:
    return [word for value in values for word in ("--set", value)]


def picture(person: int, number: int, side: int = 112) -> bytes:
    pattern = np.random.default_rng([9, person]).uniform(60, 200, (6, 6, 3)).astype(np.float32)
    pattern[..., 0] += 40
    noise = np.random.default_rng([3, person, number]).normal(0, 10, (side, side, 3))
    crop = cv2.resize(pattern, (side, side), interpolation=cv2.INTER_CUBIC) + noise
    stream = BytesIO()
    PIL.Image.fromarray(np.clip(crop, 0, 255).astype(np.uint8)).save(stream, "png")
    return stream.getvalue()


def people(path: Path, first: int, count: int, side: int = 112) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for person in range(first, first + count):
            for number in range(6):
                opened.writestr(f"Person {chr(65 + person)}/{number}.png", picture(person, number, side))
    return path


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Data, and the folder with the list, the sheet and the run that `clean` made."""
    folder = tmp_path_factory.mktemp("cleaned")
    data = people(folder / "people.zip", 0, 6)
    arguments = ["train", "clean", str(data), "-o", str(folder / "exclude.csv"), "--device", "cpu"]
    arguments += ["--sheet", str(folder / "worst.png"), *settings(*TINY, "epochs=3")]
    assert main(arguments) == 0
    return data, folder


def test_clean_writes_a_list_and_says_what_next(
    cleaned: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    data, folder = cleaned
    with (folder / "exclude.csv").open(encoding="utf-8", newline="") as stream:
        assert next(csv.reader(stream)) == ["name", "reason", "angle"]
    assert (folder / "worst.png").is_file()
    (checkpoint,) = state.checkpoints(folder / "exclude_run")
    again = folder / "again.csv"
    arguments = ["train", "clean", str(data), "-o", str(again), "--checkpoint", str(checkpoint), "--json"]
    assert main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert again.read_bytes() == (folder / "exclude.csv").read_bytes()
    assert summary["pictures"] == 36 and summary["persons"] == 6
    assert summary["listed"] == len(again.read_text().splitlines()) - 1
    assert main([*arguments[:-1], "--angle", "0"]) == 0
    said = capsys.readouterr()
    assert "36 of 36 pictures" in said.out and "data.exclude=" in said.out
    assert "learnt too little" in said.err


def test_clean_refuses_what_it_cannot_do(tmp_path: Path, cleaned: tuple[Path, Path]) -> None:
    data, _ = cleaned
    out = ["-o", str(tmp_path / "x.csv"), "--device", "cpu"]
    assert main(["train", "clean", str(data), *out, "--set", "head.kind=arcface"]) == 3
    assert main(["train", "clean", str(data), *out, "--sheet", "x.jpg"]) == 3
    assert main(["train", "clean", str(data), *out, "--checkpoint", str(tmp_path)]) == 10
    assert main(["train", "clean", str(tmp_path / "none"), *out]) == 4
    other = people(tmp_path / "other.zip", 3, 6)
    (checkpoint,) = state.checkpoints(cleaned[1] / "exclude_run")
    assert main(["train", "clean", str(other), *out, "--checkpoint", str(checkpoint)]) == 10
    assert list(tmp_path.iterdir()) == [other]


def test_finetune_goes_on_from_a_run_with_other_people(
    cleaned: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = cleaned[1] / "exclude_run"
    data = people(tmp_path / "other.zip", 4, 5)
    arguments = ["train", "finetune", "--from", str(source), "--data", str(data), "--device", "cpu"]
    arguments += ["-o", str(tmp_path / "run"), "--json", *settings("threads=1", "epochs=1")]
    assert main(arguments) == 0
    folder = Path(json.loads(capsys.readouterr().out)["best"])
    recipe = state.recipe_of(state.read_meta(folder), folder)
    assert recipe.name == "finetune_clean" and str(source) in recipe.summary
    assert recipe.backbone.options["width"] == 8 and recipe.head.kind == "subcenter"
    assert recipe.optimiser.options["learning_rate"] == 0.01
    assert state.read_classes(folder) == [f"Person {c}" for c in "EFGHI"]


@pytest.mark.parametrize(
    ("chosen", "batch"),
    [
        (["data.held_out=0.4"], 32),
        (["data.held_out=0.4", "batch=8"], 8),
        (["batch=24", "micro_batch=12"], 24),
    ],
)
def test_finetune_fits_its_batch_to_who_is_left(
    cleaned: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    chosen: list[str],
    batch: int,
) -> None:
    """12 persons of 6 pictures: 72, of which 42 are left when a share of 0.4 is held out."""
    data = people(tmp_path / "other.zip", 6, 12)
    arguments = [
        "train",
        "finetune",
        "--from",
        str(cleaned[1] / "exclude_run"),
        "--data",
        str(data),
        "--json",
    ]
    arguments += ["--device", "cpu", "-o", str(tmp_path / "run"), *settings("threads=1", "epochs=1", *chosen)]
    assert main(arguments) == 0
    folder = Path(json.loads(capsys.readouterr().out)["checkpoint"])
    assert state.recipe_of(state.read_meta(folder), folder).batch == batch


def test_finetune_refuses_before_anything_is_written(
    cleaned: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, source = cleaned[0], cleaned[1] / "exclude_run"
    (tmp_path / "net.onnx").write_bytes(b"")
    finetune = ["train", "finetune", "--from"]
    assert main([*finetune, str(tmp_path / "net.onnx"), "--data", str(data)]) == 10
    assert "ONNX only" in capsys.readouterr().err
    assert main([*finetune, str(source), "--data", str(data), "-o", str(source)]) == 3
    assert "name another folder" in capsys.readouterr().err
    photographs = people(tmp_path / "photographs.zip", 0, 3, side=150)
    out = tmp_path / "run"
    assert main([*finetune, str(source), "--data", str(photographs), "-o", str(out)]) == 4
    assert "lineament train prepare" in capsys.readouterr().err
    assert main([*finetune, str(source)]) == 3
    assert "data.path" in capsys.readouterr().err
    assert not out.exists()


def test_doctor_answers_with_its_exit_code(
    cleaned: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkpoint,) = state.checkpoints(cleaned[1] / "exclude_run")
    arguments = ["train", "doctor", str(checkpoint / "meta.json"), "--device", "cpu", "--seconds", "1"]
    main([*arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    names = [check["name"] for check in told["checks"]]
    assert {"data", "persons", "pictures", "colour", "first loss", "memory", "learning"} <= set(names)
    assert told["findings"] == sum(bool(check["todo"]) for check in told["checks"])
    assert main([*arguments, "--data-only"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    against = people(tmp_path / "test.zip", 5, 2)
    assert main([*arguments, "--data-only", "--against", str(against)]) == 8
    said = capsys.readouterr().out
    assert "! overlap" in said and "1 to look at" in said
    assert main([*arguments, "--data", str(tmp_path / "none")]) == 4
    assert main(["train", "doctor", "recipes.nobody_has_this"]) == 3
