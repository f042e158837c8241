import csv

import numpy as np
import pytest
import torch

from recommender.data.histories import Histories, leave_one_out
from recommender.errors import RecommenderError
from recommender.training import TrainingData, run_stages
from recommender.training.augmentation import crops
from recommender.training.loop import STATE
from recommender.training.run_state import trainable

STAGES = [
    {"stage": "align", "epochs": 1, "batch_tokens": 256, "row_tokens": 64},
    {"stage": "rank", "epochs": 6, "batch_tokens": 128, "row_tokens": 64, "learning_rate": 0.01, "evaluate_epochs": 3},
    {"stage": "explain", "epochs": 1, "batch_tokens": 256, "row_tokens": 64},
]


@pytest.fixture(scope="module")
def split(histories):
    return leave_one_out(Histories(tuple(map(str, range(len(histories)))), tuple(histories)))


def run(make_checkpoint, config, split, output, stages=STAGES, levels=1, progress=None):
    settings = config.updated({"training.stages": stages})
    checkpoint = make_checkpoint(levels, settings)
    pairs = [(f'Recommended: "film {i}".', '"film" is a good comedy.') for i in range(40)]
    results = run_stages(checkpoint.model, TrainingData(checkpoint.builder, split, pairs), settings, output, progress)
    return checkpoint, results


@pytest.fixture(scope="module")
def wholes():
    """Unbroken trainings of all stages: number of levels -> checkpoint, results, and the folder of the log."""
    return {}


@pytest.fixture
def whole(make_checkpoint, config, split, tmp_path_factory, wholes):
    """Return the unbroken training of all stages with so many levels, which is done once; no test may change it."""

    def of(levels=1):
        if levels not in wholes:
            folder = tmp_path_factory.mktemp("whole")
            wholes[levels] = (*run(make_checkpoint, config, split, folder, levels=levels), folder)
        return wholes[levels]

    return of


def test_all_stages_learn_and_write_their_log(make_checkpoint, whole):
    checkpoint, results, folder = whole()
    assert [r.stage for r in results] == ["align", "rank", "explain"]
    rows = list(csv.DictReader((folder / "log.csv").open()))
    losses = [float(r["loss"]) for r in rows if r["stage"] == "rank" and r["loss"]]
    assert losses[-1] < losses[0] - 0.5
    assert (folder / "loss.png").stat().st_size > 1000
    untrained = make_checkpoint()
    for adapter in (".rank.", ".explain.", "projectors.", "rows"):
        before, after = trainable(untrained.model), trainable(checkpoint.model)
        assert any(not torch.equal(before[n], after[n]) for n in before if adapter in n), adapter


@pytest.mark.parametrize("levels", [1, 3])
def test_training_twice_gives_the_same_weights(make_checkpoint, config, split, tmp_path, whole, levels):
    first, *_ = whole(levels)
    second, _ = run(make_checkpoint, config, split, tmp_path, levels=levels)
    for (name, a), b in zip(trainable(first.model).items(), trainable(second.model).values(), strict=True):
        assert torch.equal(a, b), name


def test_threads_add_gradients_up_in_one_order(make_checkpoint, config, split, tmp_path):
    """Rows that stand in a batch hundreds of times: in any order of addition the last bits of their gradients differ."""
    index = torch.randint(0, 50, (4000,), generator=torch.Generator().manual_seed(0))
    given = torch.randn(4000, 576, generator=torch.Generator().manual_seed(1))
    gradients = []

    def add_up(what, done, total):
        rows = torch.zeros(100, 576, requires_grad=True)
        rows[index].backward(given)
        gradients.append(rows.grad)

    torch.set_num_threads(2)
    try:
        run(make_checkpoint, config, split, tmp_path, STAGES[1:2], progress=add_up)
    finally:
        torch.set_num_threads(1)
    assert len(gradients) > 10 and all(torch.equal(gradients[0], other) for other in gradients)
    assert not torch.are_deterministic_algorithms_enabled()  # it is for training alone


@pytest.mark.parametrize("stage", ["align", "rank", "explain"])
def test_killed_and_resumed_it_ends_the_same(make_checkpoint, config, split, tmp_path, whole, stage):
    unbroken, _, folder = whole()
    often = config.updated({"training.checkpoint_minutes": 1e-6})

    def kill(what, done, total):
        if what.startswith(stage) and done == max(total // 2, 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make_checkpoint, often, split, tmp_path / "killed", progress=kill)
    assert (tmp_path / "killed" / STATE).exists() or stage == "align"
    resumed, results = run(make_checkpoint, often, split, tmp_path / "killed")
    assert all(result.minutes > 0 for result in results)  # those of the killed process count too
    for (name, a), b in zip(trainable(unbroken.model).items(), trainable(resumed.model).values(), strict=True):
        assert torch.equal(a, b), name
    logs = [(each / "log.csv").read_text().splitlines() for each in (folder, tmp_path / "killed")]
    assert len(logs[0]) == len(logs[1])


def test_the_state_of_another_run_is_not_taken_up(make_checkpoint, config, split, tmp_path):
    often = config.updated({"training.checkpoint_minutes": 1e-6})

    def kill(what, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make_checkpoint, often, split, tmp_path, STAGES[1:2], progress=kill)
    for other in ({"seed": 1}, {"lora.r": 2}):
        with pytest.raises(RecommenderError, match="state of a run with another configuration") as error:
            run(make_checkpoint, often.updated(other), split, tmp_path, STAGES[1:2])
        assert "start anew" in error.value.hint


def test_it_stops_early_and_keeps_the_best(make_checkpoint, config, split, tmp_path):
    stages = [STAGES[1] | {"epochs": 50, "evaluate_epochs": 1, "patience": 2, "learning_rate": 1e-6}]
    _, results = run(make_checkpoint, config, split, tmp_path, stages)
    rows = [r for r in csv.DictReader((tmp_path / "log.csv").open()) if r["validation"]]
    assert len(rows) < 50
    assert results[0].validation == max(float(r["validation"]) for r in rows)


def test_a_loss_that_is_not_finite_stops_the_run(make_checkpoint, config, split, tmp_path):
    settings = config.updated({"training.stages": STAGES[1:2]})
    checkpoint = make_checkpoint(1, settings)
    with torch.no_grad():
        checkpoint.model.rows.fill_(float("inf"))
    with pytest.raises(RecommenderError, match="the loss is"):
        run_stages(checkpoint.model, TrainingData(checkpoint.builder, split), settings, tmp_path)


def test_crops_predict_every_item_once():
    history = np.arange(37)
    random = np.random.default_rng(0)
    pieces = list(crops(history, 10, random))
    assert all(len(piece) <= 10 for piece in pieces)
    predicted = np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])])
    np.testing.assert_array_equal(predicted, history)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_views_are_learned_from_where_items_are_read(make_checkpoint, config, split, features, tmp_path, number):
    """`explain` reads no item; in the others views decide the steps, killed or not, and never what the model keeps."""
    stage = STAGES[number] | {"epochs": 1, "max_steps": 6}
    settings = config.updated({"training.stages": [stage], "training.checkpoint_minutes": 1e-6})
    pairs = [(f'Recommended: "film {i}".', '"film" is a good comedy.') for i in range(40)]
    image = features.vectors["image"]
    views = {"image": np.stack([image, -2 * image, image[::-1]]).astype(np.float32)}

    def kill(what, done, total):
        if done == 2:
            raise KeyboardInterrupt

    def learned(output, seen, progress=None):
        checkpoint = make_checkpoint(1, settings)
        data = TrainingData(checkpoint.builder, split, pairs, views=seen)
        run_stages(checkpoint.model, data, settings, output, progress)
        np.testing.assert_array_equal(checkpoint.model.features.vectors["image"], image)
        np.testing.assert_array_equal(checkpoint.model.vectors_image.numpy(), image)
        return trainable(checkpoint.model)

    plain, seen = learned(tmp_path / "plain", {}), learned(tmp_path / "seen", views)
    assert all(torch.equal(plain[n], seen[n]) for n in plain) is (stage["stage"] == "explain")
    with pytest.raises(KeyboardInterrupt):
        learned(tmp_path / "killed", views, kill)
    resumed = learned(tmp_path / "killed", views)
    assert all(torch.equal(resumed[n], seen[n]) for n in seen)
