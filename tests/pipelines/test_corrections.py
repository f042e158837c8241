"""What people called wrong reaches the writing: it becomes less likely than what is true, and other texts stay."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from recommender import prompts
from recommender.adapters.lora import EXPLAIN
from recommender.cli.command_line import app
from recommender.config import Config, UpdateConfig
from recommender.justify.style import Style
from recommender.model.checkpoint import from_pretrained
from recommender.pipelines import train
from recommender.pipelines.corrections import Marked, correct_writing, marked_in, preferences_of
from recommender.pipelines.left_out import NamedStore
from recommender.pipelines.update import update_checkpoint
from recommender.store.feedback import FeedbackStore
from recommender.store.master_keys import new_master_key
from recommender.store.opinions import read_feedback
from recommender.store.store import Store
from tests.conftest import tiny_recipe, write_tables
from tests.pipelines.test_update import FAST, come_back, world

__all__ = ["world"]  # a fixture
ITEM, FACT = "103", ("genres", "drama")
TEXT = '"The yellow story" (1990) is a drama, as is "The blue story".'
QUICK = UpdateConfig(writing_rate=0.05, writing_steps=80, writing_margin=9.0)
RANK = {"stage": "rank", "epochs": 12, "row_tokens": 64, "batch_tokens": 256, "learning_rate": 0.01, "patience": 20}
EXPLAINS = {"stage": "explain", "max_steps": 3, "batch_tokens": 256, "row_tokens": 128}


@pytest.fixture(scope="module")
def base(tmp_path_factory, catalogue, histories, llm_folder, text_folder):
    """A recipe and its checkpoint, which ranks and writes."""
    folder = tmp_path_factory.mktemp("base")
    cache = tmp_path_factory.getbasetemp() / "encodings"
    training = {"stages": [RANK, EXPLAINS], "keep_test_out": False}
    raw = tiny_recipe(write_tables(folder, catalogue, histories), llm_folder, text_folder, cache, training, history=8)
    train.train(Config.parse(raw), folder / "model")
    return folder


@pytest.fixture
def writing(make_checkpoint):
    """A checkpoint that writes."""
    checkpoint = make_checkpoint()
    checkpoint.prompts = prompts.template_hashes()
    return checkpoint


def likelihood(checkpoint, prompt, text):
    """Return the log-probability of a whole text as the writing adapter writes it, computed by the LLM alone."""
    model, builder = checkpoint.model, checkpoint.builder
    asked, example = builder.chat_turn(prompt), builder.writing(prompt, text)
    tokens = torch.from_numpy(np.append(example.tokens, checkpoint.tokenizer.eos_token_id))[None]
    model.use_adapter(EXPLAIN)
    with torch.no_grad():
        found = model.llm(tokens).logits[0].log_softmax(-1)
    return float(found[:-1].gather(1, tokens[0, 1:, None])[len(asked) - 1 :].sum())


def marked(catalogue, text=TEXT):
    return [Marked(catalogue.index(ITEM), text, frozenset([FACT]))]


def test_a_marked_text_becomes_less_likely_than_a_true_one_and_nothing_else_is_touched(writing, catalogue, histories):
    style = Style.of(writing.config.prompt, writing.config.justify)
    preferences = preferences_of(marked(catalogue), catalogue, style)
    assert [(likelihood(writing, p.prompt, p.chosen) < likelihood(writing, p.prompt, TEXT)) for p in preferences] == [
        True,
        True,
    ]
    before = {name: parameter.detach().clone() for name, parameter in writing.model.named_parameters()}
    assert correct_writing(writing, marked(catalogue), histories, QUICK) == {"wrong": 2, "corrected": 2}
    for one in preferences:
        assert likelihood(writing, one.prompt, one.chosen) > likelihood(writing, one.prompt, TEXT)
    changed = {name for name, p in writing.model.named_parameters() if not torch.equal(before[name], p)}
    assert changed and all(f".{EXPLAIN}." in name for name in changed)


def test_writing_that_would_suffer_goes_back_to_where_it_did_not(writing, catalogue, histories, caplog):
    before = {name: parameter.detach().clone() for name, parameter in writing.model.named_parameters()}
    settings = QUICK.model_copy(update={"writing_rate": 3.0, "writing_steps": 3, "writing_margin": 0.01})
    assert correct_writing(writing, marked(catalogue), histories, settings) == {"wrong": 2, "corrected": 0}
    assert all(torch.equal(before[name], parameter) for name, parameter in writing.model.named_parameters())
    assert "the writing goes back" in caplog.text


def test_the_prompt_is_made_again_with_and_without_the_fact_and_the_answer_is_true(catalogue):
    with_it, without = preferences_of(marked(catalogue), catalogue, Style("films"))
    assert "drama" in with_it.prompt and "drama" not in without.prompt
    for one in (with_it, without):
        assert one.rejected == TEXT and "drama" not in one.chosen
        assert "The blue story" in one.prompt and '"The yellow story"' in one.chosen
    told, _ = preferences_of(marked(catalogue, ""), catalogue, Style("films"))
    assert "drama" in told.rejected and "The yellow story" in told.rejected and "drama" not in told.chosen
    harmless = without.chosen
    assert preferences_of(marked(catalogue, harmless), catalogue, Style("films")) == []


def test_marks_count_from_so_many_votes_on_and_only_where_they_can_be_learned(catalogue, tmp_path):
    store = FeedbackStore(tmp_path / "feedback.jsonl")

    def say(user, item=ITEM, fact=FACT, text=TEXT):
        store.add(read_feedback(item_id=item, opinion="wrong", user=user, facts=(fact,), justification=text))

    say("ann")
    assert marked_in(store, catalogue, 2) == [] and marked_in(store, catalogue, 1) == marked(catalogue)
    say("bob", text=None)
    assert marked_in(store, catalogue, 2) == marked(catalogue) + marked(catalogue, "")
    assert marked_in(store, catalogue, 2, {"ann"}) == marked(catalogue, "")
    for other in (("gone", FACT), (ITEM, ("genres", "horror"))):
        say("ann", *other)
        say("bob", *other)
    assert len(marked_in(store, catalogue, 2)) == 2


def test_an_update_learns_what_a_store_calls_wrong_of_those_who_agree(world, catalogue, histories, tmp_path):
    come_back(world, catalogue, histories)
    new_master_key(tmp_path / "keys", "first")
    named = NamedStore(str(tmp_path / "store.db"), str(tmp_path / "keys"))
    store = Store.open(named.where, named.master_key)
    for user, item in (("ann", ITEM), ("bob", "105")):
        store.feedback.add(
            read_feedback(item_id=item, opinion="wrong", user=user, facts=(FACT,), justification="A drama")
        )
    store.consents.set("bob", {"train": False})
    store.let_go()
    settings = FAST.model_copy(update={"epochs": 1.0, "margin": 1.0, "writing_steps": 4, "writing_margin": 9.0})
    before = from_pretrained(world)
    counts = update_checkpoint(world, 500, settings=settings, store=named).counts
    assert counts["wrong"] == 2
    after = from_pretrained(world)
    style = Style.of(after.config.prompt, after.config.justify)
    for one in preferences_of(marked(catalogue, "A drama"), catalogue, style):
        gap = [likelihood(m, one.prompt, one.chosen) - likelihood(m, one.prompt, one.rejected) for m in (before, after)]
        assert gap[1] > gap[0]
    again = settings.model_copy(update={"wrong": False})
    assert "wrong" not in update_checkpoint(world, 500, settings=again, store=named).counts


def test_the_command_reads_a_file_of_feedback(world, catalogue, histories, tmp_path):
    come_back(world, catalogue, histories)
    file = tmp_path / "feedback.jsonl"
    FeedbackStore(file).add(read_feedback(item_id=ITEM, opinion="wrong", facts=(FACT,), justification=TEXT))
    quick = {"epochs": 1, "least": 4, "window": 0.3, "margin": 1, "writing_steps": 1, "writing_margin": 9}
    changes = [part for key, value in quick.items() for part in ("--set", f"{key}={value}")]
    asked = ["update", str(world), "--since", "500", "--feedback", str(file), *changes, "--quiet", "--json"]
    told = CliRunner().invoke(app, asked)
    assert told.exit_code == 0 and json.loads(told.output)["wrong"] == 2, told.output
