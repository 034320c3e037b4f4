"""Readers of evaluation data on the real thing: LFW, CFP, BLUFR, and a pair file that MXNet's tools wrote."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid
from lineament.datasets.bin_pairs import read_bin, read_pairs_archive, write_pairs_archive
from lineament.datasets.blufr import read_blufr
from lineament.datasets.labelled import read_labelled
from lineament.datasets.matching import resolve_names
from lineament.datasets.openset import read_names
from lineament.datasets.pairs import read_pairs, resolve
from lineament.datasets.pictures import open_pictures
from lineament.vision.decode import read_image

pytestmark = pytest.mark.real


def test_lfw_view_2(shared: Path) -> None:
    pairs = read_pairs(shared / "data" / "lfw" / "pairs.txt")
    assert len(pairs) == 6000
    assert pairs.fold is not None
    for fold in range(1, 11):
        in_fold = pairs.mated[pairs.fold == fold]
        assert (len(in_fold), int(in_fold.sum())) == (600, 300)
    assert pairs.folds_identity_disjoint is True
    assert len(pairs.samples) == 7701
    pictures = open_pictures(shared / "data" / "lfw" / "lfw160.zip")
    assert len(pictures.names) == 13_233
    assert resolve(pairs, pictures) == {name: name for name in pairs.samples}
    assert read_image(pictures.read("George_W_Bush/George_W_Bush_0530.jpg")).pixels.shape == (160, 160, 3)
    people = read_labelled(pictures)
    assert (len(people.samples), len(people.subjects)) == (13_233, 5_749)
    assert int(np.bincount(people.subject).max()) == 530
    pictures.close()


def test_cfp_in_both_protocols(shared: Path) -> None:
    path = shared / "data" / "cfp" / "pairs.csv"
    with pytest.raises(DatasetInvalid, match="several protocols: choose one of 'FF', 'FP'"):
        read_pairs(path)
    # The published list of frontal pairs has some pairs twice.
    with pytest.raises(DatasetInvalid, match="130 pairs in all are listed more than once"):
        read_pairs(path, "FF")
    pictures = open_pictures(shared / "data" / "cfp" / "cfp112.zip")
    assert len(pictures.names) == 6996
    for protocol, missing in (("FF", 0), ("FP", 4)):
        pairs = read_pairs(path, protocol, allow_duplicates=protocol == "FF")
        assert (len(pairs), int(pairs.mated.sum())) == (7000, 3500)
        assert pairs.folds_identity_disjoint is None
        assert len(pairs.samples) - len(resolve(pairs, pictures)) == missing
    with pytest.raises(DatasetInvalid, match="'001/frontal' and '002/frontal' have one name"):
        read_labelled(pictures)
    people = read_labelled(pictures, up=2)
    assert (len(people.samples), len(people.subjects)) == (6996, 500)
    pictures.close()


def test_the_names_of_cfp(shared: Path) -> None:
    names, persons = read_names(shared / "data" / "cfp" / "names.txt")
    assert (len(names), names[0], persons) == (500, "50 Cent", None)


def test_the_splits_of_blufr(shared: Path) -> None:
    splits = read_blufr(shared / "data" / "lfw" / "blufr.json.gz")
    assert len(splits) == 10
    assert all(len(split.gallery) == 1000 for split in splits)
    pictures = open_pictures(shared / "data" / "lfw" / "lfw160.zip")
    for split in splits:
        everything = [*split.train, *split.gallery, *split.probe_mated, *split.probe_nonmated]
        assert len(everything) == 13_233
        gallery = {name.split("/")[0] for name in split.gallery}
        assert {name.split("/")[0] for name in split.probe_mated} <= gallery
        assert gallery.isdisjoint(name.split("/")[0] for name in split.probe_nonmated)
    # MATLAB's file names pictures without their folders.
    flat = [name.split("/")[1] for name in splits[0].gallery]
    assert list(resolve_names(flat, pictures.names).values()) == list(splits[0].gallery)
    pictures.close()


def test_a_pair_file_of_old_tools(shared: Path, tmp_path: Path) -> None:
    folder = shared / "fixtures" / "recordio"
    golden = json.loads((folder / "golden.json").read_text())
    pairs, pictures = read_bin(folder / "mini.bin")
    assert pairs.mated.tolist() == golden["bin_issame"]
    names = [name for both in zip(pairs.a, pairs.b, strict=True) for name in both]
    assert all(read_image(pictures.read(name)).pixels.shape == (112, 112, 3) for name in names)
    digests = {record["sha1"] for record in golden["records"]}
    shared_pictures = [hashlib.sha1(pictures.read(name)).hexdigest() in digests for name in names]  # noqa: S324
    assert any(shared_pictures)
    write_pairs_archive(tmp_path / "mini.lnpairs", pairs, pictures)
    again, safe = read_pairs_archive(tmp_path / "mini.lnpairs")
    assert again.digest == pairs.digest
    assert [safe.read(name) for name in names] == [pictures.read(name) for name in names]
    safe.close()
    pictures.close()
