"""How results look: titles with years, justifications whole, numbers only where they are asked for."""

import dataclasses
import json

import numpy as np
import pytest
from rich.console import Console, Group

from recommender.cli.output import as_plain_text
from recommender.cli.result_views import HISTORY_SHOWN, demo_data, demo_view, meaning_rows, ranking_view, why_view
from recommender.data.catalogue import Catalogue, Item
from recommender.engine import RankedItem
from recommender.pipelines.demo import Demo
from recommender.semantic_ids.codes import CodeMeaning

SENTENCE = (
    'Because you watched "The Godfather", you may like "Heat" (1995), which is a Crime film of the 1990s as well.'
)
LONG = "The Adventures of Somebody Whose Name Goes On and On Through a Whole Long Evening in the Provinces"


def film(number, title, year=None):
    return Item(str(number), title, attributes={"year": (year,)} if year else {})


FILMS = [film(1, "Godfather, The", "1972"), film(2, "Heat (1995)", "1995"), film(3, LONG, "2001"), film(4, "Undated")]
ITEMS = tuple(
    RankedItem(rank, item.item_id, item.title, -rank - 0.125, SENTENCE, "model" if rank % 2 else "plain")
    for rank, item in enumerate(FILMS, start=1)
)


def text_of(views, width=80):
    return as_plain_text(Group(*views), width)


def joined(text):
    return " ".join(text.split())


@pytest.fixture
def demo():
    return Demo(
        history=tuple(film(100 + n, f"Seen {n}", "1980") for n in range(12)),
        items=ITEMS,
        films=tuple(FILMS),
        next_item=FILMS[1],
        next_rank=2,
        ranked=1576,
        effects={name: np.linspace(-1, 1, 4) for name in ("text", "image", "audio", "collaborative")},
        agreement=0.99876,
        fresh=True,
        conversation=(),
        notes=("Stand-ins were encoded.",),
        llm="smollm2",
        seconds={"load": 3.21, "rank": 1.04},
    )


def test_a_ranking_names_items_as_people_do():
    text = text_of(ranking_view(ITEMS, Catalogue(FILMS)))
    assert "The Godfather (1972)  id 1" in text and "Heat (1995)  id 2" in text and "Undated  id 4" in text
    assert joined(text).count(SENTENCE) == 4 and "-1.1" not in text


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_ranking_fits_and_breaks_no_word(width):
    text = text_of(ranking_view(ITEMS, Catalogue(FILMS)), width)
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    assert set(f"{SENTENCE} {LONG}".split()) <= set(text.split())


def test_details_of_a_ranking():
    text = text_of(ranking_view(ITEMS, Catalogue(FILMS), details=True), 120)
    assert "-1.12" in text and "-4.12" in text and "plain" in text


def test_a_ranking_without_justifications_is_a_line_an_item():
    items = [dataclasses.replace(item, justification=None) for item in ITEMS[:2]]
    assert len(text_of(ranking_view(items, Catalogue(FILMS))).splitlines()) == 2


def test_square_brackets_in_texts_are_no_markup():
    item = dataclasses.replace(ITEMS[0], justification="[bold]as it is[/bold]")
    assert "[bold]as it is[/bold]" in text_of(ranking_view([item], Catalogue(FILMS)))


def test_the_demo_shows_films_and_no_numbers(demo):
    text = text_of(demo_view(demo))
    assert "rated 12 films. The last 8:" in text and "Seen 4 (1980)" in text and "Seen 3 (1980)" not in text
    assert text.count("Seen ") == HISTORY_SHOWN
    assert "Heat (1995). It is number 2 of 1,576 films" in joined(text) and "It took 4 s" in text
    assert "Stand-ins were encoded." in text and "-1.12" not in text and "+1.00" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_the_details_of_the_demo(demo):
    views = demo_view(demo, details=True)
    text = text_of(views, 200)
    for number in ("-1.12", "+1.00", "-1.00", "0.9988", "3.2", "4.2", "smollm2", "collab"):
        assert number in text
    Console(width=80, quiet=True).print(*views)


def test_the_demo_as_data(demo):
    data = demo_data(demo)
    assert json.loads(json.dumps(data)) == data
    assert data["next"] == {"item_id": "2", "title": "Heat (1995)", "rank": 2} and len(data["items"]) == 4
    assert data["effects"]["text"] == [-1.0, -0.3333, 0.3333, 1.0] and data["notes"] == ["Stand-ins were encoded."]


def test_why():
    why = {
        "justification": SENTENCE,
        "written_by": "model",
        "rests_on": "It rests mostly on your history.",
        "effects_are": "left out one by one",
        "query": 0.25,
        "contributions": {"text": 0.5},
        "evidence": {
            "influences": [{"item_id": "1", "title": "The Godfather", "effect": 1.5}],
            "shared": [{"name": "genres", "value": "Crime", "items": ["1", "3"]}],
            "passages": [],
        },
    }
    text = text_of(why_view(why), 120)
    assert f"{SENTENCE}  [model]" in joined(text).replace(" [model]", "  [model]") and "rests mostly" in text
    assert "Crime" in text and "1, 3" in text and "the query in words" in text and "0.25" in text
    assert "words that their texts share" not in text


def test_meanings_of_codes():
    @dataclasses.dataclass
    class Trait:
        value: str
        items: int
        lift: float

    meaning = CodeMeaning(7, 12, [Trait("Comedy", 9, 2.25)], ["a", "b", "c", "d"])
    (row,) = meaning_rows([meaning])
    assert row == {"code": 7, "items": 12, "more often than others": "Comedy (9, x2.2)", "such as": "a; b; c"}
