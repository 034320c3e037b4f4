"""Many at a time: order kept, bad items in place, mistakes not hidden, no running ahead."""

import threading
import time

import pytest

from lineament.core.errors import ImageEmpty
from lineament.pipeline.batch import AHEAD_PER_WORKER, in_order


def test_order_is_kept_whatever_takes_long():
    def work(i: int) -> int:
        time.sleep(0.01 if i % 3 == 0 else 0)
        return i * i

    assert [r.value for r in in_order(range(30), work, 4)] == [i * i for i in range(30)]


def test_bad_items_stand_in_their_place():
    def work(name: str) -> str:
        if name == "bad":
            raise ImageEmpty("nothing in it")
        return name

    results = list(in_order(["a", "bad", "c"], work, 2))
    assert [r.ok for r in results] == [True, False, True]
    assert results[1].source == "bad"
    with pytest.raises(ImageEmpty):
        _ = results[1].faces


def test_a_mistake_in_the_code_is_not_a_result():
    with pytest.raises(ZeroDivisionError):
        list(in_order([1, 0], lambda i: 1 // i, 2))


def test_it_reads_only_as_far_ahead_as_the_workers_need():
    read: list[int] = []

    def sources():
        for i in range(1000):
            read.append(i)
            yield i

    results = in_order(sources(), lambda i: i, 2)
    next(results)
    assert len(read) <= 2 * AHEAD_PER_WORKER + 1
    results.close()


def test_closing_cancels_what_has_not_begun():
    started: list[int] = []
    gate = threading.Event()

    def work(i: int) -> int:
        started.append(i)
        if i:
            gate.wait(5)
        return i

    results = in_order(range(100), work, 1)
    assert next(results).value == 0
    gate.set()
    results.close()
    assert len(started) <= 2 * AHEAD_PER_WORKER


def test_nothing_in_nothing_out():
    assert list(in_order([], lambda i: i, 3)) == []
