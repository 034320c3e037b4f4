"""A fair lock: everybody comes to their turn, in order, and nobody waits longer than they said."""

import threading
import time

from lineament.gallery.turns import Turns


def test_one_at_a_time_in_the_order_in_which_they_came() -> None:
    turns, order, inside = Turns(), list[int](), list[int]()

    def wait(number: int) -> None:
        with turns.turn(30.0) as mine:
            assert mine
            inside.append(1)
            assert len(inside) == 1
            order.append(number)
            inside.pop()

    with turns.turn(1.0) as first:
        assert first
        threads: list[threading.Thread] = []
        for i in range(10):
            threads.append(threading.Thread(target=wait, args=(i,)))
            threads[-1].start()
            while len(turns._queue) <= i:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == list(range(10))
    with turns.turn(0.0) as free:
        assert free


def test_who_waits_too_long_leaves_the_queue() -> None:
    turns = Turns()
    with turns.turn(1.0):
        start = time.monotonic()
        with turns.turn(0.05) as mine:
            assert not mine
        assert 0.04 < time.monotonic() - start < 5
        assert not turns._queue
    with turns.turn(0.0) as mine:
        assert mine


def test_an_error_passes_the_turn_on() -> None:
    turns = Turns()
    try:
        with turns.turn(1.0):
            raise KeyError
    except KeyError:
        pass
    with turns.turn(0.0) as mine:
        assert mine


def test_many_who_come_and_give_up() -> None:
    turns, done = Turns(), [0]

    def wait(seconds: float) -> None:
        for _ in range(50):
            with turns.turn(seconds) as mine:
                if mine:
                    before = done[0]
                    time.sleep(0.0002)
                    done[0] = before + 1

    threads = [threading.Thread(target=wait, args=(s,)) for s in (0.0, 0.0001, 0.001, 50.0, 50.0, 50.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done[0] >= 150, "two were in at once, or a turn was lost"
    with turns.turn(0.0) as mine:
        assert mine
