"""`lineament train angles` on a checkpoint written here: its figures are those of the formula."""

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lineament.cli import exits
from lineament.cli.train.angles import angles_command
from lineament.core.errors import LineamentError
from lineament.train import backbones, heads
from lineament.train.angles import angle_statistics
from lineament.train.backbones.port import Backbone
from lineament.train.embedder import normalised
from lineament.train.parallel import Processes
from lineament.train.partial import PartialFC
from lineament.train.recipe import Data, Part, Recipe, part
from lineament.train.state import Snapshot, save_snapshot

PERSONS = ["Ada", "Bob", "Cy", "Dee"]
PICTURES = 3


def angles(*arguments: object) -> int:
    """The exit code of the command line."""
    try:
        return angles_command.main([str(a) for a in arguments], standalone_mode=False)
    except LineamentError as error:
        return exits.code_of(error)


@pytest.fixture(scope="session")
def crops(astronaut: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A zip of four persons with three crops each; the last of Dee is damaged."""
    path = tmp_path_factory.mktemp("crops") / "crops.zip"
    with zipfile.ZipFile(path, "w") as made:
        for number in range(len(PERSONS) * PICTURES):
            person, at = PERSONS[number // PICTURES], number % PICTURES
            y, x = 90 * (number // PICTURES) + 4 * at, 60 + 30 * at
            _, data = cv2.imencode(".png", astronaut[y : y + 112, x : x + 112, ::-1])
            made.writestr(f"{person}/{at}.png", data.tobytes() if number < 11 else b"\x89PNG no more")
    return path


def pixels(path: Path, persons: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Crops that can be decoded, and the number of the person of each."""
    with zipfile.ZipFile(path) as opened:
        raw = [(name.split("/")[0], opened.read(name)) for name in opened.namelist()]
    found = [(p, cv2.imdecode(np.frombuffer(b, np.uint8), cv2.IMREAD_COLOR)) for p, b in raw if p in persons]
    kept = [(persons.index(p), image[..., ::-1]) for p, image in found if image is not None]
    return np.stack([image for _, image in kept]), np.array([number for number, _ in kept])


def saved(folder: Path, data: Path, head: Part, classes: list[str]) -> tuple[Path, Backbone, PartialFC]:
    recipe = Recipe(
        name="tiny",
        summary="For a test.",
        data=Data(path=str(data)),
        backbone=part("iresnet18", dimension=16, width=8, reduce=4),
        head=head,
        optimiser=part("sgd", learning_rate=0.1),
        schedule=part("cosine"),
        batch=4,
        micro_batch=4,
        steps=1,
        threads=1,
    )
    torch.manual_seed(0)
    network = backbones.build(recipe.backbone)
    # Of a network without training all embeddings are nearly the same: running means make them differ.
    network.train()
    with torch.no_grad():
        network(torch.from_numpy(pixels(data, PERSONS)[0].copy()).permute(0, 3, 1, 2).float() / 127.5 - 1)
    network.eval()
    centres = PartialFC(heads.build(head), len(classes), 16, seed=1)
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    snapshot = Snapshot(1, recipe, classes, network, optimiser, centres.state_tensors(), 0, {}, {})
    checkpoint = save_snapshot(folder, snapshot, Processes(0, 1, torch.device("cpu")))
    return checkpoint, network, centres


def embed(network: Backbone, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        raw: torch.Tensor = network(normalised(images, torch.device("cpu")))
    return torch.nn.functional.normalize(raw).numpy()


@pytest.mark.parametrize("kind", ["arcface", "softmax", "subcenter"])
def test_figures_are_those_of_the_formula(
    kind: str, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Held-out Bob has no class centre, and classes have an order of their own.
    classes = ["Cy", "Dee", "Ada"]
    checkpoint, network, centres = saved(tmp_path, crops, part(kind), classes)
    assert angles(checkpoint, "--others", crops, "--json") == exits.DONE
    found = json.loads(capsys.readouterr().out)
    images, labels = pixels(crops, classes)
    vectors = embed(network, images)
    weight = centres.weight[..., :16].numpy()
    own = weight[:, 0]
    if kind == "subcenter":
        unit = weight / np.linalg.norm(weight, axis=2, keepdims=True)
        nearest = np.einsum("nd,nkd->nk", vectors, unit[labels]).argmax(axis=1)
        most = [np.bincount(nearest[labels == j], minlength=3).argmax() for j in range(3)]
        assert any(most)
        own = weight[np.arange(3), most]
    expected = angle_statistics(vectors, labels, own)
    trained = found["training data"]
    for name in ("w_ec", "w_inter", "intra", "inter"):
        assert trained[name] == pytest.approx(getattr(expected, name), abs=1e-3), name
    counts = {k: trained[k] for k in ("pictures", "classes", "other_persons", "broken")}
    assert counts == {"pictures": 8, "classes": 3, "other_persons": 1, "broken": 1}
    images, labels = pixels(crops, PERSONS)
    everybody = angle_statistics(embed(network, images), labels)
    others = found["other people"]
    assert (others["w_ec"], others["classes"]) == (None, 4)
    assert others["intra"] == pytest.approx(everybody.intra, abs=1e-3)
    assert others["inter"] == pytest.approx(everybody.inter, abs=1e-3)


def test_for_people(crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint, _, _ = saved(tmp_path, crops, part("arcface"), PERSONS)
    assert angles(checkpoint) == exits.DONE
    printed = capsys.readouterr().out
    assert "training data: 11 pictures of 4 persons" in printed
    assert "1 pictures that cannot be used" in printed
    assert [line.split(",")[0].strip() for line in printed.splitlines()[1:]] == [
        "W-EC",
        "W-Inter",
        "Intra",
        "Inter",
    ]


def test_an_objective_without_class_centres(
    crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint, _, _ = saved(tmp_path, crops, part("arcface"), PERSONS)
    for shard in checkpoint.glob("centres-*"):
        shard.unlink()
    meta = json.loads((checkpoint / "meta.json").read_text())
    meta["files"] = {name: digest for name, digest in meta["files"].items() if "centres" not in name}
    (checkpoint / "meta.json").write_text(json.dumps(meta))
    assert angles(checkpoint, "--json") == exits.DONE
    found = json.loads(capsys.readouterr().out)["training data"]
    assert found["w_ec"] is None and found["inter"] > 0


def test_what_cannot_be_measured(crops: Path, tmp_path: Path) -> None:
    assert angles(tmp_path, "--data", crops) == 10
    strangers, _, _ = saved(tmp_path / "a", crops, part("arcface"), ["Eve", "Fay"])
    assert angles(strangers) == 4
    one, _, _ = saved(tmp_path / "b", crops, part("arcface"), ["Ada", "Fay"])
    assert angles(one) == 4
    assert angles(one, "--data", tmp_path / "nowhere.zip") == 4
