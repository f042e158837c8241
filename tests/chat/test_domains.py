"""Conversations about several catalogues: which of them a message asks for, and lists in which none takes all places."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.chat import Chat, Reader
from recommender.chat.dialogue_state import DialogueState
from recommender.chat.domains import interleaved
from recommender.data.catalogue import Catalogue, Item
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
