"""Any embedder may be evaluated: in memory, a pack, a torch module; one in training mode is refused."""

import numpy as np
import pytest

from lineament.core.crop import Crops
from lineament.core.errors import TemplateInvalid
from lineament.core.ports import Acquirer, Embedder
from lineament.core.template import ModelId, Templates
from lineament.evaluate.acquire import FromCrops, check_batches, crops_of
from lineament.evaluate.views import Mirrored


def test_crops_come_back_in_order_with_reasons(embedder, noise, png) -> None:
    acquirer = FromCrops(embedder, batch=5)
    assert isinstance(acquirer, Acquirer)
    sources = [png(crop) for crop in noise]
    sources[2] = b"nothing"
    sources[9] = png(np.zeros((8, 8, 3), np.uint8))
    results = list(acquirer.acquire_many(sources))
    assert [r.reason for r in results if r.reason] == ["image_unreadable", "crop_size"]
    assert results[9].template is None and "16×16" in results[9].message
    direct = embedder.embed(crops_of(noise))
    for i in (0, 1, 3, 8, 10, 11):
        assert results[i].template is not None
        np.testing.assert_allclose(results[i].template.vector, direct.vectors[i], atol=1e-7)
        assert results[i].quality == pytest.approx(float(direct.norms[i]), rel=1e-6)


def test_no_source_gives_no_result(embedder) -> None:
    assert list(FromCrops(embedder).acquire_many([])) == []


def test_an_embedder_that_mixes_its_batch_is_refused(embedder, noise, png) -> None:
    class Mixing:
        model, crop_size = ModelId("mixing", "0" * 64), 16

        def embed(self, crops: Crops) -> Templates:
            raw = crops.pixels.reshape(len(crops), -1).astype(np.float64)
            return Templates.from_raw(raw - raw.mean(axis=0) + 1.0, self.model)

    assert isinstance(Mixing(), Embedder)
    with pytest.raises(TemplateInvalid, match="training mode"):
        list(FromCrops(Mixing()).acquire_many([png(crop) for crop in noise]))


def torch_embedder(train: bool):
    """A small convolutional network with batch normalisation, as one in the middle of its training."""
    import torch
    from torch import nn

    torch.manual_seed(1)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.PReLU(), nn.Flatten(), nn.Linear(392, 32)
    )
    network.train(train)

    class TorchEmbedder:
        model, crop_size = ModelId("torch", "1" * 64), 16

        def embed(self, crops: Crops) -> Templates:
            x = torch.from_numpy(np.ascontiguousarray(crops.pixels.transpose(0, 3, 1, 2))).float() / 127.5 - 1
            with torch.no_grad():
                return Templates.from_raw(network(x).numpy(), self.model)

    return TorchEmbedder()


def test_a_torch_module_is_an_embedder(noise, png) -> None:
    embedder = torch_embedder(train=False)
    results = list(FromCrops(embedder).acquire_many([png(crop) for crop in noise]))
    direct = embedder.embed(crops_of(noise))
    got = np.stack([r.template.vector for r in results if r.template is not None])
    np.testing.assert_allclose(got, direct.vectors, atol=1e-6)


def test_a_torch_module_in_training_mode_is_refused(noise) -> None:
    with pytest.raises(TemplateInvalid, match="training mode"):
        check_batches(torch_embedder(train=True), noise)


def test_the_default_pack_is_an_embedder_that_does_not_care_about_batches(astronaut) -> None:
    from lineament.pipeline.recognizer import Recognizer

    recognizer = Recognizer()
    crops = recognizer.inspect(astronaut, colour="rgb").crops
    assert crops is not None
    shifted = np.stack([np.roll(crops.pixels[0], k, axis=1) for k in range(6)])
    embedder = recognizer.parts().embedder
    together = embedder.embed(crops_of(shifted)).vectors
    alone = np.stack([embedder.embed(crops_of(s[None])).vectors[0] for s in shifted])
    assert np.abs(together - alone).max() <= 1e-5
    check_batches(embedder, shifted)


class TwoOutputs:
    """Raw output (3, 0) for a crop and (0, 1) for its mirror image."""

    model, crop_size = ModelId("two", "2" * 64), 4

    def embed(self, crops: Crops) -> Templates:
        left = crops.pixels[:, 0, 0, 0] > 0
        return Templates.from_raw(np.where(left[:, None], [[3.0, 0.0]], [[0.0, 1.0]]), self.model)


@pytest.mark.parametrize(
    ("views", "expected"),
    [("sum_raw", (0.9486832980505138, 0.31622776601683794)), ("sum_unit", (0.7071067811865475,) * 2)],
)
def test_mirrored_views_golden(views, expected) -> None:
    crop = np.zeros((1, 4, 4, 3), np.uint8)
    crop[:, :, 0] = 255
    mirrored = Mirrored(TwoOutputs(), views)
    np.testing.assert_allclose(mirrored.embed(crops_of(crop)).vectors[0], expected, atol=1e-7)
    assert mirrored.model != TwoOutputs.model
    assert mirrored.model.name.startswith("two+mirror")


def test_a_mirrored_pack_equals_its_own_views(astronaut) -> None:
    from lineament.pipeline.parts import PartSettings
    from lineament.pipeline.recognizer import Recognizer

    plain = Recognizer()
    crops = plain.inspect(astronaut, colour="rgb").crops
    assert crops is not None
    for views, name in (("sum_raw", "mirrored_sum"), ("sum_unit", "mirrored_unit_sum")):
        inside = Recognizer(settings=PartSettings(views=name)).parts().embedder.embed(crops)  # type: ignore[arg-type]
        outside = Mirrored(plain.parts().embedder, views).embed(crops)  # type: ignore[arg-type]
        np.testing.assert_allclose(inside.vectors, outside.vectors, atol=1e-6)
