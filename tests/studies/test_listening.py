"""What listening rests on: each variant reads what it should, and a stopped study goes on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from recommender.cli.command_line import app
from recommender.config import Config
from recommender.model.checkpoint import from_pretrained
from recommender.studies import listening
from recommender.studies.listening import chosen, forget_pretraining, headline, listening_study
from tests.conftest import TEACHING

NAMES = ("as in the recipe", "random weights", "no words", "no item positions", "1 layers")


@pytest.fixture(scope="module")
def study(talk_folder):
    path = talk_folder / "people.jsonl"
    lines = [
        {
            "messages": [{"role": "user", "content": f"I liked {n}, The red story"}],
            "named": ["100"],
            "targets": [str(100 + n)],
        }
        for n in range(1, 7)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path, talk_folder / "study"


def told_by(talk_folder, study):
    path, output = study
    recipe = Config.parse(TEACHING)
    return listening_study(str(talk_folder / "model"), recipe, output, path, variants=chosen(NAMES))


def test_all_variants_are_measured_on_all_requests(talk_folder, study, monkeypatch):
    told = told_by(talk_folder, study)
    assert tuple(told["variants"]) == NAMES
    kinds = {frozenset(measures) for measures in told["variants"].values()}
    assert len(kinds) == 1 and {"conversations", "query alone", "query and history"} <= next(iter(kinds))
    for measures in told["variants"].values():
        for of_kind in measures.values():
            low, high = of_kind["recall@10 interval"]
            assert 0 <= low <= of_kind["recall@10"] <= high <= 1 and of_kind["recall@10"] <= of_kind["recall@50"]
    assert [row["variant"] for row in headline(told)] == list(NAMES)
    monkeypatch.setattr(listening, "run_stages", lambda *_: pytest.fail("taught twice"))
    assert told_by(talk_folder, study)["variants"] == told["variants"]


def test_parts_that_are_left_out_are_not_in_the_prompt(listening_checkpoint):
    from recommender.prompting.conversation import HeardTurn

    turns = [HeardTurn("user", ("I liked the story ", 3, " a lot"))]
    whole, _ = listening_checkpoint.conversation_prompts().prompt(turns)
    silent, _ = listening_checkpoint.conversation_prompts(with_words=False).prompt(turns)
    bare, _ = listening_checkpoint.conversation_prompts(with_items=False).prompt(turns)
    assert len(silent) < len(whole) and (silent.items >= 0).sum() == (whole.items >= 0).sum() == 1
    assert not (bare.items >= 0).any() and len(bare) > len(silent)


def test_forgetting_changes_the_base_alone(listening_checkpoint):
    model = listening_checkpoint.model
    before = {name: p.clone() for name, p in model.named_parameters()}
    forget_pretraining(listening_checkpoint, 0)
    for name, parameter in model.named_parameters():
        changed = not (before[name] == parameter).all()
        is_base = name.startswith("peft.") and "lora_" not in name and parameter.dim() > 1
        assert changed == is_base, name
        if is_base:
            assert np.isclose(float(parameter.float().std()), float(before[name].float().std()), rtol=0.1)


def test_an_unknown_variant_is_refused(talk_folder, tmp_path):
    (tmp_path / "recipe.yaml").write_text("training: {stages: [{stage: converse}]}\n")
    arguments = ["study", "listening", str(talk_folder / "model"), "--config", str(tmp_path / "recipe.yaml")]
    run = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "out"), "--variants", "no vowels", "-q"])
    assert run.exit_code and "no vowels" in f"{run.output} {run.exception}"
    assert from_pretrained(talk_folder / "model").model.listener is None
