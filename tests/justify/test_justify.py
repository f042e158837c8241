"""Evidence by deletion, plain sentences that are always true, training examples, and who wrote a justification."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.data.catalogue import Catalogue, Item
from recommender.errors import ConfigError
from recommender.justify import (
    ClaimChecker,
    Evidence,
    Influence,
    Style,
    explain_examples,
    find_evidence,
    justify,
    sources,
)
from recommender.justify.evidence import shapley_values, shared_facts, shared_passages
from recommender.justify.item_names import NAME_LENGTH, display_name, other_names
from recommender.justify.planning import choose_template, make_outline, writing_prompt
from recommender.justify.templates import templates_of

FACTS = (
    {"genres": ("Action", "Sci-Fi"), "year": ("1986",), "director": ("James Cameron",)},
    {"genres": ("Horror", "Sci-Fi"), "year": ("1979",), "director": ("Ridley Scott",)},
    {"genres": ("Sci-Fi",), "year": ("1982",), "director": ("Ridley Scott",)},
    {"genres": ("Drama",), "year": ("1986",)},
    {},
)
TITLES = ("Aliens", "Alien", "Blade Runner", "The Mission", "Nothing Known")
CATALOGUE = Catalogue(Item(str(i), title, attributes=f) for i, (title, f) in enumerate(zip(TITLES, FACTS, strict=True)))
CHECKER = ClaimChecker(CATALOGUE)
FILMS = Style("films")


def plain(evidence, checker, style):
    """The text that needs no language model."""
    return choose_template(evidence, checker, style)[1].text


def weights(table):
    """A scorer: an item's score is the sum of what each distinct history item adds to it."""
    calls = []

    def score(histories, candidates):
        calls.append(len(histories))
        return np.array(
            [[sum(table.get((h, c), 0.0) for h in set(map(int, hist))) for c in candidates] for hist in histories]
        )

    return score, calls


def test_evidence_is_what_the_score_loses():
    score, calls = weights({(1, 0): 2.0, (2, 0): 3.0, (3, 0): -1.0, (3, 4): 0.5})
    first, second = find_evidence(CATALOGUE, np.array([1, 2, 3]), [0, 4], score, window=10, most=2)
    assert calls == [4]
    assert [(i.item, i.effect) for i in first.influences] == [(2, 3.0), (1, 2.0)]
    assert [(i.item, i.effect) for i in second.influences] == [(3, 0.5)]


def test_evidence_keeps_to_window_and_most():
    score, _ = weights({(1, 0): 2.0, (2, 0): 3.0, (3, 0): 1.0})
    history = np.array([2, 1, 3])
    assert [i.item for i in find_evidence(CATALOGUE, history, [0], score, window=2, most=5)[0].influences] == [1, 3]
    assert [i.item for i in find_evidence(CATALOGUE, history, [0], score, window=3, most=1)[0].influences] == [2]


def test_a_repeated_item_is_removed_everywhere():
    score, calls = weights({(1, 0): 2.0})
    found = find_evidence(CATALOGUE, np.array([1, 2, 1]), [0], score, window=3, most=3)[0]
    assert [(i.item, i.effect) for i in found.influences] == [(1, 2.0)]
    assert calls == [3]


def pairs(histories, candidates):
    """Items 1 and 2 are worth 3 to item 0 if either is there, item 3 is worth 1; each alone adds nothing to the other."""
    return np.array([[3.0 * bool({1, 2} & set(h.tolist())) + (3 in h) for _ in candidates] for h in histories])


def test_shapley_values_share_what_deletion_credits_to_nobody():
    history = np.array([4, 1, 2, 3, 1])
    deleted = find_evidence(CATALOGUE, history, [0], pairs, window=4, most=5)[0].influences
    assert [(i.item, i.effect) for i in deleted] == [(3, 1.0)]
    shared = find_evidence(CATALOGUE, history, [0], pairs, window=4, most=5, orders=2)[0].influences
    assert {i.item: i.effect for i in shared} == pytest.approx({1: 1.5, 2: 1.5, 3: 1.0})
    for orders in (1, 3, 8):
        effects = shapley_values(history, [1, 2, 3], [0, 4], pairs, orders)
        np.testing.assert_allclose(effects.sum(0), [4.0, 4.0])  # what all of them add together
        np.testing.assert_array_equal(effects, shapley_values(history, [1, 2, 3], [0, 4], pairs, orders))


def test_no_reason_is_invented():
    score, _ = weights({(1, 0): -2.0, (2, 0): 1e-6})
    assert find_evidence(CATALOGUE, np.array([1, 2]), [0], score, 5, 2) == [Evidence(0)]
    never, calls = weights({})
    assert find_evidence(CATALOGUE, np.array([], dtype=np.int64), [0, 1], never, 5, 2) == [
        Evidence(0),
        Evidence(1),
    ]
    assert find_evidence(CATALOGUE, np.array([1]), [], never, 5, 2) == []
    assert calls == []


def test_scores_that_are_no_numbers_are_no_reason():
    def score(histories, candidates):
        return np.array([[-np.inf] * len(candidates)] * len(histories))

    with np.errstate(invalid="ignore"):
        assert find_evidence(CATALOGUE, np.array([1, 2]), [0], score, 5, 2) == [Evidence(0)]


def test_shared_facts_hold_for_the_items_they_name():
    facts = {(f.name, f.value): f.items for f in shared_facts(CATALOGUE, 0, [1, 2, 3])}
    assert facts == {("genres", "Sci-Fi"): (1, 2), ("year", "1986"): (3,), ("decade", "1980s"): (2, 3)}


def test_a_year_at_the_end_of_a_title_counts():
    catalogue = Catalogue([Item("1", "Jaws (1975)"), Item("2", "Carrie (1976)")])
    assert [(f.name, f.value) for f in shared_facts(catalogue, 0, [1])] == [("decade", "1970s")]


def test_passages_are_runs_of_words_that_texts_share():
    texts = (
        "A crew in deep space meets an unknown creature.",
        "Far out in deep space, meets nobody. A crew in deep Space meets its end.",
        "An unknown creature of the lake.",
        "It is the one that is in it.",
        "",
    )
    catalogue = Catalogue(Item(str(n), f"Film {n}", text) for n, text in enumerate(texts))
    found = shared_passages(catalogue, 0, [1, 2, 3, 4])
    assert [(p.value, p.items) for p in found] == [("A crew in deep space meets", (1,)), ("an unknown creature", (2,))]
    assert shared_passages(catalogue, 4, [0, 1]) == ()


def evidence(item, *others):
    influences = tuple(Influence(other, 1.0) for other in others)
    return Evidence(item, influences, shared_facts(CATALOGUE, item, others))


def test_plain_sentences_say_the_evidence():
    sentence = plain(evidence(0, 1, 2), CHECKER, FILMS)
    assert all(name in sentence for name in ('"Aliens" (1986)', '"Alien"', '"Blade Runner"')) and "Sci-Fi" in sentence
    assert sentence == plain(evidence(0, 1, 2), CHECKER, FILMS) != plain(evidence(0, 1), CHECKER, FILMS)
    assert '"Nothing Known"' in plain(Evidence(4), CHECKER, Style())
    cold = plain(Evidence(0), CHECKER, FILMS)
    assert '"Aliens" (1986)' in cold and "James Cameron" in cold and 'Alien"' not in cold


def test_only_what_all_named_items_share_is_said():
    sentence = plain(evidence(2, 1, 0), CHECKER, FILMS)
    assert "Sci-Fi" in sentence and "Ridley Scott" not in sentence
    assert "Ridley Scott" in plain(evidence(2, 1), CHECKER, FILMS)


@pytest.mark.parametrize("turn", range(4))
def test_every_wording_is_different_and_grammatical(turn):
    for given_evidence in (evidence(0, 1), evidence(0, 1, 2), evidence(0, 4), Evidence(0), Evidence(4)):
        lines = [w.text for w in templates_of(CATALOGUE, make_outline(given_evidence, CHECKER, FILMS), FILMS, turn)]
        assert len(set(lines)) == len(lines) >= 3
        for line in lines:
            assert re.match(r"[A-Z\"]", line) and line.endswith(".") and "  " not in line and " ," not in line
            assert not re.search(r"\ba [AEIOUaeiou]|\ban [^AEIOUaeiou]", line) and not re.search(r"[\[\]|]", line)
            assert CHECKER.check(line, given_evidence, "films").ok, line


def test_a_title_with_the_marks_of_a_choice_stays_whole():
    catalogue = Catalogue([Item("1", "Rec [a|b] (2007)"), Item("2", "Pi | Tau [2007] (2007)")])
    found = Evidence(0, (Influence(1, 1.0),), shared_facts(catalogue, 0, [1]))
    for turn in range(8):
        for wording in templates_of(catalogue, make_outline(found, ClaimChecker(catalogue), FILMS), FILMS, turn):
            assert '"Rec [a|b] (2007)"' in wording.text and '"Pi | Tau [2007] (2007)"' in wording.text


def test_the_prompt_names_all_that_may_be_said():
    outline, template = choose_template(evidence(0, 1, 2), CHECKER, FILMS)
    prompt = writing_prompt(CATALOGUE, outline, FILMS, template.cues)
    assert all(word in prompt for word in ('"Aliens" (1986)', '"Alien"', '"Blade Runner"', "Sci-Fi", "normal"))
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


def test_another_language_is_a_file():
    german = Style("films", language="de")
    sentence = plain(evidence(0, 1), CHECKER, german)
    assert '"Aliens" (1986)' in sentence and "Sci-Fi" in sentence and not re.search(r"\b(you|because|try)\b", sentence)
    reason = justify(CATALOGUE, [evidence(0, 1)], _never, CHECKER, german)[0]
    assert reason.source == "plain" and reason.text == sentence


def test_what_is_no_language_or_length_is_an_error_that_names_those_there_are():
    with pytest.raises(ConfigError, match="xx") as found:
        Style(language="xx")
    assert "de, en" in (found.value.hint or "")
    with pytest.raises(ConfigError, match="epic"):
        Style(length="epic")


def test_a_phrase_says_an_attribute_whose_name_reads_badly():
    catalogue = Catalogue(Item(str(i), f"Toy {i}", attributes={"rated_by": ("PG",)}) for i in range(2))
    style = Style("films", phrases={"rated_by": "certified {values}"})
    checker = ClaimChecker(catalogue, style.phrases)
    found = Evidence(0, (Influence(1, 1.0),), shared_facts(catalogue, 0, [1]))
    assert "certified PG" in plain(found, checker, style)


def _never(prompts, names=None):
    raise AssertionError("asked")


def test_names_are_cut_between_words_and_stay_known():
    item = Item("1", "A very " + "long " * 30 + '12" title')
    name = display_name(item)
    assert len(name) <= NAME_LENGTH and name.endswith("long…")
    assert name in other_names(item, ())
    assert '"' not in display_name(Item("2", 'The "Best" 12" Brush'))
    assert display_name(Item("3", "Godfather, The (1972)")) == "The Godfather (1972)"
    assert display_name(Item("4", "Boot, Das")) == "Das Boot"
    assert display_name(Item("5", "Enfer, L'")) == "L'Enfer"
    assert display_name(Item("6", "Bye Bye, Love")) == "Bye Bye, Love"
    assert display_name(Item("x7", "★★★")) == "item x7"


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
def test_a_plain_sentence_always_passes_its_own_check(world, noun):
    catalogue, found = world
    checker = ClaimChecker(catalogue)
    sentence = plain(found, checker, Style(noun))
    verdict = checker.check(sentence, found, noun)
    assert verdict.ok, (sentence, verdict.reason)


def shelf(size=40):
    genres, people = ("Drama", "Comedy", "Sci-Fi", "War"), ("Ann Lee", "Bo Chan", "Cy Dahl")
    return Catalogue(
        Item(
            str(i),
            f"Film {chr(65 + i % 26)}{chr(97 + i // 26)} Story",
            attributes={
                "genres": tuple(dict.fromkeys((genres[i % 4], genres[i // 4 % 4]))),
                "year": (str(1970 + i),),
                "director": (people[i % 3],),
            },
        )
        for i in range(size)
    )


@pytest.fixture(scope="module")
def examples():
    catalogue = shelf()
    random = np.random.default_rng(0)
    histories = [random.permutation(len(catalogue))[:12] for _ in range(30)]
    return catalogue, histories, explain_examples(catalogue, histories, 400, seed=3, style=FILMS)


def test_examples_are_many_worded_and_deterministic(examples):
    catalogue, histories, pairs = examples
    assert pairs == explain_examples(catalogue, histories, 400, seed=3, style=FILMS)
    assert pairs != explain_examples(catalogue, histories, 400, seed=4, style=FILMS)
    shapes = {re.sub(r'"[^"]*"|[A-Z]\S+|\(?\d{4}s?\)?', "_", completion) for _, completion in pairs}
    assert len(pairs) == 400 and len(shapes) > 200
    assert any("You" not in prompt for prompt, _ in pairs)
    assert all(any(f"one {length} sentence" in prompt for prompt, _ in pairs) for length in ("short", "detailed"))
    assert explain_examples(catalogue, [], 10, seed=0) == []
    assert explain_examples(catalogue, [np.array([1])], 10, seed=0) == []


def test_examples_speak_of_what_their_prompt_names(examples):
    catalogue, _, pairs = examples
    for prompt, completion in pairs:
        quoted = set(re.findall(r'"[^"]*"', completion))
        assert quoted and quoted <= set(re.findall(r'"[^"]*"', prompt))
        assert completion.endswith(".")
        told = [v for item in catalogue for vs in item.attributes.values() for v in vs if v in completion]
        assert all(value in prompt for value in told)


def texts_of(catalogue, found, checker):
    return [wording.text for wording in templates_of(catalogue, make_outline(found, checker, FILMS), FILMS)]


def test_a_swapped_name_year_or_value_never_passes(examples):
    catalogue, histories, _ = examples
    checker = ClaimChecker(catalogue)
    for start in range(12):
        item, other, stranger = (int(histories[start][n]) for n in (5, 2, 7))
        found = Evidence(item, (Influence(other, 1.0),), shared_facts(catalogue, item, [other]))
        false = {v for i in catalogue for v in i.attributes["genres"]} - set(catalogue[item].attributes["genres"])
        for line in texts_of(catalogue, found, checker):
            assert checker.check(line, found, "films").ok
            for wrong in (
                line.replace(catalogue[other].title, catalogue[stranger].title),
                line.replace(catalogue[item].title, catalogue[stranger].title),
                line.replace(f"({catalogue[item].attributes['year'][0]})", "(1931)"),
                re.sub(r"\.$", f", a {min(false)} film.", line),
                re.sub(r"\.$", " and not a film.", line),
            ):
                assert not checker.check(wrong, found, "films").ok, wrong
            swapped = line.replace(catalogue[item].title, "#").replace(catalogue[other].title, catalogue[item].title)
            swapped = swapped.replace("#", catalogue[other].title)
            assert not checker.check(swapped, found, "films").ok, swapped


def test_an_item_and_its_reason_cannot_change_places(examples):
    catalogue, histories, _ = examples
    checker = ClaimChecker(catalogue)
    for history in histories[:12]:
        item, first, second = (int(i) for i in history[:3])
        found = Evidence(
            item, (Influence(first, 1.0), Influence(second, 0.5)), shared_facts(catalogue, item, [first, second])
        )
        for others in ([item], [item, second], [second, item]):
            turned = Evidence(first, tuple(Influence(o, 1.0) for o in others), shared_facts(catalogue, first, others))
            for line in texts_of(catalogue, turned, checker):
                if catalogue[item].title in line:  # else it speaks of the other two only
                    assert not checker.check(re.sub(r" \(\d{4}\)", "", line), found, "films").ok, line


def test_justify_keeps_true_drafts_and_replaces_false_ones():
    asked = []

    def write(prompts, names=None):
        asked.append((list(prompts), names))
        false = 'Because you watched "Alien", "Blade Runner" is a Drama film.'
        true = 'Because you watched "Alien", "Aliens" is a Sci-Fi film too. You will love it!'
        return [false] if names else [true, false]

    true, false = justify(CATALOGUE, [evidence(0, 1), evidence(2, 1)], write, CHECKER, FILMS)
    assert [len(prompts) for prompts, _ in asked] == [2, 1] and asked[1][1] == [["Blade Runner", "Alien"]]
    assert asked[1][0] == asked[0][0][1:] and sources([true, false]) == {"model": 1, "rewritten": 0, "plain": 1}
    assert (true.source, true.text) == (
        "model",
        'Because you watched "Alien", "Aliens" is a Sci-Fi film too.',
    )
    assert true.verdict.ok and true.verdict == true.draft_verdict
    assert false.source == "plain" and "Drama" not in false.text and "Drama" in false.draft
    assert false.verdict.ok and not false.draft_verdict.ok and "Drama" in false.draft_verdict.reason
    assert false.evidence == evidence(2, 1)


@pytest.mark.parametrize("draft", ["", "   ", "\n", "Sorry, I cannot do that.", '"', "日本語。", "Because " * 200])
def test_whatever_the_model_writes_the_answer_is_true(draft):
    reason = justify(CATALOGUE, [evidence(0, 1)], lambda prompts, names=None: [draft for _ in prompts], CHECKER, FILMS)[
        0
    ]
    assert reason.source == "plain" and reason.verdict.ok


def test_a_second_try_counts_as_one():
    def write(prompts, names=None):
        return ['Because you watched "Alien", try "Aliens".' if names else "No idea." for _ in prompts]

    reason = justify(CATALOGUE, [evidence(0, 1)], write, CHECKER, FILMS)[0]
    assert reason.source == "rewritten" and reason.text == reason.rewrite and reason.draft == "No idea."


def test_without_a_writer_sentences_are_plain():
    reason = justify(CATALOGUE, [evidence(0, 1)], None, CHECKER, FILMS)[0]
    assert reason.source == "plain" and reason.text == plain(evidence(0, 1), CHECKER, FILMS)


def test_nothing_to_justify_asks_nobody():
    assert justify(CATALOGUE, [], _never, CHECKER, FILMS) == []
