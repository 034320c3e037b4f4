"""IJB metadata on a small folder of the same layout."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid, InvalidArgument
from lineament.datasets.ijb import read_ijb

Writer = Callable[[str, str | bytes], Path]
POINTS = "30.5 40.25 60 40 45 55 35 70 58 70.125"
SCORED = f"1.jpg {POINTS} 1\n"
HEAD = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID\n"

FILES = {
    "name_5pts_score.txt": f"1.jpg {POINTS} 0.99\n2.jpg {POINTS} 0.5\n3.jpg {POINTS} 0.75\n",
    "face_tid_mid.txt": "1.jpg 1 10\n2.jpg 1 11\n3.jpg 7 12\n",
    "template_pair_label.txt": "1 7 0\n1 1 1\n",
    "1N_gallery_{first}.csv": HEAD + "1,100,img/1.png,5\n1,100,img/2.png,6\n",
    "1N_gallery_{second}.csv": HEAD + '7,200,"img/3,x.png",7\n',
    "1N_probe_mixed.csv": HEAD + "7,200,img/3.png,7\n1,100,img/1.png,5\n",
}


def laid_out(written: Writer, kind: str = "C", **changes: str | None) -> Path:
    """The folder of a set, with some files changed or left out."""
    first, second = ("G1", "G2") if kind == "C" else ("S1", "S2")
    for name, text in FILES.items():
        content = changes.get(name.partition(".")[0].format(first="first", second="second"), text)
        if content is not None:
            written(f"IJB/meta/ijb{kind.lower()}_{name.format(first=first, second=second)}", content)
    return written("IJB/loose_crop/1.jpg", b"x").parent.parent


@pytest.mark.parametrize("kind", ["B", "C"])
def test_all_of_it(written: Writer, kind: str) -> None:
    data = read_ijb(laid_out(written, kind), kind)  # type: ignore[arg-type]
    assert data.set == kind
    assert data.images == ("loose_crop/1.jpg", "loose_crop/2.jpg", "loose_crop/3.jpg")
    assert data.points.dtype == np.float32
    assert data.points.shape == (3, 5, 2)
    assert data.points[1].tolist() == [[30.5, 40.25], [60, 40], [45, 55], [35, 70], [58, 70.125]]
    assert data.detector_score.tolist() == pytest.approx([0.99, 0.5, 0.75])
    assert data.template.tolist() == [1, 1, 7]
    assert data.media.tolist() == [10, 11, 12]
    assert data.pairs_a is not None
    assert data.pairs_b is not None
    assert data.mated is not None
    assert (data.pairs_a.tolist(), data.pairs_b.tolist()) == ([1, 1], [7, 1])
    assert data.mated.tolist() == [False, True]
    assert [gallery.name for gallery in data.gallery] == (["G1", "G2"] if kind == "C" else ["S1", "S2"])
    assert [gallery.template.tolist() for gallery in data.gallery] == [[1], [7]]
    assert [gallery.subject.tolist() for gallery in data.gallery] == [[100], [200]]
    assert data.probes is not None
    assert (data.probes.template.tolist(), data.probes.subject.tolist()) == ([7, 1], [200, 100])
    assert len(data.notes) == 4
    assert any("faces, and this folder 3" in note for note in data.notes)


def test_one_task_without_the_other(written: Writer) -> None:
    only_pairs = read_ijb(
        laid_out(written, "C", **dict.fromkeys(("1N_gallery_first", "1N_gallery_second", "1N_probe_mixed")))
    )
    assert only_pairs.gallery == ()
    assert only_pairs.probes is None
    assert any("identification cannot be evaluated" in note for note in only_pairs.notes)
    only_search = read_ijb(laid_out(written, "B", template_pair_label=None), "B")
    assert only_search.mated is None
    assert any("verification cannot be evaluated" in note for note in only_search.notes)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("name_5pts_score", None, r"ijbc_name_5pts_score\.txt is not there"),
        ("face_tid_mid", None, r"ijbc_face_tid_mid\.txt is not there"),
        ("1N_gallery_second", None, r"lacks 'ijbc_1N_gallery_G2\.csv'"),
        ("1N_probe_mixed", None, r"lacks 'ijbc_1N_probe_mixed\.csv'"),
        ("name_5pts_score", "", "is empty"),
        ("name_5pts_score", f"1.jpg {POINTS}\n", "line 1: 11 fields where 12 were expected"),
        ("name_5pts_score", SCORED + f"2.jpg {POINTS}\n", "line 2: 11 fields where 12 were expected"),
        ("name_5pts_score", SCORED + f"2.jpg {POINTS} x\n3.jpg {POINTS} 1\n", "line 2: 'x' is no detector"),
        ("name_5pts_score", SCORED + f"2.jpg {POINTS} nan\n3.jpg {POINTS} 1\n", "line 2: no detector score"),
        ("face_tid_mid", "1.jpg 1 10\n2.jpg 1 11\n", "lists 2 faces and ijbc_name_5pts_score.txt 3"),
        ("face_tid_mid", "1.jpg 1 10\n3.jpg 1 11\n2.jpg 7 12\n", r"line 2: '3\.jpg' where .* has '2\.jpg'"),
        ("face_tid_mid", "1.jpg 1 10\n2.jpg 1.5 11\n3.jpg 7 12\n", "line 2: no template number"),
        ("template_pair_label", "1 7 0\n1 1 2\n", "line 2: 2 is no label"),
        ("template_pair_label", "1 7 0\n1 8 1\n", "line 2: template 8 has no face"),
        ("1N_gallery_first", HEAD + "1,100,x,1\n1,101,x,2\n", "line 3: template 1 belongs to 101 and to 100"),
        ("1N_gallery_first", HEAD + "9,100,x,1\n", "template 9 has no face"),
        ("1N_gallery_first", HEAD, "lists nothing"),
        ("1N_gallery_first", "TEMPLATE,SUBJECT\n1,2\n", "no column 'template_id'"),
        ("1N_gallery_first", HEAD + "one,100,x,1\n", "line 2: 'one' is no template number"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(written: Writer, name: str, text: str | None, message: str) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read_ijb(laid_out(written, **{name: text}))


def test_nothing_to_evaluate_and_no_such_set(written: Writer) -> None:
    names = ("template_pair_label", "1N_gallery_first", "1N_gallery_second", "1N_probe_mixed")
    folder = laid_out(written, **dict.fromkeys(names))
    with pytest.raises(DatasetInvalid, match="nothing to evaluate"):
        read_ijb(folder)
    with pytest.raises(DatasetInvalid, match=r"ijbb_name_5pts_score\.txt is not there"):
        read_ijb(folder, "B")


def test_the_set_is_b_or_c(tmp_path: Path) -> None:
    with pytest.raises((InvalidArgument, TypeError)):
        read_ijb(tmp_path, "A")  # type: ignore[arg-type]
