"""The proof notices what it is there to notice."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lineament.core.errors import ExportFailed, InvalidArgument
from lineament.embed.onnx import OnnxEmbedder
from lineament.export.onnx import ready
from lineament.export.pack import Exported
from lineament.export.parity import BATCHES, LIMIT, Parity, milliseconds_per_face, noise, parity


@pytest.fixture
def network(make_small):
    return ready(make_small())


def changed(exported: Exported, **fields) -> OnnxEmbedder:
    embedder = exported.embedder()
    return OnnxEmbedder(replace(embedder.card, **fields), embedder.session, "x")


def test_the_same_network(exported: Exported, network, crops: np.ndarray) -> None:
    proof = parity(network, exported.embedder(), crops[:8])
    assert proof.holds
    assert (proof.inputs, proof.crops, proof.batches) == (72, 8, BATCHES)
    assert 0 < proof.template < 1e-6 and 0 < proof.raw < 1e-5 and proof.cosine > 1 - 1e-9
    proof.require()
    assert "64 pictures of noise and 8 crops, in batches of 1, 2, 7, 32" in proof.sentence()


@pytest.mark.parametrize("fields", [{"colour": "bgr"}, {"mean": 127.0}, {"std": 128.0}])
def test_a_card_that_says_another_preprocessing(exported: Exported, network, fields) -> None:
    proof = parity(network, changed(exported, **fields))
    assert not proof.holds
    with pytest.raises(ExportFailed, match="does not answer as the trained one"):
        proof.require()


def test_another_network(exported: Exported, make_small) -> None:
    proof = parity(ready(make_small(seed=1)), exported.embedder())
    assert proof.cosine < 0.9 and not proof.holds


def test_one_weight_out_of_fifty_thousand(exported: Exported, network) -> None:
    with torch.no_grad():
        network.tail[2].weight[0, 0] += 0.05
    assert not parity(network, exported.embedder()).holds


def test_a_wrong_dimension(exported: Exported, network) -> None:
    with pytest.raises(ExportFailed, match="does not run on a batch of 1"):
        parity(network, changed(exported, dimension=32))


def test_a_network_that_is_broken_itself(exported: Exported, network) -> None:
    with torch.no_grad():
        network.tail[2].weight[0, 0] = torch.nan
    with pytest.raises(ExportFailed, match="use an older checkpoint"):
        parity(network, exported.embedder())


def test_crops_of_another_size(exported: Exported, network) -> None:
    with pytest.raises(InvalidArgument, match="112×112"):
        parity(network, exported.embedder(), np.zeros((2, 96, 96, 3), np.uint8))


@pytest.mark.parametrize("field", ["template", "raw"])
@pytest.mark.parametrize("value", [2 * LIMIT, float("nan")])
def test_each_figure_counts(field: str, value: float) -> None:
    sound = Parity(64, 0, BATCHES, 1e-7, 1e-7, 1.0)
    assert sound.holds and not replace(sound, **{field: value}).holds
    assert not replace(sound, cosine=1 - 2 * LIMIT).holds


def test_noise_is_of_several_grains_and_always_the_same() -> None:
    made = noise(8, 112)
    np.testing.assert_array_equal(made, noise(8, 112))
    steps = [np.abs(np.diff(m.astype(int), axis=0)).mean() for m in made[:4]]
    assert steps == sorted(steps, reverse=True) and steps[0] > 5 * steps[3]


def test_time(exported: Exported) -> None:
    assert 0 < milliseconds_per_face(exported.embedder(), 2, repeats=1) < 1000
