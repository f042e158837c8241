"""What is out of stock is known to all servers on a store, and after a restart."""

from __future__ import annotations

from recommender.store import stock as stock_module


def test_items_go_out_and_come_back(store):
    assert store.stock.out() == frozenset()
    store.stock.change(out=["1", "2", "1"])
    assert store.stock.out() == {"1", "2"}
    store.stock.change(out=["2", "3"], back=["1", "9"])
    assert store.stock.out() == {"2", "3"}


def test_a_restart_and_other_servers_know_it(store, open_store, monkeypatch):
    other = open_store()
    assert other.stock.out() == frozenset()
    store.stock.change(out=[str(number) for number in range(1200)])
    assert other.stock.out() == frozenset()  # as it was at most a second ago
    monkeypatch.setattr(stock_module, "_FRESH", 0.0)
    assert len(other.stock.out()) == 1200 and len(open_store().stock.out()) == 1200
    other.stock.change(back=[str(number) for number in range(1199)])
    assert store.stock.out() == {"1199"}
