"""Products of rows with rows on one thread."""

import numpy as np
import pytest

from lineament.runtime.products import Products


def rows(n: int, d: int = 96) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, d)).astype(np.float32)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 70), (70, 1), (33, 129)])
def test_equals_the_product_in_double(m: int, n: int) -> None:
    a, b, out = rows(m), rows(n), np.full((m, n), np.nan, np.float32)
    products = Products()
    for _ in range(2):
        products.into(a, b, out)
        exact = a.astype(np.float64) @ b.astype(np.float64).T
        assert np.allclose(out, exact, rtol=0, atol=1e-4)


def test_writes_into_part_of_a_buffer_and_nowhere_else() -> None:
    buffer = np.full(100, np.float32(7))
    Products().into(rows(3), rows(4), buffer[10:22].reshape(3, 4))
    assert (buffer[:10] == 7).all()
    assert (buffer[22:] == 7).all()
    assert (buffer[10:22] != 7).all()


@pytest.mark.parametrize(
    ("a", "b", "out"),
    [
        (rows(3), rows(4), np.empty((4, 3), np.float32)),
        (rows(3), rows(4), np.empty((3, 4))),
        (rows(3), rows(8)[::2], np.empty((3, 4), np.float32)),
        (rows(3).astype(np.float64), rows(4), np.empty((3, 4), np.float32)),
    ],
)
def test_other_arrays_are_refused(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
    with pytest.raises(ValueError, match="float32, contiguous"):
        Products().into(a, b, out)
