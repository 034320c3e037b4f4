"""`Face`: items and attributes are one thing, and mistakes are errors."""

import copy
import json
import pickle
from typing import Any

import numpy as np
import pytest

from lineament.app.common import COMPUTED, KNOWN, Face


def make() -> Face:
    return Face(
        bbox=np.array([1, 2, 3, 4], np.float32),
        kps=np.zeros((5, 2), np.float32),
        det_score=np.float32(0.75),
        embedding=np.array([3, 4], np.float32),
    )


def test_attributes_are_items_both_ways() -> None:
    face = make()
    assert face.bbox is face["bbox"]
    face.age = 3
    assert face["age"] == 3
    face["age"] = 4
    assert face.age == 4
    face.update(age=5, mine="x")
    assert (face.age, face.mine) == (5, "x")
    face |= {"age": 6}
    assert face.age == 6
    assert face.setdefault("age", 9) == 6
    assert face.setdefault("pose", 9) == face.pose == 9
    del face["age"]
    assert face.age is None
    assert face.pop("mine") == "x"
    assert "mine" not in face
    del face.pose
    assert "pose" not in face
    face.clear()
    assert face.bbox is None
    assert len(face) == 0


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_what_is_known_and_missing_is_none(name: str) -> None:
    assert getattr(Face(), name) is None
    assert hasattr(Face(), name)
    with pytest.raises(KeyError):
        Face()[name]


@pytest.mark.parametrize("name", COMPUTED)
def test_computed_values_of_an_empty_face_are_none_and_cannot_be_set(name: str) -> None:
    assert getattr(Face(), name) is None
    with pytest.raises(AttributeError, match="calculated"):
        setattr(Face(), name, 1)


@pytest.mark.parametrize(
    ("wrong", "right"), [("embeding", "embedding"), ("box", "bbox"), ("normed_embeding", "normed_embedding")]
)
def test_a_misspelt_name_is_an_error_with_a_suggestion(wrong: str, right: str) -> None:
    face = make()
    assert not hasattr(face, wrong)
    with pytest.raises(AttributeError, match=right):
        getattr(face, wrong)


def test_deleting_what_is_not_there_and_hiding_a_method_are_errors() -> None:
    face = make()
    with pytest.raises(AttributeError):
        del face.age
    with pytest.raises(AttributeError, match="method"):
        face.keys = 1
    assert callable(face.keys)


def test_the_callers_dictionary_stays_as_it_was() -> None:
    mine: dict[str, Any] = {"age": 3, "liveness": {"is_live": True}}
    face = Face(mine, gender=1)
    face.age = 4
    assert mine == {"age": 3, "liveness": {"is_live": True}}
    assert face.liveness.is_live is True
    assert face.liveness.reason is None
    assert Face([("age", 1)]).age == 1


def test_norm_and_direction() -> None:
    face = make()
    assert face.embedding_norm == 5
    assert face.normed_embedding.tolist() == pytest.approx([0.6, 0.8])
    assert face.normed_embedding.dtype == np.float32


@pytest.mark.parametrize("vector", [[0, 0], [np.nan, 1], [np.inf, 1]])
def test_an_embedding_without_direction_gives_none_and_no_warning(vector: list[float]) -> None:
    assert Face(embedding=np.array(vector, np.float32)).normed_embedding is None


def test_sex() -> None:
    assert [Face(gender=np.int64(g)).sex for g in (1, 0)] == ["M", "F"]


def test_copies_and_pickles_are_faces() -> None:
    face = make()
    face.liveness = {"is_live": True}
    for other in (
        copy.copy(face),
        copy.deepcopy(face),
        face.copy(),
        face | {},
        pickle.loads(pickle.dumps(face)),  # noqa: S301
    ):
        assert type(other) is Face
        assert type(other.liveness) is Face
        assert np.array_equal(other.bbox, face.bbox)
        assert other.age is None
    assert copy.deepcopy(face).bbox is not face.bbox


def test_json() -> None:
    face = make()
    face.update(gender=np.int64(1), age=31, liveness={"live_score": np.float32(0.5)}, notes=[np.float32(2)])
    plain = json.loads(json.dumps(face.to_dict()))
    assert plain["bbox"] == [1, 2, 3, 4]
    assert plain["gender"] == 1
    assert plain["liveness"] == {"live_score": 0.5}
    assert "embedding" not in plain
    assert face.to_dict(embedding=True)["embedding"] == [3, 4]


def test_what_is_printed_holds_no_embedding() -> None:
    assert "3." not in repr(make()).split("embedding")[1]
    assert "bbox=[1.0, 2.0, 3.0, 4.0]" in repr(make())
    assert "det_score=0.75" in repr(make())
    assert {"bbox", "age", "to_dict"} <= set(dir(make()))
