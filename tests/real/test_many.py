"""`analyze_many` on real photographs: the answers of one by one, in order, bad items in their place."""

from pathlib import Path

import numpy as np

import lineament as ln


def test_many_at_a_time_equal_one_by_one(shared: Path):
    """30 portraits, a group and every odd file: two workers of one thread, then one call of two threads."""
    images = shared / "fixtures/images"
    paths = [
        *sorted((images / "cc0").glob("*.jpg"))[:30],
        images / "solvay1927.jpg",
        *sorted(images.glob("odd/*")),
    ]
    recognizer = ln.Recognizer()
    refused: list[str] = []
    for path, result in zip(paths, recognizer.analyze_many(paths, workers=2), strict=True):
        assert result.source == str(path)
        try:
            alone = recognizer.analyze(path)
        except ln.LineamentError as error:
            assert result.error is not None
            assert result.error.reason == error.reason
            refused.append(path.name)
            continue
        together = result.faces
        assert len(together) == len(alone), path.name
        if len(alone):
            assert np.abs(together.templates.vectors - alone.templates.vectors).max() < 1e-5, path.name
            assert np.abs(together.boxes - alone.boxes).max() < 1e-2, path.name
    assert refused == ["empty.jpg", "huge_12000x12000.png", "not_image.jpg", "truncated.jpg"]
