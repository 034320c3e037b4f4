"""Weights to begin from: every place they can be in, and centres at mean templates."""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
from safetensors.torch import save_file

from lineament.core.errors import CheckpointInvalid, DatasetInvalid
from lineament.train import backbones, heads, state
from lineament.train.backbones import foreign
from lineament.train.backbones.iresnet import LAYERS
from lineament.train.examples import Examples, open_examples
from lineament.train.loop import train
from lineament.train.own_data import finetune_recipe, require_crops
from lineament.train.parallel import Processes
from lineament.train.partial import PartialFC
from lineament.train.read_crop import read_crop
from lineament.train.recipe import Data, Recipe, part, with_settings
from lineament.train.run_folder import Best, write_best
from lineament.train.setup import prepare
from lineament.train.start import Beginning, find_weights, mean_templates
from lineament.train.templates import templates_of

BACKBONE = part("iresnet18", dimension=16, width=8, reduce=4)
PEOPLE, EACH = 6, 4


class Silent:
    """Watches a run and says nothing."""

    def planned(self, what: Any, from_step: int) -> None: ...
    def preparing(self, done: int, total: int) -> None: ...
    def stepped(self, step: int, total: int, row: dict[str, Any]) -> None: ...
    def validated(self, step: int, result: Any, best: bool) -> None: ...
    def noted(self, sentence: str) -> None: ...


def picture(person: int, number: int, side: int = 112) -> bytes:
    pattern = np.random.default_rng([9, person]).uniform(60, 200, (6, 6, 3)).astype(np.float32)
    noise = np.random.default_rng([3, person, number]).normal(0, 10, (side, side, 3))
    crop = cv2.resize(pattern, (side, side), interpolation=cv2.INTER_CUBIC) + noise
    stream = BytesIO()
    PIL.Image.fromarray(np.clip(crop, 0, 255).astype(np.uint8)).save(stream, "png")
    return stream.getvalue()


def people(path: Path, side: int = 112) -> Path:
    with zipfile.ZipFile(path, "w") as opened:
        for person in range(PEOPLE):
            for number in range(EACH):
                opened.writestr(f"p{person}/{number}.png", picture(person, number, side))
        opened.writestr("p0/cut.png", picture(0, 0, side)[:200])
    return path


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return people(tmp_path_factory.mktemp("crops") / "people.zip")


def recipe_for(path: Path) -> Recipe:
    made = finetune_recipe(
        Data(path=str(path)), BACKBONE, name="small", source="nowhere", pictures=PEOPLE * EACH
    )
    return with_settings(
        made,
        ["steps=2", "threads=1", "channels_last=false", "schedule.warmup_epochs=0", "keep=0", "save_every=1"],
    )


@pytest.fixture(scope="module")
def run(crops: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "small"
    train(recipe_for(crops), folder, Silent(), device="cpu")
    return folder


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_gives_its_best_checkpoint_and_else_its_newest(run: Path) -> None:
    first, last = state.checkpoints(run)[0], state.checkpoints(run)[-1]
    assert first != last
    assert find_weights(run).where == last
    write_best(run, Best(first.name, 1, 0.5, 0.4, 0.6))
    try:
        found = find_weights(run)
    finally:
        (run / "best.json").unlink()
    assert found.where == first
    assert found.run == run and found.recipe is not None and found.recipe.name == "small"
    assert same(found.tensors, state.read_tensors(first / state.BACKBONE))
    assert find_weights(first).where == first


def test_weights_arrive_in_the_network_whole(run: Path) -> None:
    found = find_weights(run)
    network = backbones.build(found.backbone)
    Beginning(found)(network)
    assert same(dict(network.state_dict()), found.tensors)
    other = backbones.build(part("iresnet18", dimension=8, width=8, reduce=4))
    with pytest.raises(CheckpointInvalid, match="another one than the recipe's"):
        Beginning(found)(other)


def test_a_pack_gives_its_training_weights_and_an_onnx_alone_is_refused(run: Path, tmp_path: Path) -> None:
    found = find_weights(run)
    assert found.recipe is not None
    pack = tmp_path / "pack"
    (pack / "training").mkdir(parents=True)
    (pack / "pack.json").write_text("{}")
    (pack / "net.onnx").write_bytes(b"")
    for path in (pack, pack / "net.onnx"):
        (pack / "training/recipe.json").unlink(missing_ok=True)
        with pytest.raises(CheckpointInvalid, match=r"ONNX only.*Name the checkpoint"):
            find_weights(path)
    save_file(found.tensors, pack / "training/backbone.safetensors")
    (pack / "training/recipe.json").write_text(json.dumps(found.recipe.to_dict()))
    again = find_weights(pack)
    assert same(again.tensors, found.tensors)
    assert again.backbone == found.backbone and again.run is None
    (pack / "training/recipe.json").write_text('{"recipe": 3}')
    with pytest.raises(CheckpointInvalid, match=r"recipe\.json cannot be read"):
        find_weights(pack)


def test_weights_of_arcface_torch_are_known_by_their_names(tmp_path: Path) -> None:
    network = backbones.build(part("iresnet18", dimension=16, width=8))
    names = dict(foreign._iresnet_names(LAYERS["iresnet18"]))
    theirs = {foreign._their_name(ours, names): value for ours, value in network.state_dict().items()}
    torch.save(theirs, tmp_path / "model.pt")
    found = find_weights(tmp_path / "model.pt")
    assert found.recipe is None and found.backbone.options["width"] == 8
    fresh = backbones.build(found.backbone)
    Beginning(found)(fresh)
    assert same(dict(fresh.state_dict()), dict(network.state_dict()))


def test_nothing_to_begin_from(tmp_path: Path) -> None:
    with pytest.raises(CheckpointInvalid, match="nothing to begin from"):
        find_weights(tmp_path / "nothing")
    with pytest.raises(CheckpointInvalid, match="neither a checkpoint"):
        find_weights(tmp_path)


def slow_mean(network: Any, examples: Examples, person: int) -> np.ndarray:
    rows = [
        row for row in np.flatnonzero(examples.labels == person).tolist() if "cut" not in examples.name(row)
    ]
    total = np.zeros(16)
    for row in rows:
        crop = read_crop(examples, row, "rgb", 112)
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            raw = network((pixels - 127.5) / 127.5)[0].numpy()
        total += raw / np.linalg.norm(raw)
    return total / np.linalg.norm(total)


def test_mean_templates_are_the_slow_ones_on_any_process(run: Path, crops: Path) -> None:
    network, _ = state.load_backbone(find_weights(run).where)
    examples = open_examples(Data(path=str(crops)))
    whole = mean_templates(network, examples, Data(), first=0, last=PEOPLE)
    for person in range(PEOPLE):
        np.testing.assert_allclose(whole[person], slow_mean(network, examples, person), atol=1e-5)
    part_of = mean_templates(network, examples, Data(), first=2, last=5, threads=2)
    torch.testing.assert_close(part_of, whole[2:5])
    unit, broken = templates_of(network, examples, np.arange(len(examples), dtype=np.int64), Data())
    assert [examples.name(row) for row in broken] == ["p0/cut.png"]
    assert float(unit[next(iter(broken))].abs().max()) == 0.0
    examples.close()


def test_centres_point_at_means_and_keep_their_length(run: Path, crops: Path) -> None:
    network, _ = state.load_backbone(find_weights(run).where)
    examples = open_examples(Data(path=str(crops)))
    beginning = Beginning(find_weights(run))
    means = mean_templates(network, examples, Data(), first=0, last=PEOPLE)
    for head in (part("arcface"), part("subcenter", centres=3), part("softmax")):
        centres = PartialFC(heads.build(head), PEOPLE, 16, seed=3)
        before = centres.weight.clone()
        beginning.place_centres(network, centres, examples, Data(), 1)
        if head.kind == "softmax":
            assert torch.equal(centres.weight, before)
            continue
        torch.testing.assert_close(centres.weight[:, 0].norm(dim=1), before[:, 0].norm(dim=1))
        cosines = torch.nn.functional.cosine_similarity(centres.weight[:, 0], means)
        assert float(cosines.min()) > 0.9999
        assert torch.equal(centres.weight[:, 1:], before[:, 1:])
        Beginning(find_weights(run), means=False).place_centres(network, centres, examples, Data(), 1)
        assert float(torch.nn.functional.cosine_similarity(centres.weight[:, 0], means).min()) > 0.9999
    examples.close()


def test_a_run_begins_with_them_and_goes_on_without(run: Path, crops: Path, tmp_path: Path) -> None:
    recipe, beginning = recipe_for(crops), Beginning(find_weights(run))
    alone = Processes(0, 1, torch.device("cpu"))
    examples = open_examples(recipe.data)
    made = prepare(recipe, tmp_path, examples, alone, beginning, lambda done, total: None)
    assert same(dict(made.network.state_dict()), beginning.weights.tensors)
    fresh = prepare(recipe, tmp_path, examples, alone, None, lambda done, total: None)
    placed, random = made.objective.sharded()["weight"], fresh.objective.sharded()["weight"]
    assert not torch.equal(placed, random)
    # In the folder of a run with a checkpoint, the checkpoint's centres count; none are made for nothing.
    resumed = prepare(recipe, run, examples, alone, beginning, lambda done, total: None)
    assert torch.equal(resumed.objective.sharded()["weight"], random)
    examples.close()


def test_the_recipe_follows_source_and_data() -> None:
    made = finetune_recipe(
        Data(path="x"), BACKBONE, name="n", source="s", head=part("cosface", scale=30.0), precision="bf16",
        channels_last=False, pictures=900, persons=60,
    )  # fmt: skip
    assert (made.backbone, made.head.kind, made.precision) == (BACKBONE, "cosface", "bf16")
    assert not made.channels_last
    assert (made.batch, made.data.held_out, made.validate_every) == (64, 0.1, 13)
    few = finetune_recipe(
        Data(path="x"), BACKBONE, name="n", source="s", head=part("distil"), pictures=11, persons=3
    )
    assert (few.batch, few.head.kind, few.data.held_out, few.validate_every) == (8, "arcface", 0.0, 0)


def test_photographs_are_sent_to_prepare(tmp_path: Path, crops: Path) -> None:
    data = Data(path=str(people(tmp_path / "large.zip", side=150)))
    with pytest.raises(DatasetInvalid, match=r"not crops of 112×112.*lineament train prepare"):
        require_crops(open_examples(data), data)
    require_crops(open_examples(Data(path=str(crops))), Data(path=str(crops)))
