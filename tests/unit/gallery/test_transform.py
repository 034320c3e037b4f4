"""The keyed rotation: same scores inside, nothing in common outside, the same on every machine."""

import copy
import pickle

import numpy as np
import pytest
from scipy import stats

from lineament.core.errors import InvalidArgument, TemplateInvalid
from lineament.gallery.keys import new_data_key
from lineament.gallery.transform import Transform, _normals, _orthogonal, _stream

SECRET = bytes(range(32))
NORMALS = [0.4469597518546716, -0.6590198220216248, -0.132272546555069, -0.44564541994827594]
Q4 = [
    [0.25298539541530607, -0.8912829082436805, -0.3761093420398042, -0.012447088399850285],
    [-0.6269917088147666, -0.2745311580148273, 0.2514768413283716, -0.684305077163747],
    [0.45711149873581747, 0.3222156165316653, -0.43269683314338775, -0.7071065158618586],
    [0.5778657841641041, -0.16255619709763028, 0.7797913898560139, -0.17768513326665147],
]


def units(count: int, length: int, seed: int = 1) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((count, length)).astype(np.float32)
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a.astype(np.float64) @ b.astype(np.float64).T


@pytest.mark.parametrize("length", [2, 3, 128, 512])
def test_scores_stay_and_templates_come_back(length: int) -> None:
    vectors = units(300, length)
    transform = Transform(SECRET, length)
    there = transform.apply(vectors)
    assert there.dtype == np.float32
    assert np.abs(cosines(there, there) - cosines(vectors, vectors)).max() < 2e-7
    assert np.abs(transform.undo(there) - vectors).max() < 1e-7
    assert np.abs(np.linalg.norm(there.astype(np.float64), axis=1) - 1).max() < 2e-7


@pytest.mark.parametrize("length", [128, 512])
def test_close_pairs_keep_their_score(length: int) -> None:
    a, noise = units(5000, length), units(5000, length, 2)
    b = 0.65 * a + 0.76 * noise
    b /= np.linalg.norm(b, axis=1, keepdims=True)
    transform = Transform(SECRET, length)
    before = np.einsum("bd,bd->b", a.astype(np.float64), b.astype(np.float64))
    after = np.einsum(
        "bd,bd->b", transform.apply(a).astype(np.float64), transform.apply(b).astype(np.float64)
    )
    assert np.abs(after - before).max() < 5e-8


def test_the_matrix_is_orthogonal() -> None:
    q = _orthogonal(SECRET, 512)
    assert np.abs(q @ q.T - np.eye(512)).max() < 1e-13


def test_a_template_has_nothing_in_common_with_its_transform() -> None:
    vectors = units(2000, 128)
    one, two = Transform(SECRET, 128), Transform(new_data_key(), 128)
    for a, b in ((vectors, one.apply(vectors)), (one.apply(vectors), two.apply(vectors))):
        same = np.einsum("bd,bd->b", a, b)
        # As of two random directions: mean 0, standard deviation 1/√128 = 0.088.
        assert abs(same.mean()) < 0.02
        assert 0.07 < same.std() < 0.11
        assert np.abs(same).max() < 0.45


def test_the_same_secret_gives_the_same_rotation_anywhere() -> None:
    # Written down from one machine: the first numbers of the stream, of the normals, and of Q.
    assert _stream(SECRET, 16, 4).hex() == "01e7b4f129e832a71e573b7bb268668e"
    np.testing.assert_allclose(_normals(SECRET, 16, 4)[:4], NORMALS, rtol=0, atol=1e-14)
    np.testing.assert_allclose(_orthogonal(SECRET, 4), Q4, rtol=0, atol=1e-12)


def test_other_lengths_have_other_streams() -> None:
    assert _stream(SECRET, 64, 128) != _stream(SECRET, 64, 512)
    assert _stream(SECRET, 64, 128) != _stream(new_data_key(), 64, 128)


def test_the_numbers_are_normal() -> None:
    values = _normals(SECRET, 200_001, 7)
    assert len(values) == 200_001
    assert stats.kstest(values, "norm").pvalue > 0.001
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01
    half = len(values) // 2
    assert abs(np.corrcoef(values[:half], values[half : 2 * half])[0, 1]) < 0.01


def test_rotations_are_uniform_over_all_orthogonal_matrices() -> None:
    # Haar: the first column is uniform on the circle, reflections are as many as rotations, and the diagonal
    # has no preferred sign, which QR without the sign fix would give it.
    drawn = [_orthogonal(n.to_bytes(32, "big"), 2) for n in range(2000)]
    angles = np.array([np.arctan2(q[1, 0], q[0, 0]) for q in drawn])
    assert stats.kstest(angles, "uniform", (-np.pi, 2 * np.pi)).pvalue > 0.001
    assert 0.46 < np.mean([np.linalg.det(q) > 0 for q in drawn]) < 0.54


def test_known_pairs_solve_it_as_documented() -> None:
    vectors = units(32, 32)
    transform = Transform(SECRET, 32)
    solved = np.linalg.solve(vectors.astype(np.float64), transform.apply(vectors).astype(np.float64))
    assert np.abs(solved.T - _orthogonal(SECRET, 32)).max() < 1e-3


def test_a_row_alone_and_among_others_is_the_same() -> None:
    vectors, transform = units(100, 128), Transform(SECRET, 128)
    together = transform.apply(vectors)
    alone = np.concatenate([transform.apply(row[None]) for row in vectors])
    assert np.abs(together - alone).max() < 1e-7


def test_many_rows_go_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, transform = units(50, 16), Transform(SECRET, 16)
    whole = transform.apply(vectors)
    monkeypatch.setattr("lineament.gallery.transform._BLOCK", 7)
    np.testing.assert_allclose(transform.apply(vectors), whole, atol=1e-7)
    assert transform.apply(vectors[:0]).shape == (0, 16)


def test_what_cannot_be_transformed_is_refused() -> None:
    transform = Transform(SECRET, 16)
    with pytest.raises(TemplateInvalid, match="another model"):
        transform.apply(units(2, 8))
    bad = units(2, 16)
    bad[1, 3] = np.nan
    for act in (transform.apply, transform.undo):
        with pytest.raises(TemplateInvalid, match="not finite"):
            act(bad)


@pytest.mark.parametrize(("secret", "dimension"), [(b"short", 16), (SECRET, 1), (SECRET, 8193), (SECRET, 0)])
def test_other_secrets_and_lengths_are_refused(secret: bytes, dimension: int) -> None:
    with pytest.raises(InvalidArgument):
        Transform(secret, dimension)


def test_nothing_shows_the_secret_or_lets_it_travel() -> None:
    transform = Transform(SECRET, 16)
    assert SECRET.hex() not in repr(transform)
    assert repr(transform) == f"Transform(dimension=16, key_id={transform.key_id})"
    for act in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(InvalidArgument, match="holds a key"):
            act(transform)
