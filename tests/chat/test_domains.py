"""Conversations about several catalogues: which of them a message asks for, and lists in which none takes all places."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.chat import Chat, Reader
from recommender.chat.dialogue_state import DialogueState
from recommender.data.catalogue import Catalogue, Item
from recommender.engine.turns import interleaved
from recommender.errors import RecommenderError
from recommender.inference.beam_search import Ranking

CATALOGUE = Catalogue(
    [
        *(
            Item(f"f{n}", title, attributes={"genres": (kind,), "domain": ("films",)})
            for n, (title, kind) in enumerate(
                [
                    ("Heat (1995)", "Crime"),
                    ("Alien (1979)", "Horror"),
                    ("Airplane! (1980)", "Comedy"),
                    ("Babe (1995)", "Comedy"),
                ]
            )
        ),
        *(
            Item(f"p{n}", title, attributes={"keywords": (word,), "domain": ("products",)})
            for n, (title, word) in enumerate([("Rose Soap", "soap"), ("Clay Mask", "mask"), ("Argan Oil", "oil")])
        ),
    ]
)
READER = Reader(CATALOGUE)


class Ranker:
    """An engine that prefers items in the order of the catalogue: all films come before all products."""

    catalogue, listens = CATALOGUE, False

    def scores_query(self, query):
        return False

    def rank(self, histories, k, allowed=None, query=None, fused=None, *, boosts=None):
        scores = -np.arange(len(CATALOGUE), dtype=np.float32) + (0 if boosts is None else boosts)
        masked = np.where(allowed.numpy()[0], scores, -np.inf)
        best = np.argsort(-masked, kind="stable")[:k]
        return [Ranking(best, masked[best])]

    def score_all(self, histories, query=None, *, boosts=None):
        scores = -np.arange(len(CATALOGUE), dtype=np.float32) + (0 if boosts is None else boosts)
        return np.stack([scores] * len(histories))

    def similar_items(self, item, count):
        return []


CHAT = Chat(Ranker(), "films and products")


def asked(text):
    return [value for _, value in READER.read(text).domains]


@pytest.mark.parametrize(
    ("text", "domains"),
    [
        ("Recommend me some films.", ["films"]),
        ("Show me a movie for tonight", ["films"]),
        ("Products please", ["products"]),
        ("5 products like Rose Soap", ["products"]),
        ("I want products and films", ["products", "films"]),
        ("a film or a product, whatever fits", ["films", "products"]),
        ("films with crime, and a product that goes with them", ["films", "products"]),
        ("Something from both, please", ["films", "products"]),
        ("no products please, I have enough", ["films"]),
        ("anything but films", ["products"]),
        ("I don't want films, show me products", ["products"]),
        ("not only films, please", ["films", "products"]),
        ("I loved the film Heat, what else?", []),
        ("I have seen all these films, show me products", ["products"]),
        ("no films before 1980", ["films"]),
        ("not the second film", []),
        ("something funny", []),
        ("a soap for film lovers", ["products"]),
        ("a product for my sister, who loves films", ["products"]),
    ],
)
def test_which_catalogue_a_message_asks_for(text, domains):
    assert asked(text) == domains


def test_a_catalogue_of_one_domain_has_nothing_to_ask_for():
    alone = Catalogue(CATALOGUE[:4])
    assert Reader(alone).read("recommend films").domains == ()


def test_a_number_before_a_domain_is_how_many_are_wanted():
    reading = READER.read("Give me 3 films")
    assert (reading.count, reading.domains) == (3, (("domain", "films"),))


def test_a_later_wish_for_another_domain_replaces_the_earlier():
    state = DialogueState()
    for text, expected in (("films", "f"), ("comedies", "f"), ("any genre", "f"), ("now products", "p")):
        state = state.after(READER.read(text), (), (), 5)
        assert {CATALOGUE.item_ids[n][0] for n in np.flatnonzero(state.allowed(CATALOGUE))} == {expected}
    unmet, rest = state.failed_by({"domain": ("films",)})
    assert (unmet, rest.domains) == (["products"], ())


def reply(*texts):
    return CHAT.reply([{"role": "user", "content": text} for text in texts], explain=False)


def test_items_of_the_domain_that_is_asked_for():
    answer = reply("Recommend products")
    assert [item.item_id for item in answer.items] == ["p0", "p1", "p2"]
    assert answer.filters == ("products",)
    assert [chip.text for chip in answer.understood] == ["products"]


def test_who_asks_for_both_gets_both_in_turn():
    answer = reply("I'd like films and products")
    assert [item.item_id for item in answer.items] == ["f0", "p0", "f1", "p1", "f2"]
    first = reply("Products and films please")
    assert [item.item_id for item in first.items] == ["p0", "f0", "p1", "f1", "p2"]


def test_who_asks_for_none_gets_what_ranks_best():
    assert [item.item_id for item in reply("What next?").items] == ["f0", "f1", "f2", "f3", "p0"]


def test_a_domain_is_taken_back_by_its_chip():
    messages = [{"role": "user", "content": "Recommend products"}]
    (chip,) = CHAT.reply(messages, explain=False).understood
    again = CHAT.reply(messages, explain=False, dropped=[chip.id])
    assert [item.item_id for item in again.items][:2] == ["f0", "f1"]
    assert again.understood == ()


def test_what_no_item_of_the_domain_has_is_left_out():
    answer = reply("a horror product")
    assert (answer.relaxed, answer.filters) == (("Horror",), ("products",))
    assert [item.item_id for item in answer.items] == ["p0", "p1", "p2"]


def test_lists_in_turn_until_the_shorter_runs_out():
    one = Ranking(np.array([4, 2, 1]), np.array([3.0, 2.0, 1.0], np.float32))
    other = Ranking(np.array([7]), np.array([9.0], np.float32))
    joined = interleaved([one, other, Ranking(np.zeros(0, np.int64), np.zeros(0, np.float32))], 3)
    assert joined.items.tolist() == [4, 7, 2]
    assert joined.scores.tolist() == [3.0, 9.0, 2.0]
    assert interleaved([one, one], 6).items.tolist() == [4, 2, 1]


def conditions(text):
    reading = READER.read(text)
    return [[value for _, value in group] for group in reading.only]


@pytest.mark.parametrize(
    ("text", "domains", "only"),
    [
        ("a comedy from the 90s and a soap", ["films", "products"], [["Comedy"], ["soap"]]),
        ("a soap and a comedy", ["products", "films"], [["soap"], ["Comedy"]]),
        ("something like Airplane! and an oil", ["films", "products"], [["oil"]]),
        ("anything from the 80s", ["films"], []),
        ("now a mask instead", ["products"], [["mask"]]),
        ("mask and oil", ["products"], [["mask"], ["oil"]]),
        ("a soap for my mother", ["products"], [["soap"]]),
        # small words that stand where no noun does, or beside what only the other catalogue has
        ("something funny and oil", [], []),
        ("an oil comedy", ["films"], [["Comedy"]]),
        ("a film about soap", ["films"], []),
    ],
)
def test_what_is_asked_for_says_of_which_catalogue_it_is(text, domains, only):
    assert (asked(text), conditions(text)) == (domains, only)


def test_a_value_of_both_catalogues_is_that_of_the_one_it_is_said_of():
    items = [
        Item("f", "Heat", attributes={"genres": ("Romance",), "domain": ("films",)}),
        *(Item(f"p{n}", f"Rose {n}", attributes={"keywords": (w,), "domain": ("products",)})
          for n, w in enumerate(["romantic", "perfume"])),
    ]  # fmt: skip
    reader = Reader(Catalogue(items))
    assert reader.read("a romantic film and a perfume").only == ((("genres", "Romance"),), (("keywords", "perfume"),))
    assert reader.read("romantic products").only == ((("keywords", "romantic"),),)
    assert reader.read("something romantic").domains == (("domain", "films"),)


def test_each_condition_holds_for_the_catalogue_that_can_meet_it():
    answer = reply("a comedy before 1990 and a soap")
    assert [item.item_id for item in answer.items] == ["f2", "p0"]
    assert answer.filters == ("Comedy", "soap", "films or products", "1989 or earlier")
    assert "Films and products for you (Comedy, soap, 1989 or earlier):" in answer.opening


def test_conditions_of_a_catalogue_come_back_with_it():
    answers = [reply(*TURNS[: n + 1]) for n in range(len(TURNS))]
    assert [[item.item_id for item in answer.items] for answer in answers] == [
        ["f1"],
        ["p1"],
        ["f1", "p1"],
        ["f1"],
    ]
    assert all(answer.relaxed == () for answer in answers)
    assert answers[1].filters == ("mask", "products")
    assert answers[1].opening.endswith("Products for you (mask):")


TURNS = ("a horror movie", "now a mask instead", "both please", "films again")


def test_what_is_added_is_wanted_beside_what_was_asked_for():
    assert [item.item_id for item in reply("a horror film", "and a mask").items] == ["f1", "p1"]
    assert [item.item_id for item in reply("a horror film", "and now a mask").items] == ["p1"]


def test_so_many_of_each_as_are_asked_for():
    assert [item.item_id for item in reply("3 films and 2 products").items] == ["f0", "p0", "f1", "p1", "f2"]
    assert [item.item_id for item in reply("a film and 2 products").items] == ["f0", "p0", "p1"]
    assert [item.item_id for item in reply("2 products").items] == ["p0", "p1"]
    assert [item.item_id for item in reply("two films and a mask").items] == ["f0", "p1", "f1"]


def test_of_several_catalogues_none_is_left_empty():
    answer = reply("a horror film from the 90s and a mask")
    assert {item.item_id for item in answer.items} >= {"p1"} and answer.relaxed
    assert any(item.item_id.startswith("f") for item in answer.items)


def test_the_catalogue_that_is_asked_for_is_the_last_thing_to_be_left_out():
    answer = reply("only products from the 90s")
    assert {item.item_id[0] for item in answer.items} == {"p"} and "products" not in answer.relaxed


def test_why_not_speaks_of_no_condition_of_the_other_catalogue():
    shown = {"role": "assistant", "content": reply("a comedy and a mask").text}
    messages = [{"role": "user", "content": "a comedy and a mask"}, shown]
    state = CHAT.wanted(messages[:1])
    assert state.failed_by({"domain": ("films",), "genres": ("Crime",)})[0] == ["Comedy"]
    assert state.failed_by({"domain": ("products",), "keywords": ("mask",)})[0] == []


def test_what_is_excluded_is_never_listed():
    for texts in (("films",), ("films", "start over, films")):
        messages = [{"role": "user", "content": text} for text in texts]
        answer = CHAT.reply(messages, explain=False, exclude=["f0", "f2"])
        assert [item.item_id for item in answer.items][:2] == ["f1", "f3"]
        assert not {"f0", "f2"} & {item.item_id for item in answer.items}


def test_a_name_behind_what_was_done_is_no_keyword():
    items = [Item("f", "Alien", attributes={"genres": ("Horror",), "domain": ("films",)})]
    for n, word in enumerate(("alien", "not", "black")):
        items.append(Item(f"p{n}", f"Rose {n}", attributes={"keywords": (word,), "domain": ("products",)}))
    reader = Reader(Catalogue(items))
    assert reader.read("I loved Alien").history == (0,) and reader.read("I loved Alien").only == ()
    assert reader.read("Not for kids").only == () == reader.read("Black horror").only[1:]


def ids(answer):
    return [item.item_id for item in answer.items]


BOTH = {"films": 0, "products": 0}


def usual(*texts, domains=BOTH, **more):
    messages = [{"role": "user", "content": text} for text in texts]
    return CHAT.reply(messages, explain=False, domains=domains, **more)


def test_a_list_is_of_the_usual_domains_where_no_message_asks_for_others():
    assert ids(usual("What next?")) == ["f0", "p0", "f1", "p1", "f2"]
    assert ids(usual("What next?", domains={"Products": 0})) == ["p0", "p1", "p2"]
    assert ids(usual("a comedy")) == ["f2", "f3"] and ids(usual("films", domains={"products": 0}))[0] == "f0"
    assert ids(usual("films", "start over", domains={"products": 0})) == ["p0", "p1", "p2"]
    assert ids(usual("What next?", domains={"films": 1, "products": 2})) == ["f0", "p0", "p1"]


def test_what_is_like_an_item_is_of_its_catalogue():
    assert ids(usual("Something like Heat")) == ["f1", "f2", "f3"]
    assert ids(usual("Something like Rose Soap")) == ["p1", "p2"]


def test_who_is_asked_nothing_is_not_told_that_they_said_the_usual_domains():
    answer = usual("What next?")
    assert answer.understood == () and "Understood" not in answer.opening and answer.asks
    assert answer.opening.endswith("Films and products for you:")


def test_unknown_usual_domains_are_said():
    with pytest.raises(RecommenderError, match="no item is of 'musics'.*films, products"):
        usual("What next?", domains={"musics": 0})


def test_questions_in_a_conversation_rank_in_turn():
    for text, title, place in (("films and products", "Clay Mask", 4), ("a film and 2 products", "Clay Mask", 3)):
        shown = [{"role": "user", "content": text}, {"role": "assistant", "content": reply(text).text}]
        told = CHAT.reply([*shown, {"role": "user", "content": f'Why not "{title}"?'}], explain=False)
        assert f"in the list, at place {place}" in told.text
        told = CHAT.reply([*shown, {"role": "user", "content": 'Why not "Argan Oil"?'}], explain=False)
        assert "in the list" not in told.text
