"""The doctor finds planted faults, each by its own check, and nothing where nothing is."""

import math
import zipfile
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
import torch

from lineament.train import heads
from lineament.train.doctor import Check, look_at_data, overlap, plain
from lineament.train.doctor_run import chance, look_at_run
from lineament.train.examples import open_examples
from lineament.train.parallel import Processes
from lineament.train.partial import PartialFC
from lineament.train.recipe import Data, Part, Recipe, part, with_settings

ALONE = Processes(0, 1, torch.device("cpu"))


def picture(person: int, number: int, side: int = 112, swap: bool = False) -> bytes:
    """A reddish pattern of one person, with noise."""
    pattern = np.random.default_rng([9, person]).uniform(60, 200, (6, 6, 3)).astype(np.float32)
    pattern[..., 0] += 40
    noise = np.random.default_rng([3, person, number]).normal(0, 10, (side, side, 3))
    crop = cv2.resize(pattern, (side, side), interpolation=cv2.INTER_CUBIC) + noise
    pixels = np.clip(crop, 0, 255).astype(np.uint8)
    stream = BytesIO()
    PIL.Image.fromarray(np.ascontiguousarray(pixels[..., ::-1] if swap else pixels)).save(stream, "png")
    return stream.getvalue()


def zipped(path: Path, files: dict[str, bytes]) -> Data:
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    return Data(path=str(path))


def good(people: int = 8, each: int = 6) -> dict[str, bytes]:
    return {f"Person {chr(65 + p)}/{n}.png": picture(p, n) for p in range(people) for n in range(each)}


def looked(data: Data, **options: object) -> dict[str, Check]:
    examples = open_examples(data)
    checks = look_at_data(examples, data, **options)
    examples.close()
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def recipe_for(data: Data, *settings: str, head: Part | None = None) -> Recipe:
    made = Recipe(
        name="small",
        summary="Small.",
        data=data,
        backbone=part("iresnet18", dimension=32, width=8, reduce=4),
        head=head or part("arcface", scale=16.0, margin=0.3),
        optimiser=part("sgd", learning_rate=0.1, momentum=0.9),
        schedule=part("constant"),
        batch=16,
        micro_batch=8,
        epochs=4.0,
        threads=1,
        channels_last=False,
    )
    return with_settings(made, settings)


def ran(recipe: Recipe, **options: object) -> dict[str, Check]:
    examples = open_examples(recipe.data)
    checks = look_at_run(recipe, examples, ALONE, **options)
    examples.close()
    return {check.name: check for check in checks}


def test_good_data_have_no_findings(tmp_path: Path) -> None:
    data = zipped(tmp_path / "good.zip", good())
    found = looked(data)
    assert [check for check in found.values() if check.todo] == []
    assert "8 persons, 48 pictures; 6 to 6 of each, median 6; 0 persons with one" in found["persons"].said
    assert "all were read" in found["pictures"].said


def test_every_planted_fault_of_the_data_is_found(tmp_path: Path) -> None:
    files = good()
    files["Person A/cut.png"] = files["Person A/0.png"][:300]
    files["Person A/large.png"] = picture(0, 9, side=150)
    files["Person B/again.png"] = files["Person B/1.png"]
    files["Person C/theirs.png"] = files["Person D/2.png"]
    found = looked(zipped(tmp_path / "bad.zip", files))
    assert set(found["pictures"].names) == {"Person A/cut.png", "Person A/large.png"}
    assert "crop_size" in found["pictures"].said and "data.exclude" in found["pictures"].todo
    assert len(found["duplicates"].names) == 1 and "Person B" in found["duplicates"].names[0]
    assert set(found["labels"].names) == {"Person C/theirs.png", "Person D/2.png"}
    assert "lineament train clean" in found["labels"].todo
    assert not found["persons"].todo and not found["colour"].todo


def test_photographs_singletons_and_swapped_channels(tmp_path: Path) -> None:
    large = {f"P{p}/{n}.png": picture(p, n, side=160) for p in range(3) for n in range(2)}
    assert "lineament train prepare" in looked(zipped(tmp_path / "large.zip", large))["pictures"].todo
    single = {f"P{p}/{n}.png": picture(p, n, swap=True) for p in range(4) for n in range(1 + (p > 1))}
    data = zipped(tmp_path / "single.zip", single)
    found = looked(data)
    assert "2 persons with one picture" in found["persons"].said
    assert "data.fewest" in found["persons"].todo
    assert "data.colour" in found["colour"].todo
    turned = Data(path=data.path, colour="bgr")
    assert not looked(turned)["colour"].todo


def test_a_sample_takes_whole_persons(tmp_path: Path) -> None:
    files = good()
    files["Person A/again.png"] = files["Person A/1.png"]
    calls: list[int] = []
    found = looked(zipped(tmp_path / "x.zip", files), sample=14, advance=lambda: calls.append(1))
    assert "of 49 were read" in found["pictures"].said
    assert 0 < len(calls) <= 14
    assert found["duplicates"].todo


def test_people_of_a_test_set_are_known_however_they_are_spelt(tmp_path: Path) -> None:
    assert plain("José  Álvarez-Núñez") == plain("jose_alvarez_nunez") == "josealvareznunez"
    assert plain("王") and not plain("0123")
    zipped(tmp_path / "test.zip", {"Jose_Alvarez/1.jpg": b"x", "Ada/2.jpg": b"x"})
    found = overlap(("José Álvarez", "Bob"), tmp_path / "test.zip")
    assert found.names == ("José Álvarez",) and "data.exclude" in found.todo
    assert not overlap(("Bob",), tmp_path / "test.zip").todo
    (tmp_path / "names.csv").write_text("name,reason\njose álvarez,x\n", "utf-8")
    assert overlap(("José Álvarez", "Bob"), tmp_path / "names.csv").names == ("José Álvarez",)
    assert "numbers" in overlap(("17", "18"), tmp_path / "test.zip").said
    assert overlap(("17", "18"), tmp_path / "test.zip").todo


@pytest.mark.parametrize(
    "head",
    [
        part("softmax"),
        part("arcface", scale=64.0, margin=0.5),
        part("subcenter", centres=3, scale=32.0, margin=0.5),
        part("adaface"),
        part("magface"),
        part("curricularface"),
    ],
    ids=lambda head: head.kind,
)
def test_chance_is_what_random_centres_give(head: Part) -> None:
    dimension, classes, rows = 64, 3000, 256
    centres = PartialFC(heads.build(head), classes, dimension, seed=1)
    centres.head.strength = 0.0
    generator = torch.Generator().manual_seed(2)
    embedding = torch.randn(rows, dimension, generator=generator) * 2.0
    label = torch.arange(rows) * 7
    centres.begin(label, 0)
    loss = float(centres(embedding, label).loss.detach())
    expected, spread = chance(head, classes, dimension, embedding.norm(dim=1))
    assert abs(loss - expected) < 0.2 + 4 * spread / math.sqrt(64)
    assert abs(loss - expected) < 1.5


def test_a_run_that_works_has_no_findings(tmp_path: Path) -> None:
    recipe = recipe_for(zipped(tmp_path / "good.zip", good()))
    found = ran(recipe)
    # Whether the loader keeps up is the machine's business, not the test's.
    assert [name for name, check in found.items() if check.todo and name != "speed"] == []
    assert list(found) == ["loader", "first loss", "memory", "speed", "time", "learning"]
    assert "12 steps of 16" in found["time"].said


def test_a_rate_that_cannot_learn_is_found(tmp_path: Path) -> None:
    data = zipped(tmp_path / "good.zip", good())
    found = ran(recipe_for(data, "optimiser.learning_rate=1e-9"))
    assert "learning_rate" in found["learning"].todo
    assert not found["first loss"].todo
    few = ran(recipe_for(data, "optimiser.learning_rate=1e-9"), seconds=0.0)
    assert "too few to tell" in few["learning"].said


def test_memory_is_that_of_the_tensors(tmp_path: Path) -> None:
    data = zipped(tmp_path / "good.zip", good())

    def kept(*settings: str) -> float:
        said = ran(recipe_for(data, *settings), seconds=0.0)["memory"].said
        number, unit = said.partition("backward pass ")[2].split(";")[0].split()[:2]
        return float(number.replace(",", "")) * {"MiB": 1, "GiB": 1024}[unit]

    one, two, less = kept(), kept("micro_batch=16"), kept("checkpoint_activations=true")
    assert 1.8 < two / one < 2.2
    assert less < 0.8 * one


def test_what_cannot_be_run_is_a_finding_with_its_reason(tmp_path: Path) -> None:
    large = {f"P{p}/{n}.png": picture(p, n, side=160) for p in range(3) for n in range(8)}
    found = ran(recipe_for(zipped(tmp_path / "large.zip", large)))
    assert list(found) == ["steps"]
    assert "dataset_invalid" in found["steps"].said and "data.size" in found["steps"].todo
    taught = recipe_for(zipped(tmp_path / "good.zip", good()), head=part("distil"))
    assert "teacher" in ran(taught)["steps"].said
