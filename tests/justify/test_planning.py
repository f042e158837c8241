"""Plans: what a justification names, and a template that passes the check for every catalogue."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.data.catalogue import Catalogue, Item
from recommender.justify import (
    ClaimChecker,
    Evidence,
    Influence,
    Style,
)
from recommender.justify.evidence import shared_facts
from recommender.justify.planning import choose_template, make_outline, writing_prompt
from tests.justify.films import CATALOGUE, CHECKER, FILMS, evidence, plain


def test_a_plain_justification_says_the_evidence():
    sentence = plain(evidence(0, 1, 2), CHECKER, FILMS)
    assert all(name in sentence for name in ('"Aliens" (1986)', '"Alien"', '"Blade Runner"', "science fiction"))
    assert sentence == plain(evidence(0, 1, 2), CHECKER, FILMS) != plain(evidence(0, 1), CHECKER, FILMS)
    assert '"Nothing Known"' in plain(Evidence(4), CHECKER, Style())
    cold = plain(Evidence(0), CHECKER, FILMS)
    assert '"Aliens" (1986)' in cold and "James Cameron" in cold and 'Alien"' not in cold


def test_only_facts_that_all_named_items_share_are_said():
    sentence = plain(evidence(2, 1, 0), CHECKER, FILMS)
    assert "science fiction" in sentence and '"Alien"' in sentence
    assert "Ridley Scott" in sentence and '"Aliens"' not in sentence  # what one influence shares tells more
    assert "Ridley Scott" in plain(evidence(2, 1), CHECKER, FILMS)


def test_the_prompt_holds_all_names_and_facts():
    outline, template = choose_template(evidence(0, 1, 2), CHECKER, FILMS)
    prompt = writing_prompt(CATALOGUE, outline, FILMS, template.cues)
    assert all(word in prompt for word in ('"Aliens" (1986)', '"Alien"', '"Blade Runner"', "science fiction", "normal"))
    assert "None" not in prompt
    assert "You" not in writing_prompt(CATALOGUE, make_outline(Evidence(0), CHECKER, FILMS), FILMS, ())


def test_a_length_decides_how_much_is_named():
    every = evidence(0, 1, 2, 3)
    long = {length: plain(every, CHECKER, Style("films", length=length)) for length in ("short", "normal", "detailed")}
    assert long["short"].count('"') == 4 and "Blade" in long["normal"] and len(long["short"]) < len(long["detailed"])
    for length, sentence in long.items():
        style = Style("films", length=length)
        assert CHECKER.check(sentence, every, "films", style.size.words).ok
    assert not CHECKER.check(long["detailed"], every, "films", 5).ok


WORDS = (
    "you watched Because like both all is Sci Fi Action Drama the A 's and film films item with by 1999 1990s 7 \" ' "
    "( ) : , . … é 日本 & + suggested Comedy history star"
).split()


texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(" ".join) | st.text(min_size=1, max_size=20)


names = st.sampled_from(
    [
        "genres",
        "year",
        "director",
        "cast",
        "keywords",
        "brand",
        "you",
        "like",
        "price",
        "rated",
        "release_year",
    ]
)


@st.composite
def worlds(draw):
    def clean(text):
        return " ".join("".join(c if c.isprintable() else " " for c in text).split())

    size = draw(st.integers(2, 5))
    items = []
    for index in range(size):
        attributes = draw(st.dictionaries(names, st.lists(texts, min_size=1, max_size=3), max_size=4))
        kept = {n: tuple(v for v in map(clean, vs) if v) for n, vs in attributes.items()}
        title = clean(draw(texts)) or f"item {index}"
        items.append(Item(str(index), title, attributes={n: vs for n, vs in kept.items() if vs}))
    catalogue = Catalogue(items)
    item = draw(st.integers(0, size - 1))
    others = draw(st.lists(st.integers(0, size - 1).filter(lambda i: i != item), unique=True, max_size=4))
    influences = tuple(Influence(other, 1.0) for other in others)
    return catalogue, Evidence(item, influences, shared_facts(catalogue, item, others))


@settings(max_examples=300, deadline=None)
@given(worlds(), st.sampled_from(["items", "films", "books", "songs", "candles", "1990s"]))
def test_a_plain_justification_always_passes_the_check(world, noun):
    catalogue, found = world
    checker = ClaimChecker(catalogue)
    sentence = plain(found, checker, Style(noun))
    verdict = checker.check(sentence, found, noun)
    assert verdict.ok, (sentence, verdict.reason)
