"""Pair files made to run code, to exhaust the machine, or to fall apart: nothing is run, all are named."""

import builtins
import os
import pickle
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lineament.core.errors import DatasetError, DatasetInvalid, DatasetUnsafe
from lineament.datasets import pickle_plain
from lineament.datasets.bin_pairs import read_bin

Writer = Callable[[str, str | bytes], Path]


class Attack:
    """An object whose pickle is a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["whole", "picture", "label"])
def test_a_shell_command_is_refused_and_not_run(
    tmp_path: Path, written: Writer, protocol: int, place: str
) -> None:
    mark = tmp_path / "was_run"
    attack = Attack(os.system, f"touch {mark}")
    content = {
        "whole": attack,
        "picture": ([b"a", attack], [True]),
        "label": ([b"a", b"b"], [attack]),
    }[place]
    data = pickle.dumps(content, protocol)
    with pytest.raises(DatasetUnsafe, match=rf"asks for {os.name}\.system"):
        read_bin(written("evil.bin", data))
    assert not mark.exists()
    # The attack is a real one.
    pickle.loads(data)  # noqa: S301
    assert mark.exists()


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("attack", "asked"),
    [
        (Attack(eval, "1/0"), r"(__builtin__|builtins)\.eval"),
        (Attack(builtins.exec, "x = 1/0"), r"(__builtin__|builtins)\.exec"),
        (Attack(getattr, "x", "upper"), r"(__builtin__|builtins)\.getattr"),
        (Attack(np.load, "/etc/passwd"), r"numpy\.load"),
        (Attack(bytearray, b"x"), r"(__builtin__|builtins)\.bytearray"),
        (Path("x"), r"pathlib\."),
        (os.getcwd, r"getcwd"),
    ],
    ids=["eval", "exec", "getattr", "numpy_load", "bytearray", "path", "function"],
)
def test_any_other_name_is_refused(written: Writer, protocol: int, attack: object, asked: str) -> None:
    with pytest.raises(DatasetUnsafe, match=f"asks for .*{asked}"):
        read_bin(written("evil.bin", pickle.dumps(([b"a", attack], [True]), protocol)))


def head(body: bytes) -> bytes:
    """A pair file of protocol 2 whose second picture is what `body` makes."""
    return b"\x80\x02](U\x01a" + body + b"e](\x88e\x86."


KIND = b"cnumpy\ndtype\nU\x02%sK\x00K\x01\x87R"
STATE = b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
EMPTY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"


def array(shape: bytes, kind: bytes, data: bytes) -> bytes:
    return EMPTY + b"(K\x01" + shape + kind + b"\x89" + data + b"tb"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        # Names in other clothes.
        (b"cos\nsystem\n(U\x02ls" + b"tR", r"asks for os\.system"),
        (b"(cos\nsystem\nU\x02lso", r"asks for os\.system"),
        (b"(ios\nsystem\n", r"asks for os\.system"),
        (b"(inumpy\ndtype\n", "an instance of a class"),
        (b"(cnumpy\nndarray\no", "an object of a class"),
        (b"cnumpy\nndarray\n)\x81", "an object of a class"),
        (b"cnumpy\nndarray\n)}\x92", "a dictionary|an object of a class"),
        (b"cnumpy\nndarray.tofile\n", r"asks for numpy\.ndarray\.tofile"),
        (b"cnumpy.core\nmultiarray._reconstruct\n", r"asks for numpy\.core\.multiarray\._reconstruct"),
        (b"cos\x1b[2J\nsystem\n", r"asks for os\?\[2J\.system"),
        (b"cos\xff\nsystem\n", "asks for os"),
        # Objects kept elsewhere.
        (b"Psomewhere\n", "kept outside"),
        (b"K\x01Q", "kept outside"),
        (b"\x82\x01", "registered extension"),
        (b"\x83\x01\x00", "registered extension"),
        (b"\x84\x01\x00\x00\x00", "registered extension"),
        (b"\x97", "kept outside"),
        (b"\x98", "kept outside"),
        # Calls of what may be named, in ways that nobody writes.
        (b"cnumpy\nndarray\nK\x01\x85R", "a call of ndarray"),
        (b"c__builtin__\nbytes\nK\x7f\x85R", "a call of no bytes"),
        (b"U\x01xU\x01y\x85R", "a call of something that is no function"),
        (b"cnumpy\ndtype\nK\x01R", "a call of something that is no function"),
        (b"c_codecs\nencode\nX\x01\x00\x00\x00xX\x04\x00\x00\x00zlib\x86R", "an encoding"),
        (b"c_codecs\nencode\nU\x01xU\x06latin1\x86R", "an encoding"),
        (
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R",
            "a call of reconstruct",
        ),
        (b"cnumpy.core.multiarray\nscalar\nU\x01xU\x01y\x86R", "a call of scalar"),
        (b"cnumpy._core.numeric\n_frombuffer\nU\x01x\x85R", "a call of frombuffer"),
        # Types and states.
        (KIND % b"O8", "numpy data of type 'O8'"),
        (KIND % b"V8", "numpy data of type 'V8'"),
        (KIND % b"f8", "numpy data of type 'f8'"),
        (array(b"K\x01\x85", KIND % b"i4" + STATE, b"U\x04aaaa"), "an array of type 'i4'"),
        (array(b"K\x01\x85", KIND % b"u1" + STATE, b"](cos\nsystem\ne"), r"asks for os\.system"),
        (array(b"K\x01\x85", KIND % b"u1" + STATE, b"]"), "an array of objects"),
        (
            KIND % b"u1" + b"(K\x03U\x01|U\x01xNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            "an array of objects",
        ),
        (b"U\x01xU\x01yb", "the state of something that has none"),
        (b"]U\x01yb", "the state of something that has none"),
        (b"cnumpy\nndarray\n]b", "the state of something that has none"),
    ],
)
def test_instructions_that_would_run_something(written: Writer, body: bytes, message: str) -> None:
    with pytest.raises((DatasetUnsafe, DatasetInvalid), match=message) as caught:
        read_bin(written("evil.bin", head(body)))
    assert isinstance(caught.value, DatasetUnsafe) or "dictionary" in caught.value.message


def test_names_from_the_stack(written: Writer) -> None:
    for body, message in (
        (b"\x8c\x02os\x8c\x06system\x93", r"asks for os\.system"),
        (b"K\x01\x8c\x06system\x93", "a name that is no string"),
        (b"]\x8c\x06system\x93", "a name that is no string"),
    ):
        with pytest.raises(DatasetUnsafe, match=message):
            read_bin(written("evil.bin", head(body)))


def test_an_object_array_is_refused(written: Writer, tmp_path: Path) -> None:
    mark = tmp_path / "was_run"
    objects = np.array([b"a", Attack(os.system, f"touch {mark}")], dtype=object)
    for protocol in range(6):
        with pytest.raises(DatasetUnsafe):
            read_bin(written("evil.bin", pickle.dumps((objects, [True]), protocol)))
        with pytest.raises(DatasetUnsafe):
            read_bin(written("evil.bin", pickle.dumps((np.array([b"a", None], object), [True]), protocol)))
    assert not mark.exists()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"h\x09", "value 9 was never remembered"),
        (b"g9\n", "value 9 was never remembered"),
        (b"gx\n", "without digits"),
        (b"p-1\n", "without digits"),
        (b"Ix\n", "without digits"),
        (b"L5\n0", "values that are thrown away"),
        (b"I" + b"9" * 40 + b"\n", "a line that does not end"),
        (b"\x8a\xff" + b"1" * 255, "a number that is too long"),
        (b"\x8b\x04\x00\x00\x00aaaa", "a very long number"),
        (b"T\xff\xff\xff\xff", "a string of 4294967295 bytes"),
        (b"X\xff\xff\xff\x0f", "a string of .* bytes|stops before its end"),
        (b"\x8e" + b"\xff" * 8, "a string of"),
        (b"\x8d" + b"\xff" * 8, "a string of"),
        (b"\x96" + b"\xff" * 8, "a string of"),
        (b"\x95" + b"\xff" * 8, "stops before its end"),
        (b"S'abc\n", "without its quotes"),
        (b"Sabc\n", "without its quotes"),
        (b"S'\n", "without its quotes"),
        (b"S'\\d'\n", "escapes that Python does not write"),
        (b"S'\\x4'\n", "escapes that Python does not write"),
        (b"S'\\'\n", "escapes that Python does not write"),
        (b"S'abc", "a line that does not end"),
        (b"K\x01a", "an entry for something that is no list"),
        (b"(K\x01K\x02e", "an entry for something that is no list"),
        (b"eee", "a mark is missing|a value is missing|no list"),
        (b"\x85\x87\x87\x87", "a value is missing"),
        (b"(" * 3, "values at the end|a value is missing|no list|pair file"),
        (b"\x80\x06", "protocol 6"),
        (b"\x07", "is no instruction of a pickle"),
        (array(b"K\x05\x85", KIND % b"u1" + STATE, b"U\x04aaaa"), "an array of 5 bytes with 4 bytes in it"),
        (array(b"K\x02K\x02\x86", KIND % b"u1" + STATE, b"U\x04aaaa"), "an array of 2 × 2"),
        (array(b")", KIND % b"u1" + STATE, b"U\x01a"), "no list of bytes"),
        (array(b"J\xff\xff\xff\xff\x85", KIND % b"u1" + STATE, b"U\x01a"), "no list of bytes"),
        (array(b"K\x01\x85", KIND % b"u1" + STATE, b"X\x01\x00\x00\x00a"), "no list of bytes"),
        (EMPTY, "picture 1 is an array, not the bytes"),
        (KIND % b"u1", "picture 1 is a type of numbers, not the bytes"),
        (KIND % b"i8" + b"(K\x03U\x01>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb", "byte order '>'"),
        (b"cnumpy\ndtype\n", "picture 1 is a function, not the bytes"),
        (b"cnumpy.core.multiarray\nscalar\n" + KIND % b"i8" + b"U\x02ab\x86R", "a number of 2 bytes"),
    ],
)
def test_what_falls_apart_is_named(written: Writer, body: bytes, message: str) -> None:
    with pytest.raises(DatasetInvalid, match=message):
        read_bin(written("odd.bin", head(body)))


def test_text_that_stands_for_no_byte(written: Writer) -> None:
    body = b"c_codecs\nencode\nX\x03\x00\x00\x00\xe2\x82\xacX\x06\x00\x00\x00latin1\x86R"
    pairs, pictures = read_bin(written("odd.bin", head(body)))
    with pytest.raises(Exception, match="stands for no bytes") as caught:
        pictures.read(pairs.b[0])
    assert type(caught.value).__name__ == "ImageError"
    pictures.close()


def test_a_file_cut_anywhere_is_named(written: Writer, jpegs: list[bytes]) -> None:
    arrays = [np.frombuffer(data, np.uint8).reshape(-1, 1) for data in jpegs[:2]]
    for protocol in range(6):
        data = pickle.dumps((arrays, [True]), protocol)
        for end in {0, 1, 2, *range(0, len(data), 97), len(data) - 1}:
            with pytest.raises(DatasetInvalid):
                read_bin(written("cut.bin", data[:end]))


def test_whatever_follows_the_end_is_named(written: Writer, jpegs: list[bytes]) -> None:
    for tail in (b"\n", b"\x00" * 10, pickle.dumps(Attack(os.system, "true"))):
        with pytest.raises(DatasetInvalid, match=f"goes on for {len(tail)} bytes after its end"):
            read_bin(written("tail.bin", pickle.dumps((jpegs[:2], [True])) + tail))


def test_references_cannot_blow_up(written: Writer) -> None:
    """Each list holds the one before it ten times: 10^60 entries for whoever follows them."""
    body = b"]q\x00U\x01aa"
    for level in range(1, 60):
        body += b"]q%c(" % level + b"h%c" % (level - 1) * 10 + b"e"
    start = time.process_time()
    for data in (b"\x80\x02(" + body + b"t.", b"\x80\x02(" + body + b"](\x88et.", head(body)):
        with pytest.raises(DatasetInvalid):
            read_bin(written("laughs.bin", data))
    assert time.process_time() - start < 2


def test_a_list_inside_itself_and_very_deep_ones(written: Writer) -> None:
    loop: list[Any] = [b"a"]
    loop.append(loop)
    with pytest.raises(DatasetInvalid, match="picture 1 is a list"):
        read_bin(written("loop.bin", pickle.dumps((loop, [True]))))
    deep = b"\x80\x02" + b"](" * 20_000 + b"e" * 20_000 + b"."
    with pytest.raises(DatasetInvalid):
        read_bin(written("deep.bin", deep))
    tuples = b"\x80\x02)" + b"\x85" * 50_000 + b"."
    with pytest.raises(DatasetInvalid):
        read_bin(written("deep.bin", tuples))


def test_instructions_are_counted(written: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickle_plain, "MAX_STEPS", 1000)
    with pytest.raises(DatasetInvalid, match="more than 1000 instructions"):
        read_bin(written("long.bin", b"\x80\x02" + b"N" * 2000 + b"."))


def test_an_announced_length_costs_no_memory(written: Writer) -> None:
    data = b"\x80\x04](B" + struct.pack("<I", 200 << 20) + b"\xff\xd8e](\x88e\x86."
    path = written("big.bin", data)
    tracemalloc.start()
    with pytest.raises(DatasetInvalid, match="stops before its end"):
        read_bin(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


VALID = [
    pickle.dumps(content, protocol)
    for protocol in range(6)
    for content in (
        ([b"\xff\xd8a", b"\xff\xd8bc"], [True]),
        ([np.frombuffer(b"\xff\xd8ab", np.uint8).reshape(-1, 1)] * 2, [np.True_]),
    )
]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.sampled_from(VALID),
    changes=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.binary(max_size=3), st.integers(0, 3)), max_size=4
    ),
)
def test_damage_of_any_kind_is_a_named_error(
    written: Writer, data: bytes, changes: list[tuple[int, bytes, int]]
) -> None:
    for place, put, removed in changes:
        at = place % (len(data) + 1)
        data = data[:at] + put + data[at + removed :]
    path = written("fuzz.bin", data)
    try:
        pairs, pictures = read_bin(path)
    except DatasetError:
        return
    assert 2 * len(pairs) == len(pictures.names)
    pictures.close()
