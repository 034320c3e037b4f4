"""Templates know their model, are unit vectors, and do not leak into text."""

import copy
import pickle

import numpy as np
import pytest

from lineament import ModelId, Template, Templates
from lineament.core.errors import TemplateInvalid, TemplateMismatch

A, B = ModelId("a", "1" * 64), ModelId("b", "2" * 64)


def raw(n: int = 4, d: int = 8) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


def test_from_raw_scales_and_keeps_norms():
    templates = Templates.from_raw(raw(), A)
    assert np.allclose(np.linalg.norm(templates.vectors, axis=1), 1, atol=1e-6)
    assert np.allclose(templates.vectors * templates.norms[:, None], raw(), atol=1e-5)


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_rows_that_cannot_be_templates_are_refused(bad: float):
    rows = raw()
    rows[2] = bad
    with pytest.raises(TemplateInvalid, match="embedding 2"):
        Templates.from_raw(rows, A)


def test_rows_that_are_not_unit_are_refused():
    with pytest.raises(TemplateInvalid, match="row 0"):
        Templates(raw(), np.ones(4, np.float32), A)


def test_similarity_is_the_cosine_of_the_angle():
    rows = raw().astype(np.float64)
    similarity = Templates.from_raw(rows, A).similarity(Templates.from_raw(rows, A))
    for i in range(4):
        for j in range(4):
            cosine = rows[i] @ rows[j] / np.sqrt(rows[i] @ rows[i]) / np.sqrt(rows[j] @ rows[j])
            assert similarity[i, j] == pytest.approx(cosine, abs=1e-6)


def test_similarity_is_symmetric_and_never_beyond_one():
    templates = Templates.from_raw(raw(50, 512), A)
    similarity = templates.similarity(templates)
    assert np.abs(similarity).max() <= 1.0
    assert np.allclose(similarity, similarity.T, atol=1e-6)
    assert all(t.similarity(t) == 1.0 for t in templates)


def test_templates_of_two_models_are_not_compared():
    with pytest.raises(TemplateMismatch, match="a@1111"):
        Templates.from_raw(raw(), A).similarity(Templates.from_raw(raw(), B))
    with pytest.raises(TemplateMismatch):
        Templates.from_raw(raw(), A)[0].similarity(Templates.from_raw(raw(), B)[0])


def test_text_never_holds_the_vector():
    template = Templates.from_raw(raw(), A)[0]
    for text in (repr(template), str(template), repr(Templates.from_raw(raw(), A))):
        assert not any(f"{v:.4f}" in text for v in template.vector)


def test_columns_cannot_be_changed_and_the_callers_array_can():
    rows = Templates.from_raw(raw(), A).vectors.copy()
    templates = Templates(rows, np.ones(4, np.float32), A)
    with pytest.raises(ValueError, match="read-only"):
        templates.vectors[0, 0] = 9
    rows[0, 0] = rows[0, 0]


def test_templates_travel():
    templates = Templates.from_raw(raw(), A)
    for other in (pickle.loads(pickle.dumps(templates)), copy.deepcopy(templates)):  # noqa: S301
        assert np.array_equal(other.vectors, templates.vectors)
        assert other.model == A
    assert isinstance(pickle.loads(pickle.dumps(templates[0])), Template)  # noqa: S301
