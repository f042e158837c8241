"""A table of facts joined to a catalogue: what matches, what stays, what is said about it."""

import json
import logging

import pytest

from recommender.config import DataConfig, FactsConfig
from recommender.data.catalogue import Catalogue
from recommender.data.checks import validate
from recommender.data.facts_join import join_facts
from recommender.data.item_rows import Item
from recommender.errors import DataError


def item(item_id, title, year, **attributes):
    values = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in attributes.items()}
    return Item(item_id, title, attributes={"year": (year,)} | values)


ITEMS = [
    item("1", "Alien", "1979", genres=["Horror"]),
    item("2", "Heat", "1995", director="Somebody Else"),
    item("3", "Unknown Film", "1990"),
    item("4", "Hamlet", "1996"),
]
FACTS = [
    item("tt1", "Alien", "1979", director="Ridley Scott", cast=["Sigourney Weaver", "Tom Skerritt"], genres=["Drama"]),
    item("tt2", "Heat", "1995", director="Michael Mann", cast=["Al Pacino"]),
    item("tt3", "Hamlet", "1996", director="Kenneth Branagh"),
    item("tt4", "Hamlet", "1996", director="Another One"),
]
CONFIG = FactsConfig(table="films")


def test_items_take_what_they_have_not():
    joined, report = join_facts(ITEMS, FACTS, CONFIG)
    assert joined[0].attributes == {
        "year": ("1979",),
        "genres": ("Horror",),
        "director": ("Ridley Scott",),
        "cast": ("Sigourney Weaver", "Tom Skerritt"),
    }
    assert joined[1].attributes["director"] == ("Somebody Else",) and joined[1].attributes["cast"] == ("Al Pacino",)
    assert joined[2:] == ITEMS[2:]
    assert (report.joined, report.ambiguous, report.unmatched) == (2, ("Hamlet",), ("Unknown Film",))
    assert report.contradictions == {"genres": 1, "director": 1} and report.added == {"director": 1, "cast": 2}
    text = "\n".join(report.lines())
    assert (
        "2 of 4 items (2 by title and year)" in text and "Hamlet" in text and "director: the two tables differ" in text
    )


def test_only_the_columns_asked_for():
    joined, report = join_facts(ITEMS, FACTS, FactsConfig(table="films", columns=("cast",)))
    assert set(joined[0].attributes) == {"year", "genres", "cast"} and not report.contradictions


def test_a_long_cast_is_cut_to_those_who_are_known():
    crowd = [f"Extra {n}" for n in range(8)]
    items = [item("1", "Alien", "1979"), *(item(f"b{n}", f"Film {n}", "1980") for n in range(3))]
    facts = [
        item("a", "Alien", "1979", cast=[*crowd, "Star", "Guest"]),
        *(item(f"b{n}", f"Film {n}", "1980", cast=["Star"]) for n in range(3)),
        *(item(f"c{n}", f"Not in the catalogue {n}", "1980", cast=["Guest"]) for n in range(9)),
    ]
    joined, _ = join_facts(items, facts, FactsConfig(table="films"))
    assert joined[0].attributes["cast"] == ("Star",)
    joined, _ = join_facts(items, facts, FactsConfig(table="films", known_from=1, most_people=2))
    assert joined[0].attributes["cast"] == ("Star", "Guest")


def test_a_key_of_both_tables():
    items = [item("1", "A", "1990", isbn="X1"), item("2", "B", "1990", isbn="X2")]
    facts = [item("9", "other title", "1950", isbn="X2", author="Nick Hornby")]
    joined, report = join_facts(items, facts, FactsConfig(table="books", by="isbn"))
    assert joined[1].attributes["author"] == ("Nick Hornby",) and report.matched == {"isbn": 1}
    by_id, _ = join_facts(items, [item("2", "?", "1900", author="X")], FactsConfig(table="books", by="item_id"))
    assert by_id[1].attributes["author"] == ("X",)


def test_a_key_in_two_rows_is_an_error():
    facts = [item("8", "A", "1950", isbn="X1"), item("9", "B", "1950", isbn="X1")]
    with pytest.raises(DataError, match="isbn 'X1' stands in two rows"):
        join_facts(ITEMS, facts, FactsConfig(table="books", by="isbn"))


def test_a_table_that_matches_nothing_is_an_error():
    with pytest.raises(DataError, match="none of the 4 items") as caught:
        join_facts(ITEMS, [item("x", "Solaris", "1972", director="T")], CONFIG)
    assert "data.facts.by" in caught.value.hint


@pytest.fixture
def tables(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title,year\n1,Alien,1979\n2,Nothing Like It,1980\n")
    rows = [{"item_id": "tt1", "name": "Alien", "year": 1979, "director": ["Ridley Scott"]}]
    (tmp_path / "facts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    facts = {"table": str(tmp_path / "facts.jsonl"), "layout": {"columns": {"title": "name"}}}
    return DataConfig(items=str(tmp_path / "items.csv"), facts=FactsConfig.model_validate(facts))


def test_a_catalogue_is_loaded_with_its_facts(tables, caplog):
    with caplog.at_level(logging.WARNING):
        catalogue = Catalogue.load(tables.items, tables)
    assert catalogue[0].attributes["director"] == ("Ridley Scott",)
    assert catalogue.report.facts is not None and catalogue.report.facts.unmatched == ("Nothing Like It",)
    assert "facts for 1 of 2 items" in caplog.text


def test_validate_reports_the_join(tables, tmp_path):
    report = validate(tables.items, None, tables)
    assert report.ok and "facts for 1 of 2 items (1 by title and year)" in report.render()
    other = tables.facts.model_copy(update={"by": "isbn"})
    failed = validate(tables.items, None, tables.model_copy(update={"facts": other}))
    assert not failed.ok and failed.counts["unusable-facts"] == 1


@pytest.mark.parametrize("encoded", [True, False])
def test_encoders_read_facts_unless_told_otherwise(tables, encoded):
    alone = Catalogue.load(tables.items, tables.model_copy(update={"facts": None}))
    facts = tables.facts.model_copy(update={"encoded": encoded})
    catalogue = Catalogue.load(tables.items, tables.model_copy(update={"facts": facts}))
    told = [index for index in range(len(alone)) if catalogue[index].attributes != alone[index].attributes]
    assert told
    for index in told:
        new = catalogue[index].attributes.keys() - alone[index].attributes.keys()
        values = [value for name in new for value in catalogue[index].attributes[name]]
        assert all((value in catalogue.document(index)) == encoded for value in values)
        assert catalogue.facts(index).keys() > alone.facts(index).keys()


@pytest.mark.assets
def test_the_embedded_film_facts_know_most_of_movielens(caplog):
    catalogue = Catalogue.load("movielens-100k", DataConfig(facts=FactsConfig(table="film-facts")))
    report = catalogue.report.facts
    assert report is not None and report.joined >= 1369 and len(report.ambiguous) <= 3
    known = {item.title: item.attributes for item in catalogue}
    assert known["Fargo"]["director"] == ("Joel Coen",) or "Joel Coen" in known["Fargo"]["director"]
    assert "George Lucas" in known["Star Wars"]["director"]
    assert all(len(attributes.get("cast", ())) <= 8 for attributes in known.values())
