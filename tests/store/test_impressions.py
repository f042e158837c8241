"""Lists that people were shown: kept sealed, for those who agree, and gone when their time is over or they are forgotten."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from recommender.config import ServingConfig
from recommender.store.data_map import data_map
from recommender.store.forgetting import forget
from recommender.store.impressions import Impression
from recommender.store.personal_export import all_of

ANN = "ann.personal@example.com"


def shown(number=0, **fields):
    told = {
        "items": ("secret-item", "9"),
        "probabilities": (1.0, 0.25),
        "mode": "explore",
        "arms": {"colour": "secret-arm"},
    }
    return Impression(request_id=f"list-{number}", **(told | fields))


def test_a_list_comes_back_as_it_was_and_nothing_of_it_can_be_read_in_the_file(store, open_store, where):
    given = shown(others={"colour": {"blue": (0.5, 0.125)}}, model="digest", adapter="new", time=5.0)
    assert store.impressions.add(ANN, given)
    assert open_store().impressions.of(ANN) == [given]
    store.engine.dispose()
    kept = b"".join(path.read_bytes() for path in where.parent.glob("store.db*"))
    assert not [word for word in (b"secret-item", b"secret-arm", ANN.encode()) if word in kept]


def test_lists_are_kept_of_those_who_agree_and_read_of_those_who_still_do(store):
    store.consents.set("bob", {"recommend": False})
    assert not store.impressions.add("bob", shown(1))
    assert store.impressions.add(ANN, shown(2, time=9.0)) and store.impressions.add(ANN, shown(3, time=4.0))
    ((person, lists),) = store.impressions.by_person()
    assert person == store.people.pseudonym(ANN) and [one.request_id for one in lists] == ["list-3", "list-2"]
    store.consents.set(ANN, {"recommend": False})
    assert list(store.impressions.by_person()) == [] and store.impressions.count() == 2
    forget(store, ANN)
    assert not store.impressions.add(ANN, shown(4)) and store.impressions.count() == 0


def test_they_are_swept_exported_and_told(open_store):
    store = open_store(impression_days=1)
    store.impressions.add(ANN, shown(1, time=1000.0))
    store.impressions.add(ANN, shown(2, time=200_000.0))
    assert store.sweep(now=200_100.0) == {"impressions": 1}
    (told,) = all_of(store, ANN)["lists"]
    assert told["items"] == ["secret-item", "9"] and told["time"].startswith("1970-01-03")
    (place,) = [place for place in data_map(ServingConfig(impression_days=7)) if place.name == "impressions"]
    assert place.sealed == "yes" and "7 days" in place.kept and "request_id" in place.columns


def test_a_backup_brings_them_back_but_not_those_of_the_forgotten(store, tmp_path, means):
    store.impressions.add(ANN, shown(1))
    store.impressions.add("bob", shown(2))
    store.back_up(tmp_path / "b.age", **means[0])
    forget(store, ANN)
    store.restore(tmp_path / "b.age", **means[1])
    assert [one.request_id for one in store.impressions.of("bob")] == ["list-2"]
    assert store.impressions.of(ANN) == [] and store.impressions.count() == 1


def test_a_store_of_an_earlier_version_gets_the_table(open_store):
    store = open_store()
    with store.engine.begin() as connection:
        connection.execute(text("DROP TABLE impressions"))
        connection.execute(text("DROP TABLE stock"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    store.let_go()
    again = open_store()
    assert again.impressions.add(ANN, shown()) and again.impressions.count() == 1


@pytest.mark.parametrize("wrong", [{"items": "x" * 3}, {"mode": "odd"}, {"more": 1}])
def test_what_is_no_list_is_refused(wrong):
    with pytest.raises(ValueError):
        shown(**wrong)
