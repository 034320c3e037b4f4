"""Tables of similarities from elsewhere."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lineament.core.errors import DatasetInvalid
from lineament.datasets.scores import ScoreTable, read_pad_scores, read_scores

Writer = Callable[[str, str | bytes], Path]


@pytest.mark.parametrize(
    "text",
    [
        "similarity,same\n0.9,1\n-0.25,0\n,1\n",
        "\ufeffMated;Score\r\nTRUE;0.9\r\nFalse;-2.5e-1\r\ntrue;NaN\r\n",
        'label\tcosine\nsame\t"0.9"\ndifferent\t -0.25 \n\nmated\tnull\n',
        "issame,score\n1.0,0.9\n0.0,-.25\n1.0,NA\n",
    ],
)
def test_tables_in_many_spellings(written: Writer, text: str) -> None:
    table = read_scores(written("s.csv", text))
    assert table.similarity.dtype == np.float64
    assert table.similarity[:2].tolist() == [0.9, -0.25]
    assert np.isnan(table.similarity[2])
    assert table.mated.tolist() == [True, False, True]
    assert table.negated is False
    assert (table.subject_a, table.group_b, table.fold, table.quality_a, table.a) == (None,) * 5
    assert (table.name, table.model, len(table)) == ("s", "", 3)


def test_distances_are_negated_and_that_is_said(written: Writer) -> None:
    table = read_scores(written("d.csv", "distance,same\n0.25,1\n1.5,0\n"))
    assert table.similarity.tolist() == [-0.25, -1.5]
    assert table.negated is True
    with pytest.raises(DatasetInvalid, match="both a similarity and a distance"):
        read_scores(written("d.csv", "distance,score,same\n0.25,1,1\n"))


def test_all_the_other_columns(written: Writer) -> None:
    text = (
        "a,b,subject_a,subject_b,group_a,group_b,fold,quality_a,quality_b,score\n"
        "z/1,z/2,z,z,old,old,2,0.5,,0.75\n"
        "z/1,y/1,z,y,old,new,1,0.5,10,0.5\n"
    )
    table = read_scores(written("s.csv", text))
    assert table.samples == ("y/1", "z/1", "z/2")
    assert table.a is not None
    assert table.b is not None
    assert (table.a.tolist(), table.b.tolist()) == ([1, 1], [2, 0])
    assert table.mated.tolist() == [True, False]
    assert table.subjects == ("y", "z")
    assert table.subject_a is not None
    assert table.subject_b is not None
    assert table.subject_a.dtype == np.int32
    assert (table.subject_a.tolist(), table.subject_b.tolist()) == ([1, 1], [1, 0])
    assert table.groups == ("new", "old")
    assert table.group_a is not None
    assert table.group_b is not None
    assert (table.group_a.tolist(), table.group_b.tolist()) == ([1, 1], [1, 0])
    assert table.fold is not None
    assert table.fold.tolist() == [2, 1]
    assert table.quality_b is not None
    assert np.isnan(table.quality_b[0])
    assert table.quality_b[1] == 10


def test_one_group_for_both(written: Writer) -> None:
    table = read_scores(written("g.csv", "score,same,group\n1,1,x\n0,0,y\n"))
    assert table.group_a is table.group_b
    with pytest.raises(DatasetInvalid, match="one group for both samples and one for each"):
        read_scores(written("g.csv", "score,same,group,group_a,group_b\n1,1,x,x,x\n"))
    with pytest.raises(DatasetInvalid, match="line 3: a comparison without a group"):
        read_scores(written("g.csv", "score,same,group\n1,1,x\n0,0,\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table|without a name"),
        ("score,same\n", "a header and no rows|cannot be read"),
        ("score,same\n1,1\n\n0.5,maybe\n", "line 4: 'maybe' is no label; use 0 or 1"),
        ("score,same\n1,1\n0.5,\n", "line 3: '' is no label"),
        ("score,same\n1,1\nhigh,0\n", "line 3: 'high' is no similarity"),
        ("score,same\n" + "1,1\n" * 5000 + "0x1,0\n", "line 5002: '0x1' is no similarity"),
        ("score;same\n1;1\n0,5;0\n", "line 3: '0,5' is no similarity"),
        ("score,same\n1,1\n-inf,0\n", "line 3: an infinite similarity"),
        ("score,same\n1,1\n1e999,0\n", "line 3: an infinite similarity"),
        ("score,same\n1,1\n0.5\n", "line 3: 1 fields where 2 were expected"),
        ("score,same\n1,1\n0.5,0,7\n", "line 3: 3 fields where 2 were expected"),
        ('note,score,same\n"two\nlines",1,1\nx,high,0\n', r"line 4: 'high' is no similarity|cannot be read"),
        ("value,same\n1,1\n", "no column 'similarity': its header is 'value', 'same'"),
        ("score,similarity,same\n1,1,1\n", "'score', 'similarity', which mean the same"),
        ("score,score,same\n1,1,1\n", "of one name"),
        ("score,Score,same\n1,1,1\n", "of one name"),
        ("score,,same\n1,1,1\n", "without a name"),
        ("score\n1\n", "no column of labels"),
        ("score,same,subject_a\n1,1,p\n", "the person on one side only"),
        ("score,same,subject_a,subject_b\n1,1,p,p\n0,1,p,q\n", "line 3: labelled '1', which contradicts"),
        ("score,same,subject_a,subject_b\n1,1,p,p\n0,0,p,\n", "line 3: a person without a name"),
        ("score,same,fold\n1,1,1\n0,0,1.5\n", "line 3: no fold; give a whole number"),
        ("score,same,fold\n1,1,1\n0,0,\n", "line 3: no fold"),
        ("score,same,quality_a\n1,1,good\n", "line 2: 'good' is no quality"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(written: Writer, text: str, message: str) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read_scores(written("s.csv", text))


def test_no_file_and_no_text(tmp_path: Path, written: Writer) -> None:
    with pytest.raises(DatasetInvalid, match="cannot read"):
        read_scores(tmp_path / "nowhere.csv")
    with pytest.raises(DatasetInvalid):
        read_scores(written("x.csv", b"score,same\n\xff\xfe,1\n"))
    with pytest.raises(DatasetInvalid, match="not a Parquet file"):
        read_scores(written("x.parquet", b"PAR1hello"))


def parquet(path: Path, columns: dict[str, object], metadata: dict[str, str] | None = None) -> Path:
    """A Parquet file of some columns."""
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path)
    return path


LABELS = [
    pa.array([True, False]),
    pa.array([1, 0]),
    pa.array(["same", "different"]),
    pa.array(["1", "0"]).dictionary_encode(),
    pa.array([1.0, 0.0]),
]


@pytest.mark.parametrize("label", LABELS, ids=["bool", "int", "word", "coded", "float"])
@pytest.mark.parametrize("kind", [pa.float32(), pa.float64(), pa.float16(), pa.string()])
def test_parquet(tmp_path: Path, label: pa.Array, kind: pa.DataType) -> None:
    values = ["0.5", None] if kind == pa.string() else np.array([0.5, np.nan], kind.to_pandas_dtype())
    columns = {"similarity": pa.array(values, kind, from_pandas=True), "mated": label}
    table = read_scores(parquet(tmp_path / "s.parquet", columns, {"model": "r50", "digest": "abc"}))
    assert table.similarity[0] == 0.5
    assert np.isnan(table.similarity[1])
    assert table.mated.tolist() == [True, False]
    assert (table.model, table.model_digest) == ("r50", "abc")


def test_parquet_names_the_row(tmp_path: Path) -> None:
    columns: dict[str, object] = {"score": [0.5, float("inf")], "same": [True, False]}
    with pytest.raises(DatasetInvalid, match="row 2: an infinite similarity"):
        read_scores(parquet(tmp_path / "s.parquet", columns))
    with pytest.raises(DatasetInvalid, match="row 2: '' is no label"):
        read_scores(parquet(tmp_path / "s.parquet", {"score": [0.5, 0.1], "same": [True, None]}))
    with pytest.raises(DatasetInvalid, match="of type bool, not numbers"):
        read_scores(parquet(tmp_path / "s.parquet", {"score": [True], "same": [True]}))


def test_the_digest_is_of_the_list_and_not_of_the_system(written: Writer) -> None:
    def digest(text: str) -> str:
        return read_scores(written("s.csv", text)).digest

    one = digest("score,same,subject_a,subject_b\n0.9,1,p,p\n0.1,0,p,q\n")
    assert one == digest("distance,same,subject_a,subject_b\n5,1,p,p\n,0,p,q\n")
    assert one != digest("score,same,subject_a,subject_b\n0.9,1,p,p\n0.1,0,p,r\n")
    assert one != digest("score,same\n0.9,1\n0.1,0\n")
    assert one != digest("score,same,subject_a,subject_b,fold\n0.9,1,p,p,1\n0.1,0,p,q,1\n")


def test_liveness_scores(written: Writer) -> None:
    score, species = read_pad_scores(written("p.csv", "score,species\n0.9,bona_fide\n0.8,\n0.2,print\n"))
    assert score.tolist() == [0.9, 0.8, 0.2]
    assert species.tolist() == ["bona_fide", "", "print"]
    for text, message in (
        ("score,species\n0.9,\n,print\n", "line 3: no score"),
        ("score\n0.9\n", "no column 'species'"),
        ("distance,species\n0.9,\n", "no column 'similarity'"),
    ):
        with pytest.raises(DatasetInvalid, match=message):
            read_pad_scores(written("p.csv", text))


@pytest.mark.slow
def test_a_million_rows_take_seconds(tmp_path: Path) -> None:
    rows, rng = 1_000_000, np.random.default_rng(0)
    person = rng.integers(0, 5000, (rows, 2))
    similarity = rng.random(rows)
    path = tmp_path / "big.csv"
    with path.open("w") as stream:
        stream.write("a,b,subject_a,subject_b,similarity,same\n")
        stream.writelines(
            f"p{p}/{i % 9}.jpg,p{q}/{i % 7}.jpg,p{p},p{q},{s:.6f},{int(p == q)}\n"
            for i, ((p, q), s) in enumerate(zip(person.tolist(), similarity.tolist(), strict=True))
        )
    start = time.process_time()
    table: ScoreTable = read_scores(path)
    assert time.process_time() - start < 15
    assert len(table) == rows
    assert np.allclose(table.similarity, similarity, atol=1e-6)
    assert table.mated.sum() == (person[:, 0] == person[:, 1]).sum()
