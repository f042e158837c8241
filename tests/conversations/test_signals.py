"""Plain signals: company beyond popularity, kinds by name, and weights that make the targets likeliest."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from recommender.conversations import signals
from recommender.conversations.cases import Case, Turn
from recommender.data.catalogue import Catalogue, Item


def case(text="hello", named=(), targets=(0,)):
    return Case(1, (Turn("user", text),), tuple(named), tuple(targets))


def test_company_ranks_what_is_taken_together_before_what_everybody_takes():
    random = np.random.default_rng(0)
    # everybody takes 0; whoever takes 1 takes 2 as well
    histories = [np.array([0, *((1, 2) if n % 3 == 0 else (random.integers(3, 9),))]) for n in range(90)]
    together = signals.company(histories, 9)
    assert together.shape == (9, 9) and not np.diagonal(together).any()
    assert together[1].argmax() == 2 and together[1, 2] == 1 and together[1, 0] < 1
    scores = signals.of_company([case(named=[1]), case()], together)
    assert scores[0].argmax() == 2 and not scores[1].any()


def test_items_far_apart_in_a_history_are_no_company():
    history = np.arange(4 * signals.WINDOW)
    together = signals.company([history] * 30, len(history))
    assert together[0, signals.WINDOW - 1] > 0 and together[0, 2 * signals.WINDOW] == 0


def test_popularity_counts_every_time():
    found = signals.log_popularity([np.array([0, 0, 2]), np.array([2])], 4)
    np.testing.assert_allclose(found, np.log([3, 1, 3, 1]), rtol=1e-6)


def test_kinds_are_heard_by_their_names_plurals_and_synonyms():
    films = Catalogue(Item(str(n), f"F{n}", attributes={"genres": kinds}) for n, kinds in enumerate(KINDS))
    scores = signals.of_kinds(
        [case("two comedies, please"), case("science fiction!"), case("a Sci-Fi comedy"), case("dramatic?")], films
    )
    np.testing.assert_array_equal(scores, [[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 2, 0], [0, 0, 0, 1]])


KINDS = [("Comedy",), ("Sci-Fi",), ("Comedy", "Sci-Fi"), ("Drama",)]


def test_weights_are_those_of_an_independent_regression():
    random, items, cases = np.random.default_rng(1), 3, 400
    parts = {"a": random.normal(size=(cases, items)), "b": random.normal(size=(cases, items))}
    logits = 2.0 * parts["a"] + 0.5 * parts["b"] + random.gumbel(size=(cases, items))
    asked = [case(targets=[target]) for target in logits.argmax(1)]
    fitted = signals.WeighedSum.fit(parts, asked)
    # a conditional logit is a logistic regression on differences of pairs
    rows, labels = [], []
    for row, of_case in enumerate(asked):
        features = np.stack([parts["a"][row], parts["b"][row]], 1)
        for other in set(range(items)) - {of_case.targets[0]}:
            rows += [features[of_case.targets[0]] - features[other], features[other] - features[of_case.targets[0]]]
            labels += [1, 0]
    pairs = LogisticRegression(C=1e6, fit_intercept=False).fit(rows, labels).coef_[0]
    ours = np.array([fitted.weights[name] / fitted.scales[name] for name in "ab"])
    assert ours[0] / ours[1] == pytest.approx(pairs[0] / pairs[1], rel=0.15)
    assert ours == pytest.approx([2.0, 0.5], rel=0.2)
    np.testing.assert_allclose(fitted(parts), parts["a"] * ours[0] + parts["b"] * ours[1], rtol=1e-4, atol=1e-4)


def test_a_signal_that_misleads_has_no_weight_and_named_items_do_not_count():
    random = np.random.default_rng(2)
    good = random.normal(size=(50, 6))
    asked = [case(targets=[row.argmax()]) for row in good]
    fitted = signals.WeighedSum.fit({"good": good, "bad": -good}, asked)
    assert fitted.weights["bad"] == 0 < fitted.weights["good"]
    # the best item of all was named: without it the signal is right
    top = good.copy()
    top[:, 0] = 9
    asked = [case(named=[0], targets=[row[1:].argmax() + 1]) for row in good]
    assert signals.WeighedSum.fit({"top": top}, asked).weights["top"] > 0
