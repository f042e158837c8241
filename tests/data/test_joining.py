"""Catalogues joined into one: every item and interaction is read again, and what cannot be joined is said in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.cli import app
from recommender.config import Config, DataConfig
from recommender.data.catalogue import Catalogue
from recommender.data.histories import Histories
from recommender.data.joining import INTERACTIONS, ITEMS, JoinOptions, join_catalogues
from recommender.errors import RecommenderError

FILMS = [
    {"item_id": "1", "title": "Heat", "genres": ["Crime", "Drama, dark"], "year": ["1995"]},
    {"item_id": "2", "title": 'The "Fog"', "description": "Mist.", "genres": ["Horror"]},
]
PRODUCTS = [
    {"item_id": "a", "title": "Soap", "keywords": ["rose"]},
    {"item_id": "b", "title": "Oil", "keywords": ["argan"]},
]
FILM_EVENTS = ["u,2,100.5,3", "u,1,50,5", "v,1,70,4"]
PRODUCT_EVENTS = ["v,b,60", "v,a,80", "w,a,10"]


def folder(path, items, header, events):
    path.mkdir()
    (path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    (path / "interactions.csv").write_text("\n".join([header, *events]) + "\n")
    return DataConfig(items=str(path), interactions=str(path))


@pytest.fixture
def sources(tmp_path):
    return {
        "films": folder(tmp_path / "films", FILMS, "user_id,item_id,timestamp,rating", FILM_EVENTS),
        "products": folder(tmp_path / "products", PRODUCTS, "user_id,item_id,timestamp", PRODUCT_EVENTS),
    }


def read(output):
    catalogue = Catalogue.load(str(output / ITEMS))
    histories = Histories.load(str(output / INTERACTIONS), catalogue)
    named = {
        user: [catalogue.item_ids[item] for item in items]
        for user, items in zip(histories.user_ids, histories.items, strict=True)
    }
    return catalogue, histories, named


def test_everything_is_read_again_with_its_domain(sources, tmp_path):
    report = join_catalogues(sources, tmp_path / "both")
    catalogue, histories, named = read(tmp_path / "both")
    assert named == {"films:u": ["1", "2"], "films:v": ["1"], "products:v": ["b", "a"], "products:w": ["a"]}
    assert np.concatenate(histories.times).tolist() == [50, 100.5, 70, 60, 80, 10]
    assert [item.attributes["domain"] for item in catalogue] == [("films",), ("films",), ("products",), ("products",)]
    assert catalogue[0].attributes["genres"] == ("Crime", "Drama, dark")
    assert (catalogue[1].title, catalogue[1].text) == ('The "Fog"', "Mist.")
    assert (report.users, report.ordered_by) == (4, "timestamp")
    assert [(told.items, told.users, told.interactions) for told in report.domains] == [(2, 2, 3), (2, 2, 3)]


def test_a_person_of_both_has_one_history_in_order_of_time(sources, tmp_path):
    join_catalogues(sources, tmp_path / "both", JoinOptions(same_users=True))
    assert read(tmp_path / "both")[2] == {"u": ["1", "2"], "v": ["b", "1", "a"], "w": ["a"]}


def test_low_ratings_are_left_out_and_counted(sources, tmp_path):
    sources["films"] = sources["films"].model_copy(update={"minimum_rating": 4})
    report = join_catalogues(sources, tmp_path / "both")
    assert read(tmp_path / "both")[2]["films:u"] == ["1"]
    assert [told.dropped for told in report.domains] == [1, 0]


def test_without_times_in_one_domain_all_have_positions(sources, tmp_path):
    path = tmp_path / "products" / "interactions.csv"
    path.write_text("user_id,item_id,position\nv,b,2\nv,a,1\n")
    assert join_catalogues(sources, tmp_path / "both").ordered_by == "position"
    assert read(tmp_path / "both")[2] == {"films:u": ["1", "2"], "films:v": ["1"], "products:v": ["a", "b"]}
    with pytest.raises(RecommenderError, match="products have no times"):
        join_catalogues(sources, tmp_path / "one", JoinOptions(same_users=True))


def test_one_person_needs_one_unit_of_time(sources, tmp_path):
    path = tmp_path / "products" / "interactions.csv"
    path.write_text("user_id,item_id,timestamp\nv,b,60000\nv,a,80000\n")
    join_catalogues(sources, tmp_path / "both")
    with pytest.raises(RecommenderError, match="not one unit"):
        join_catalogues(sources, tmp_path / "one", JoinOptions(same_users=True))


def test_the_same_id_in_two_catalogues_is_one_line_that_names_the_option(sources, tmp_path):
    path = tmp_path / "products" / "items.jsonl"
    path.write_text(path.read_text().replace('"a"', '"1"'))
    events = tmp_path / "products" / "interactions.csv"
    events.write_text(events.read_text().replace(",a,", ",1,"))
    with pytest.raises(RecommenderError) as caught:
        join_catalogues(sources, tmp_path / "both")
    assert caught.value.message == "films and products both have an item with the id '1'"
    assert "--prefix" in caught.value.hint
    assert not (tmp_path / "both").exists()
    join_catalogues(sources, tmp_path / "both", JoinOptions(prefix=True))
    assert read(tmp_path / "both")[2]["products:v"] == ["products:b", "products:1"]


def test_an_attribute_that_is_taken_is_one_line_that_names_the_option(sources, tmp_path):
    with pytest.raises(RecommenderError) as caught:
        join_catalogues(sources, tmp_path / "both", JoinOptions(attribute="genres"))
    assert "already" in caught.value.message and "--attribute" in caught.value.hint
    join_catalogues(sources, tmp_path / "both", JoinOptions(attribute="shop"))
    assert read(tmp_path / "both")[0][3].attributes["shop"] == ("products",)


def test_what_was_there_stays_when_nothing_can_be_joined(sources, tmp_path):
    join_catalogues(sources, tmp_path / "both")
    before = {path.name: path.read_text() for path in (tmp_path / "both").iterdir()}
    path = tmp_path / "products" / "items.jsonl"
    path.write_text(json.dumps(PRODUCTS[0]) + "\n")
    with pytest.raises(RecommenderError, match="unknown item id"):
        join_catalogues(sources, tmp_path / "both")
    assert {path.name: path.read_text() for path in (tmp_path / "both").iterdir()} == before


def run(*arguments):
    return CliRunner().invoke(app, ["join", *map(str, arguments)])


def test_the_command_joins_folders_and_configs(sources, tmp_path):
    recipe = tmp_path / "films.yaml"
    recipe.write_text(Config(data=sources["films"]).updated({"data.minimum_rating": 4}).to_yaml())
    names = [f"films={recipe}", f"products={tmp_path / 'products'}"]
    result = run(*names, "--output", tmp_path / "both", "--json", "-q")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert [domain["interactions"] for domain in told["domains"]] == [2, 3]
    assert told["items"] == str(tmp_path / "both" / ITEMS)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["films"], "expected DOMAIN=SOURCE"),
        (["films=FILMS"], "nothing to join"),
        (["films=FILMS", "Films=FILMS"], "given twice"),
        (["films=FILMS", "products=nowhere"], "products=nowhere: no such file, folder or data set"),
        (["films=FILMS", "products="], "products=: says no source"),
        (["fi:lms=FILMS", "products=PRODUCTS"], "cannot name"),
        (["films=FILMS", "products=nowhere.yaml"], "nowhere.yaml"),
    ],
)
def test_wrong_sources_are_refused(sources, tmp_path, names, said):
    places = {"FILMS": str(tmp_path / "films"), "PRODUCTS": str(tmp_path / "products")}
    asked = [
        f"{name}={places.get(source, source)}" if sign else name
        for name, sign, source in (n.partition("=") for n in names)
    ]
    result = run(*asked, "--output", tmp_path / "both")
    assert result.exit_code != 0
    assert isinstance(result.exception, RecommenderError) and said in result.exception.message
    assert "config" not in (result.exception.hint or "")
