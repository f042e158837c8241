"""Template selection: all lines are tried equally often, and the engine asks for those that pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from recommender.engine import Recommender, Request
from recommender.errors import RecommenderError
from recommender.justify import ClaimChecker, Style
from recommender.justify.planning import make_outline
from recommender.justify.template_selection import draw_trials, selected_templates
from recommender.justify.templates import templates_of
from recommender.model.checkpoint import TEMPLATE_SELECTION
from recommender.studies.justifications import draft_study


def test_every_line_is_tried_as_often(catalogue, histories):
    trials = draw_trials(ClaimChecker(catalogue), histories, Style("films"), 4, np.random.default_rng(0))
    counts = Counter(trial.line for trial in trials)
    common = {count for line, count in counts.items() if line.startswith(("own", "alone"))}
    assert common == {4} and max(counts.values()) == 4  # other kinds are rare in so small a world
    assert {line.partition(".")[0] for line in counts} >= {"own", "alone"} and len(counts) > 12
    assert all('"' in trial.prompt for trial in trials)
    assert draw_trials(ClaimChecker(catalogue), [], Style("films"), 4, np.random.default_rng(0)) == []


def test_the_best_lines_are_kept_and_always_some_of_each_kind():
    counts = {f"shared.{n}": (10, n) for n in range(11)} | {"alone.0": (10, 0), "bare.0": (10, 5), "bare.1": (0, 0)}
    assert selected_templates(counts) == {"shared.10", "shared.9", "shared.8", "alone.0", "bare.0", "bare.1"}
    assert selected_templates({}) == frozenset()


def test_only_the_lines_of_a_style_are_used(catalogue, histories):
    checker, style = ClaimChecker(catalogue), Style("films")
    for trial in draw_trials(checker, histories, style, 1, np.random.default_rng(0)):
        outline = make_outline(trial.evidence, checker, style)
        only = replace(style, lines=frozenset({trial.line}))
        assert {template.line for template in templates_of(catalogue, outline, only)} == {trial.line}
        other = replace(style, lines=frozenset({"elsewhere.1"}))
        assert list(templates_of(catalogue, outline, other)) == list(templates_of(catalogue, outline, style))


def test_the_engine_asks_for_the_selected_templates(make_checkpoint, histories):
    checkpoint = make_checkpoint()
    counts = draft_study(Recommender(checkpoint), histories, drafts=1)
    assert all(asked == 1 and passed in (0, 1) for asked, passed in counts.values())
    checkpoint.metrics[TEMPLATE_SELECTION] = {
        "shared.5": (9, 9),
        "shared.6": (9, 9),
        "shared.7": (9, 9),
        "shared.1": (9, 1),
    }
    model = Recommender(checkpoint)
    assert model.style.lines == {"shared.5", "shared.6", "shared.7"}
    items = model.answer(Request(history=("103", "107"), k=5)).items
    assert all(item.justification for item in items)
    checkpoint.prompts = checkpoint.prompts | {"explain": "0" * 64}
    assert Recommender(checkpoint).style.lines == frozenset()
    with pytest.raises(RecommenderError, match="does not write"):
        draft_study(Recommender(checkpoint), histories)
