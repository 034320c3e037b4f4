"""Templates of a collection on disk: nothing is dropped, a stopped run goes on, strangers are kept out."""

import json
import stat

import numpy as np
import pytest

from lineament.core.errors import DatasetInvalid, InvalidArgument
from lineament.evaluate.acquire import FromCrops, crops_of
from lineament.evaluate.table import TemplateTable, failures_by_reason


def test_every_picture_has_a_row_or_a_reason(tmp_path, embedder, noise, pictures) -> None:
    with TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)) as table:
        told: list[tuple[int, int]] = []
        table.fill(progress=lambda done, of: told.append((done, of)))
        assert told[-1] == (12, 12)
        assert set(table.failures) == {"p1/1.png", "p2/0.png"}
        assert failures_by_reason(table.failures) == {"image_not_found": 1, "image_unreadable": 1}
        direct = embedder.embed(crops_of(noise))
        for i, name in enumerate(pictures.names):
            row = int(table.rows([name])[0])
            if name in table.failures:
                assert not table.made[row] and np.isnan(table.norms[row])
            else:
                np.testing.assert_allclose(table.vectors[row], direct.vectors[i], atol=1e-7)
        assert table.rows(["no such"]).tolist() == [-1]


def test_several_runs_share_the_work(tmp_path, embedder, pictures) -> None:
    first = [n for n in pictures.names if n.startswith("p0")]
    with TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)) as table:
        table.fill([*first, "not there"])
        assert int(table.made.sum()) == 3
    pictures.reads.clear()
    with TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)) as table:
        table.fill()
        assert not set(first) & set(pictures.reads)
        assert int(table.made.sum()) == 10
        assert table.failures["p2/0.png"][0] == "image_unreadable"


def test_a_stopped_run_goes_on(tmp_path, embedder, pictures) -> None:
    def stop(done: int, of: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        TemplateTable(tmp_path / "t", pictures, FromCrops(embedder, 2)) as table,
    ):
        table.fill(progress=stop)
    pictures.reads.clear()
    with TemplateTable(tmp_path / "t", pictures, FromCrops(embedder, 2)) as table:
        kept = int(table.made.sum()) + len(table.failures)
        assert kept == 5
        table.fill()
        assert len(pictures.reads) == 7
        resumed = np.array(table.vectors)
    with TemplateTable(tmp_path / "whole", pictures, FromCrops(embedder)) as table:
        table.fill()
        np.testing.assert_array_equal(resumed, np.array(table.vectors))


def test_a_picture_that_was_changed_is_done_again(tmp_path, embedder, noise, pictures, png) -> None:
    with TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)) as table:
        table.fill()
        before = np.array(table.vectors)
    pictures.replace("p0/0.png", png(noise[11]))
    pictures.replace("p1/1.png", png(noise[4]))
    pictures.reads.clear()
    with TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)) as table:
        table.fill()
        assert sorted(pictures.reads) == ["p0/0.png", "p1/1.png"]
        assert set(table.failures) == {"p2/0.png"}
        changed, other = table.rows(["p0/0.png", "p0/1.png"])
        np.testing.assert_allclose(
            table.vectors[changed], embedder.embed(crops_of(noise[11:])).vectors[0], atol=1e-7
        )
        np.testing.assert_array_equal(table.vectors[other], before[other])


def test_a_failure_whose_reason_was_lost_is_done_again(tmp_path, embedder, pictures) -> None:
    with TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)) as table:
        table.fill()
    (tmp_path / "t" / "failures.jsonl").write_text('{"name": "p1/1.png", "rea')
    with TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)) as table:
        assert table.failures == {}
        table.fill()
        assert set(table.failures) == {"p1/1.png", "p2/0.png"}


def test_other_settings_models_and_pictures_are_refused(tmp_path, embedder, pictures) -> None:
    place = tmp_path / "t"
    with TemplateTable(place, pictures, FromCrops(embedder), {"policy": "largest"}) as table:
        table.fill()
    with (
        pytest.raises(InvalidArgument, match='policy was "largest" and is now "most_central"'),
        TemplateTable(place, pictures, FromCrops(embedder), {"policy": "most_central"}),
    ):
        pass
    head = json.loads((place / "head.json").read_text())
    (place / "head.json").write_text(json.dumps(head | {"digest": "other"}))
    with (
        pytest.raises(InvalidArgument, match="made otherwise"),
        TemplateTable(place, pictures, FromCrops(embedder)),
    ):
        pass


@pytest.mark.parametrize("content", ["{}", "no json", '["x"]'])
def test_something_else_in_the_folder_is_left_alone(tmp_path, embedder, pictures, content) -> None:
    place = tmp_path / "t"
    place.mkdir()
    (place / "head.json").write_text(content)
    with pytest.raises(InvalidArgument), TemplateTable(place, pictures, FromCrops(embedder)):
        pass
    assert (place / "head.json").read_text() == content


def test_a_folder_of_holiday_photographs_is_not_written_into(tmp_path, embedder, pictures) -> None:
    (tmp_path / "beach.jpg").write_bytes(b"x")
    with (
        pytest.raises(InvalidArgument, match="something else"),
        TemplateTable(tmp_path, pictures, FromCrops(embedder)),
    ):
        pass
    assert {p.name for p in tmp_path.iterdir()} <= {"beach.jpg", "lock"}


def test_a_second_user_is_refused(tmp_path, embedder, pictures) -> None:
    with (
        TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)),
        pytest.raises(InvalidArgument, match="another process"),
        TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)),
    ):
        pass


def test_damage_is_told(tmp_path, embedder, pictures) -> None:
    place = tmp_path / "t"
    with TemplateTable(place, pictures, FromCrops(embedder)) as table:
        table.fill()
    (place / "vectors.npy").write_bytes(b"x")
    with pytest.raises(InvalidArgument, match="damaged"), TemplateTable(place, pictures, FromCrops(embedder)):
        pass
    (place / "state.bin").write_bytes(b"xx")
    with pytest.raises(InvalidArgument, match="damaged"), TemplateTable(place, pictures, FromCrops(embedder)):
        pass


def test_templates_are_for_their_owner_only(tmp_path, embedder, pictures) -> None:
    with TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)) as table:
        table.fill()
    assert stat.S_IMODE((tmp_path / "t").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "t" / "vectors.npy").stat().st_mode) == 0o600


def test_without_any_template_the_first_reason_is_told(tmp_path, embedder, pictures) -> None:
    with TemplateTable(tmp_path / "t", pictures, FromCrops(embedder)) as table:
        table.fill(["p2/0.png"])
        with pytest.raises(DatasetInvalid, match=r"no picture gave a template: p2/0.png"):
            _ = table.vectors
