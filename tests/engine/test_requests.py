"""What an engine is asked: fields, their former names, and one clear line for what is wrong."""

import pytest

from recommender.engine import Request, make_request, requests
from recommender.errors import RecommenderError


def test_fields_have_defaults_and_ids_may_be_numbers():
    request = make_request(history=[50, "181"], k=3)
    assert request.history == ("50", "181") and request.k == 3
    assert request.explain and request.query is None and request.boosts == {} and request.only is None


def test_a_filter_of_one_value_needs_no_list():
    assert make_request(filters={"genres": "Comedy", "year": ["1995", "1996"]}).filters == {
        "genres": ("Comedy",),
        "year": ("1995", "1996"),
    }
    assert make_request(filters=None).filters == {}


def test_the_former_name_of_a_query_is_read_and_a_note_says_so_once(caplog):
    requests._note_former_field.cache_clear()
    assert make_request(wish="a red comedy").query == "a red comedy"
    assert Request.model_validate({"wish": "a red comedy"}).query == "a red comedy"
    assert caplog.text.count("the request field wish is now query") == 1
    assert make_request(wish=None, query="red").query == "red" and make_request(wish="red", query=None).query == "red"
    with pytest.raises(RecommenderError, match="wish is the former name of query"):
        make_request(wish="one", query="another")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"k": 0}, "k"),
        ({"k": "many"}, "k"),
        ({"histroy": []}, "histroy"),
        ({"query": "x" * 501}, "query"),
        ({"boosts": {"50": float("nan")}}, "boosts"),
        ({"boosts": {"50": float("inf")}}, "boosts"),
        ({"boosts": {"50": 1e39}}, "boosts"),
        ({"boosts": {"50": -1001}}, "boosts"),
        ({"boosts": ["50"]}, "boosts"),
        ({"vectors": {"50": {"smell": [1.0]}}}, "vectors"),
    ],
)
def test_a_wrong_field_is_named_in_one_line(fields, field):
    with pytest.raises(RecommenderError, match=field) as error:
        make_request(**fields)
    assert "\n" not in error.value.message


def test_a_request_does_not_change():
    with pytest.raises(ValueError, match="frozen"):
        make_request().k = 5
