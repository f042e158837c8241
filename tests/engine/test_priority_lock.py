"""Who goes first where one thing is done at a time."""

import threading
import time

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


def test_who_takes_it_again_at_once_is_not_before_who_waits():
    lock, order, ended = PriorityLock(), [], threading.Event()

    def in_groups():
        while not ended.is_set():
            with lock.low():
                order.append("group")
                time.sleep(0.005)

    threads = [threading.Thread(target=in_groups) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20):
        before = len(order)
        with lock.high():
            order.append(number)
        assert len(order) - before <= 3  # the group under way, and at most one that began as this was asked
    ended.set()
    for thread in threads:
        thread.join(5)


def test_within_a_second_hold_of_one_thread_nobody_passes():
    lock, order = PriorityLock(), []
    with lock.high():
        thread = threading.Thread(target=lambda: lock.high().__enter__() or order.append("passed"))
        thread.start()
        while not lock.high_is_waiting:
            pass
        with lock.low():
            lock.yield_to_high()
            assert not order
    thread.join(5)
    assert order == ["passed"]
