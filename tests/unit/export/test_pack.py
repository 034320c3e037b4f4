"""A pack that the rest of the product uses at once, or none at all."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lineament.cli.main import main
from lineament.core.errors import (
    CheckpointInvalid,
    ExportFailed,
    InvalidArgument,
    OutputFailed,
    PackNotFound,
    ThresholdMissing,
)
from lineament.export.pack import UNSTATED_DATA, Exported, Wanted, export_pack, licence_of, make_pack
from lineament.export.place import whole_folder
from lineament.packs.card import Licence, PackCard, sha256_of
from lineament.packs.graph import load_model
from lineament.packs.resolve import open_pack
from lineament.packs.store import Store
from lineament.pipeline.parts import PartSettings
from lineament.pipeline.recognizer import Recognizer
from lineament.train.backbones.port import Backbone
from lineament.train.embedder import TorchEmbedder, digest_of
from lineament.train.recipe import Recipe, part
from lineament.train.start import find_weights

Make = Callable[..., Backbone]


@pytest.fixture
def wanted(store: Store) -> Wanted:
    return Wanted(name="mine", step=3, licence=licence_of(), detector="none", store=store)


class TestRoundTrip:
    def test_the_card(self, exported: Exported, make_small: Make) -> None:
        card = open_pack(exported.folder).card
        assert card == exported.card
        detection, network = card.models
        assert (detection.task, detection.family, detection.colour) == ("detection", "yunet", "bgr")
        assert (network.task, network.family, network.file) == (
            "recognition",
            "embedding",
            "iresnet18.onnx",
        )
        assert (network.colour, network.mean, network.std) == ("rgb", 127.5, 127.5)
        assert (network.size, network.batch, network.dimension, network.outputs) == ((112, 112), 0, 64, 1)
        assert network.alignment == "arcface-112"
        assert network.sha256 == sha256_of(exported.folder / network.file) and network.origin_sha256 == ""
        assert card.thresholds == () and card.licence.commercial is None
        assert card.summary == "iresnet18 trained with arcface: 64 numbers per face."
        assert card.licence.data == UNSTATED_DATA
        assert "to step 1200" in card.source and digest_of(make_small()) in card.source
        notes = "\n".join(card.notes)
        assert exported.parity.sentence() in card.notes
        for said in ("tiny_test (A network for tests) to step 1,200", "MIT (YuNet", "lineament calibrate"):
            assert said in notes
        assert {p.name for p in exported.folder.iterdir()} == {
            "card.json", "training", network.file, "detector_face_detection_yunet_2023mar.onnx"
        }  # fmt: skip

    def test_the_file_says_what_it_is(self, exported: Exported) -> None:
        said = {p.key: p.value for p in load_model(exported.folder / exported.network.file).metadata_props}
        assert said["lineament.recipe"] == "tiny_test" and said["lineament.step"] == "1200"
        assert said["lineament.preprocessing"] == "RGB, (pixel - 127.5) / 127.5, 112 x 112, arcface-112"
        assert len(said["lineament.checkpoint_sha256"]) == 64

    def test_it_recognises_as_the_trained_network(
        self, exported: Exported, store: Store, make_small: Make, astronaut: np.ndarray
    ) -> None:
        recognizer = Recognizer(exported.folder, store=store)
        assert recognizer.model == exported.network.identity("mine/iresnet18")
        assert recognizer.model == exported.embedder().model
        crops = recognizer.inspect(astronaut, colour="rgb").crops
        assert crops is not None
        made = recognizer.parts().embedder.embed(crops)
        trained = TorchEmbedder(make_small(), "trained").embed(crops)
        np.testing.assert_allclose(made.vectors, trained.vectors, atol=1e-6)
        with pytest.raises(ThresholdMissing, match="measure one on your own pictures"):
            recognizer.compare(*[Path(__file__)] * 2)

    def test_the_command_compares_with_it(
        self, exported: Exported, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["samples", str(tmp_path)]) == 0
        photographs = [str(tmp_path / "collins.jpg"), str(tmp_path / "collins-view.jpg")]
        capsys.readouterr()
        command = ["compare", *photographs, "--model", str(exported.folder), "--threads", "1"]
        assert main(command) == 7
        assert "no threshold" in capsys.readouterr().err.lower()
        assert main([*command, "--threshold", "-1", "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert exported.network.identity("mine/iresnet18").digest in json.dumps(answer)

    def test_both_views(self, exported: Exported, store: Store) -> None:
        recognizer = Recognizer(exported.folder, store=store, settings=PartSettings(views="mirrored_sum"))
        assert recognizer.model.name == "mine/iresnet18+mirror"


def test_without_a_detector_and_with_terms(
    make_small: Make, recipe: Recipe, tmp_path: Path, store: Store
) -> None:
    (tmp_path / "empty").mkdir()
    taught = replace(recipe, head=part("distil"))
    card = export_pack(
        make_small(),
        taught,
        tmp_path / "empty",
        name="own",
        step=0,
        licence=Licence("c", "w", True, data="mine alone"),
        detector="none",
        notes=("For the door.",),
        checkpoint="ab" * 32,
        store=store,
    )
    assert [m.task for m in card.models] == ["recognition"]
    assert card.licence.data == "mine alone" and card.licence.commercial is True
    assert card.notes[-1] == "For the door." and "ab" * 32 in card.source
    assert card.summary == "iresnet18 distilled from the default pack (SFace): 64 numbers per face."
    assert PackCard.from_json((tmp_path / "empty" / "card.json").read_text("utf-8"), "here") == card


class TestNothingIsLeft:
    def refused(self, tmp_path: Path, network: Backbone, recipe: Recipe, wanted: Wanted, out: Path) -> None:
        before = sorted(p.name for p in tmp_path.iterdir())
        with pytest.raises(ExportFailed):
            make_pack(network, recipe, out, wanted)
        assert sorted(p.name for p in tmp_path.iterdir()) == before

    @pytest.mark.parametrize(
        "change",
        [
            lambda x: torch.nn.functional.dropout(x, 0.5, training=True),
            lambda x: x if torch.compiler.is_exporting() else x * 1.5 - 0.1,
        ],
        ids=["dropout that stays on", "another branch in the exporter"],
    )
    def test_when_the_file_answers_otherwise(
        self, change, odd, make_small: Make, recipe: Recipe, wanted: Wanted, tmp_path: Path
    ) -> None:
        (tmp_path / "there").mkdir()
        self.refused(tmp_path, make_small(odd(change)), recipe, wanted, tmp_path / "new")
        self.refused(tmp_path, make_small(odd(change)), recipe, wanted, tmp_path / "there")
        assert list((tmp_path / "there").iterdir()) == []

    def test_when_the_detector_is_not_there(
        self, make_small: Make, recipe: Recipe, wanted: Wanted, tmp_path: Path
    ) -> None:
        with pytest.raises(PackNotFound):
            make_pack(make_small(), recipe, tmp_path / "p", replace(wanted, detector="no-such-pack"))
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["", "a b", ".x", "default", "opencv-zoo"])
    def test_when_the_name_cannot_be(
        self, name: str, make_small: Make, recipe: Recipe, wanted: Wanted, tmp_path: Path
    ) -> None:
        with pytest.raises(InvalidArgument):
            make_pack(make_small(), recipe, tmp_path / "p", replace(wanted, name=name))
        assert list(tmp_path.iterdir()) == []


class TestPlace:
    def test_what_is_there_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "thesis.tex").write_text("x")
        (tmp_path / "link").symlink_to(tmp_path / "folder")
        for name in ("file", "folder", "link"):
            for force in (False, True):
                with pytest.raises(InvalidArgument), whole_folder(tmp_path / name, force=force):
                    pytest.fail("entered")
        assert (tmp_path / "folder" / "thesis.tex").is_file()
        with pytest.raises(OutputFailed, match="there is no folder"), whole_folder(tmp_path / "no" / "p"):
            pytest.fail("entered")

    def test_a_pack_is_replaced_only_when_asked(self, tmp_path: Path) -> None:
        out = tmp_path / "p"
        for force, content in ((False, "one"), (True, "two")):
            with whole_folder(out, force=force) as folder:
                (folder / "card.json").write_text(content)
                assert folder.parent == tmp_path
        with pytest.raises(InvalidArgument, match="replace it with --force"), whole_folder(out):
            pytest.fail("entered")
        assert (out / "card.json").read_text() == "two"
        assert out.stat().st_mode & 0o777 == 0o755
        assert [p.name for p in tmp_path.iterdir()] == ["p"]

    def test_a_failure_keeps_the_old_one(self, tmp_path: Path) -> None:
        out = tmp_path / "p"
        with whole_folder(out) as folder:
            (folder / "card.json").write_text("old")
        with pytest.raises(KeyboardInterrupt), whole_folder(out, force=True) as folder:
            (folder / "card.json").write_text("new")
            raise KeyboardInterrupt
        assert (out / "card.json").read_text() == "old"
        assert [p.name for p in tmp_path.iterdir()] == ["p"]

    def test_who_comes_second_is_refused(self, tmp_path: Path) -> None:
        out = tmp_path / "p"
        with pytest.raises(InvalidArgument), whole_folder(out) as first:
            (first / "card.json").write_text("slow")
            with whole_folder(out) as second:
                (second / "card.json").write_text("quick")
        assert (out / "card.json").read_text() == "quick"
        assert [p.name for p in tmp_path.iterdir()] == ["p"]

    def test_killed_between(self, tmp_path: Path) -> None:
        """What a killed export leaves is no pack, does not stand in the way, and is swept when old."""
        program = (
            "import os, signal, sys\nfrom pathlib import Path\n"
            "from lineament.export.place import whole_folder\n"
            "with whole_folder(Path(sys.argv[1])) as folder:\n"
            "    (folder / 'iresnet18.onnx').write_bytes(b'x')\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        out = tmp_path / "p"
        done = subprocess.run([sys.executable, "-c", program, str(out)], timeout=60)
        assert done.returncode == -9 and not out.exists()
        (left,) = tmp_path.iterdir()
        assert left.name.startswith(".p.exporting-") and not (left / "card.json").exists()
        assert Store(tmp_path).list() == ()
        moved = Store(tmp_path / "home")
        moved.packs.mkdir(parents=True)
        with whole_folder(moved.packs / "real") as folder:
            (folder / "card.json").write_text("{}")
        left.rename(moved.packs / left.name)
        assert moved.list() == ("real",)
        (moved.packs / left.name).rename(left)
        os.utime(left, (0, 0))
        with whole_folder(out) as folder:
            (folder / "card.json").write_text("{}")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["home", "p"]


class TestWeights:
    def test_training_can_go_on_from_a_pack(self, exported: Exported, make_small: Make) -> None:
        found = find_weights(exported.folder)
        own = make_small().state_dict()
        assert found.recipe is not None and found.recipe.name == "tiny_test"
        assert found.tensors.keys() == own.keys()
        assert all(torch.equal(found.tensors[name], value) for name, value in own.items())
        about = json.loads((exported.folder / "training" / "recipe.json").read_text())
        assert about["sha256"] == sha256_of(exported.folder / "training" / "backbone.safetensors")

    def test_they_can_be_left_out(
        self, make_small: Make, recipe: Recipe, wanted: Wanted, tmp_path: Path
    ) -> None:
        made = make_pack(make_small(), recipe, tmp_path / "pack", replace(wanted, weights=False))
        assert not (made.folder / "training").exists()
        with pytest.raises(CheckpointInvalid, match="cannot learn"):
            find_weights(made.folder)
