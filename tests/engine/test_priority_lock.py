"""Who goes first where one thing is done at a time."""

import threading

from recommender.engine.priority_lock import PriorityLock


def test_whoever_has_priority_passes_between_two_steps_of_long_work():
    lock, order, begun = PriorityLock(), [], threading.Event()

    def ranks():
        begun.set()
        with lock.high():
            order.append("ranked")

    with lock.low():
        order.append("first token")
        thread = threading.Thread(target=ranks)
        thread.start()
        begun.wait(5)
        while not lock.high_is_waiting:
            pass
        lock.yield_to_high()
        order.append("second token")
    thread.join(5)
    assert order == ["first token", "ranked", "second token"] and not lock.high_is_waiting


def test_nobody_is_waited_for_where_nobody_waits():
    lock = PriorityLock()
    with lock.low():
        lock.yield_to_high()
        with lock.high():  # the same thread may enter again
            assert not lock.high_is_waiting


def test_an_error_within_the_lock_lets_it_go():
    lock = PriorityLock()
    for held in (lock.high, lock.low):
        try:
            with held():
                raise ValueError
        except ValueError:
            pass
    free = threading.Event()
    threading.Thread(target=lambda: [free.set() for _ in [0] if lock.high().__enter__() is None]).start()
    assert free.wait(5)
