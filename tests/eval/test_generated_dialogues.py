"""Generated dialogues: even over subjects, told what must be read, and counted as they are answered."""

from __future__ import annotations

from collections import Counter

from recommender.eval.generated_dialogues import (
    PHRASINGS,
    Understood,
    generate_dialogues,
    measure_dialogues,
)

KINDS = ("Comedy", "Drama", "Horror")
TITLES = (("Silent Harbour", "1984", "Silent Harbour (1984)"), ("Morning Garden", "1991", "Morning Garden"))


def test_dialogues_are_even_over_subjects_and_the_seed_decides():
    dialogues = generate_dialogues(KINDS, TITLES, 80, 1)
    assert Counter(d.subject for d in dialogues) == dict.fromkeys(PHRASINGS, 10)
    assert dialogues == generate_dialogues(KINDS, TITLES, 80, 1) != generate_dialogues(KINDS, TITLES, 80, 2)
    assert all("{" not in text for d in dialogues for text in d.messages)


def test_misspelt_names_are_not_the_names():
    for dialogue in generate_dialogues(KINDS, TITLES, 200, 0):
        if dialogue.subject == "misspelt names":
            assert not any(title in dialogue.messages[0] for title, _, _ in TITLES)
            assert dialogue.expected.liked


def test_no_phrasing_is_one_that_a_model_learns_from():
    from recommender.conversations.phrases import phrases_of

    learned = phrases_of("en")
    groups = ("conditions", "tastes", "refusals", "corrections", "pardons", "either", "likes", "similar", "asked")
    known = {" ".join(phrase.split()) for group in groups for phrase in learned.group(group)}
    own = {line for phrasings in PHRASINGS.values() for lines, _ in phrasings for line in lines}
    renamed = {
        line.replace("{a}", "{kind}").replace("{b}", "{other}").replace("{t}", "{name}").replace("{m}", "{name}")
        for line in own
    }
    shared = renamed & known
    assert len(shared) <= 0.1 * len(renamed), shared  # such as "no {kind} please", before a correction


def test_right_readings_and_met_conditions_are_counted():
    dialogues = generate_dialogues(KINDS, TITLES, 40, 0)
    right = {d.messages: d.expected for d in dialogues}

    def answer(texts):
        expected = right[tuple(texts)]
        return [frozenset(next(iter(group)) for group in expected.only)]

    measures = measure_dialogues(dialogues, lambda texts: right[tuple(texts)], answer).as_dict()
    assert measures["read right"] == 1 and measures["items that meet all conditions"] == 1
    wrong = measure_dialogues(
        dialogues, lambda texts: Understood(act="other"), lambda texts: [frozenset(KINDS)]
    ).as_dict()
    assert wrong["read right"] == 0 and len(wrong["misread"]) == 40
    assert 0 < wrong["items that meet all conditions"] < 1
