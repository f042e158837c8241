"""From tables to a checkpoint: it loads, the same seed gives the same bytes, and a killed run ends as an unbroken one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from recommender.config import Config
from recommender.data import standins
from recommender.data.catalogue import Catalogue, Item
from recommender.engine import Recommender, Request
from recommender.errors import CheckpointError, ConfigError, DataError, RecommenderError
from recommender.model.checkpoint import from_pretrained
from recommender.model.trained_on import TrainedOn
from recommender.pipelines import train
from recommender.studies.comparison import evaluate
from recommender.studies.justifications import draft_study, justification_study
from recommender.training.loop import STATE
from recommender.training.run_state import trainable
from tests.conftest import ITEMS, write_csv, write_tables
from tests.media_files import picture

STAGES = [
    {"stage": "align", "max_steps": 3, "batch_tokens": 128, "row_tokens": 64},
    {"stage": "rank", "epochs": 2, "batch_tokens": 128, "row_tokens": 64, "learning_rate": 0.01},
    {"stage": "explain", "max_steps": 3, "batch_tokens": 256, "row_tokens": 128},
]
RANK = [{"stage": "rank", "max_steps": 1, "batch_tokens": 128, "row_tokens": 64}]
BYTES = ("adapter.safetensors", "semantic_ids.safetensors")  # the header of the features comes in any order


@pytest.fixture(scope="module")
def config_of(tmp_path_factory, catalogue, llm_folder, text_folder):
    """Make the configuration of a tiny run over the given histories."""

    def make(histories: Sequence[Sequence[int] | np.ndarray], **changes: Any) -> Config:
        folder = tmp_path_factory.mktemp("tables")
        raw = {
            "data": write_tables(folder, catalogue, histories),
            "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 2},
            "encoders": {"text": str(text_folder), "image": None, "audio": None, "width": 6, "collaborative_width": 4},
            "semantic_ids": {"levels": 2, "codebook_size": 4, "collision_limit": 1},
            "lora": {"r": 4, "lora_alpha": 8},
            "prompt": {"history": 6, "titled": 2, "noun": "films"},
            "justify": {"examples": 60},
            "training": {"stages": STAGES, "checkpoint_minutes": 1e-6},
        }
        cache = str(tmp_path_factory.getbasetemp() / "encodings")
        return Config.parse(raw).updated({"encoders.cache": cache, **changes})

    return make


@pytest.fixture(scope="module")
def config(config_of, histories) -> Config:
    return config_of(histories)


@pytest.fixture(scope="module")
def whole(config, tmp_path_factory) -> Path:
    """The checkpoint of an unbroken run."""
    output = tmp_path_factory.mktemp("whole") / "tiny"
    train.train(config, output)
    return output


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in BYTES}


def test_shards_of_whole_histories_train_the_same_model(config, whole, catalogue, histories, tmp_path):
    """They lie on disk, and are the same sequence to everything that reads them."""
    ids = [[catalogue[int(item)].item_id for item in items] for items in histories]
    table = pa.table({"user_id": [f"u{user}" for user in range(len(histories))], "item_id": ids})
    (tmp_path / "shards").mkdir()
    pq.write_table(table, tmp_path / "shards" / "0.parquet")
    train.train(config.updated({"data.interactions": str(tmp_path / "shards")}), tmp_path / "tiny")
    assert contents(tmp_path / "tiny") == contents(whole)
    ours, theirs = TrainedOn.load(tmp_path / "tiny"), TrainedOn.load(whole)
    assert ours is not None and theirs is not None and ours.digest == theirs.digest


def killer(work: str, done: int) -> Callable[[str, int, int], None]:
    def stop(what: str, at: int, total: int) -> None:
        if what.startswith(work) and at == done:
            raise KeyboardInterrupt

    return stop


# --- what a run leaves


def test_a_run_leaves_a_checkpoint_that_loads_and_recommends(config, whole):
    checkpoint = from_pretrained(whole)
    assert checkpoint.config == config and len(checkpoint.catalogue) == ITEMS
    assert checkpoint.model.ids.levels == 3 and set(checkpoint.model.modalities) == {"text", "collaborative"}
    stages = checkpoint.metrics["stages"]
    assert [stage["stage"] for stage in stages] == ["align", "rank", "explain"]
    assert all(stage["steps"] > 0 and stage["validation"] is not None for stage in stages)
    items = Recommender.from_pretrained(whole).recommend(["103", "104"], k=5)
    assert len({item.item_id for item in items} - {"103", "104"}) == 5 and all(item.justification for item in items)


def test_log_and_plot_stay_beside_it_and_the_state_goes(whole):
    work = whole.with_name("tiny.training")
    assert {path.name for path in work.iterdir()} == {"log.csv", "loss.png", "report.html"}
    assert {path.name for path in whole.parent.iterdir()} == {"tiny", "tiny.training"}


def test_what_is_saved_is_what_was_encoded(config, whole):
    prepared = train.prepare(config)
    saved = from_pretrained(whole).model.features
    for modality, vectors in prepared.features.vectors.items():
        assert np.array_equal(saved.vectors[modality], vectors)
        assert np.array_equal(saved.present[modality], prepared.features.present[modality])


def test_a_recipe_may_be_given_by_its_path_and_is_named_on_the_card(config, whole, tmp_path):
    (tmp_path / "recipe.yaml").write_text(config.updated({"training.stages": RANK}).to_yaml())
    result = train.train(tmp_path / "recipe.yaml", tmp_path / "tiny")
    assert result.checkpoint == tmp_path / "tiny" and [stage.stage for stage in result.stages] == ["rank"]
    assert f"--config {tmp_path / 'recipe.yaml'}" in (tmp_path / "tiny" / "README.md").read_text()
    assert "--config FILE" in (whole / "README.md").read_text()


@pytest.mark.parametrize("name", ["nowhere.yaml", "."])
def test_a_recipe_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot be read"):
        train.train(tmp_path / name, tmp_path / "tiny")


def test_a_folder_of_other_files_is_never_replaced(config, tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="other things in it"):
        train.train(config, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


# --- the same again


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(config, whole, tmp_path):
    train.train(config, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(whole)
    assert (tmp_path / "again" / "config.yaml").read_bytes() == (whole / "config.yaml").read_bytes()
    train.train(config.updated({"seed": 1}), tmp_path / "other")
    assert contents(tmp_path / "other")["adapter.safetensors"] != contents(whole)["adapter.safetensors"]


def test_the_seed_decides_where_training_starts(config):
    prepared = train.prepare(config)
    first, again, other = (trainable(train.build(config.updated({"seed": seed}), prepared).model) for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    for part in ("rows", "projectors.", "lora_A"):
        names = [name for name in first if part in name and first[name].ndim > 1]
        assert names and all(not torch.equal(first[name], other[name]) for name in names), part


@pytest.mark.parametrize(
    ("kills", "first"),
    [
        ([("encoding text", ITEMS), ("align", 1)], 1),
        ([("rank", 1), ("rank", 3)], 3),
        ([("align", 3), ("rank", 2), ("explain", 3)], None),
    ],
    ids=["at the beginning", "twice in one stage", "once a stage"],
)
def test_killed_and_resumed_it_gives_the_same_bytes(config, whole, tmp_path, kills, first):
    output = tmp_path / "tiny"
    fresh = config.updated({"encoders.cache": str(tmp_path / "cache")})
    for work, done in kills:
        with pytest.raises(KeyboardInterrupt):
            train.train(fresh, output, progress=killer(work, done))
        assert not output.exists()
    steps: list[int] = []
    train.train(fresh, output, progress=lambda what, done, _: steps.append(done) if what.startswith("rank") else None)
    assert (
        next(iter(steps), None) == first
    )  # a killed run goes on where its state was saved: before the step of the kill
    assert contents(output) == contents(whole)


def test_a_kill_while_the_checkpoint_is_written_loses_nothing(config, whole, tmp_path, monkeypatch):
    output = tmp_path / "tiny"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("recommender.model.checkpoint.write_card", full)
        with pytest.raises(OSError, match="No space"):
            train.train(config, output)
    assert not output.exists() and (tmp_path / "tiny.training" / STATE).exists()
    taken: list[str] = []
    train.train(config, output, progress=lambda what, *_: taken.append(what))
    assert contents(output) == contents(whole)
    assert not any(what.startswith(("align", "rank")) for what in taken)


# --- which histories are trained on


@pytest.mark.parametrize(
    ("length", "kept_out", "enough"),
    [(1, True, False), (1, False, False), (3, True, False), (3, False, True), (2, True, True), (4, True, True)],
)
def test_histories_too_short_to_learn_from_are_an_error(config_of, tmp_path, length, kept_out, enough):
    histories = [(np.arange(length) + u) % ITEMS for u in range(8)]
    config = config_of(histories, **{"training.stages": RANK, "training.keep_test_out": kept_out})
    if enough:
        assert train.train(config, tmp_path / "tiny").stages[0].steps == 1
        return
    with pytest.raises(DataError, match="no user has two interactions left to train on") as error:
        train.train(config, tmp_path / "tiny")
    assert error.value.hint is not None and "training.keep_test_out: false" in error.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_last_two_items_of_a_user_are_kept_out_unless_all_are_trained_on(config_of):
    histories = [[0, 1, 2, 3, u + 4, u + 12] for u in range(8)]  # 4 to 19 stand in last places only
    kept, everything = (train.prepare(config_of(histories, **{"training.keep_test_out": out})) for out in (True, False))
    assert [items.tolist() for items in everything.split.train.items] == histories
    assert [items.tolist() for items in kept.split.train.items] == [[0, 1, 2, 3]] * 8
    assert kept.split.test.tolist() == [u + 12 for u in range(8)]
    assert (everything.split.test == -1).all() and (everything.split.validation == -1).all()
    assert kept.features.present["collaborative"].tolist() == [True] * 4 + [False] * 16
    assert everything.features.present["collaborative"].all()


@pytest.mark.parametrize("kept_out", [True, False])
def test_what_is_kept_out_is_not_learned(config_of, tmp_path, kept_out):
    histories = [[u % 4, 4 + u % 3, 18, 19] for u in range(24)]
    stage = STAGES[1] | {"epochs": 12, "evaluate_epochs": 99, "learning_rate": 0.03}
    changes = {"semantic_ids.levels": 1, "training.stages": [stage], "training.keep_test_out": kept_out}
    train.train(config_of(histories, **changes), tmp_path / "tiny")
    best = Recommender.from_pretrained(tmp_path / "tiny").recommend(["101", "105", "118"], k=1, explain=False)
    assert (best[0].item_id == "119") is not kept_out


def test_without_validation_targets_a_stage_runs_to_its_end(config_of, histories, tmp_path):
    stage = RANK[0] | {"max_steps": None, "epochs": 6, "patience": 1}
    config = config_of(histories, **{"training.stages": [stage], "training.keep_test_out": False})
    last: list[tuple[int, int]] = []
    train.train(config, tmp_path / "tiny", progress=lambda what, *at: last.append(at) if what[:4] == "rank" else None)
    assert last[-1][0] == last[-1][1]


def test_interactions_rated_too_low_are_dropped(config_of, catalogue, tmp_path):
    config = config_of([[0]])
    rows = [("u", catalogue[i].item_id, i, 5 - i % 2) for i in range(10)]
    write_csv(tmp_path / "rated.csv", "user_id item_id timestamp rating", rows)
    changes = {"data.interactions": str(tmp_path / "rated.csv"), "data.minimum_rating": 5}
    assert train.prepare(config.updated(changes)).split.train.items[0].tolist() == [0, 2, 4]


def test_a_teacher_changes_what_is_learned(config_of, histories, tmp_path):
    alone = config_of(histories, **{"training.stages": RANK})
    taught = alone.updated({"training.teacher": {"baseline": "sasrec", "weight": 0.9, "most": 5}})
    for name, config in (("alone", alone), ("taught", taught), ("again", taught)):
        train.train(config, tmp_path / name)
    assert contents(tmp_path / "taught") == contents(tmp_path / "again") != contents(tmp_path / "alone")


def test_views_change_what_is_learned_and_are_not_saved(config_of, histories, catalogue, image_folder, tmp_path):
    items = []
    for number, item in enumerate(catalogue):
        picture(number).save(tmp_path / f"{number}.png")
        items.append((item.item_id, item.title, f"{number}.png" if number else ""))
    write_csv(tmp_path / "items.csv", "item_id title image", items)
    changes = {"data.items": str(tmp_path / "items.csv"), "encoders.image": str(image_folder), "training.stages": RANK}
    plain = config_of(histories, **changes)
    for name, config in (("plain", plain), ("seen", plain.updated({"encoders.views": 2}))):
        train.train(config, tmp_path / name)
    assert contents(tmp_path / "plain")["adapter.safetensors"] != contents(tmp_path / "seen")["adapter.safetensors"]
    saved = [from_pretrained(tmp_path / name).model.features for name in ("plain", "seen")]
    assert saved[0].present["image"].sum() == ITEMS - 1
    for modality, vectors in saved[0].vectors.items():
        assert np.array_equal(vectors, saved[1].vectors[modality])


def test_training_can_start_from_the_adapter_of_another_domain(config_of, tmp_path):
    source = config_of([[0, 1, 2, 3, 4, 5], [5, 4, 3, 2]])
    train.train(source, tmp_path / "first")
    other = config_of([[7, 8, 9, 10], [11, 12, 13]], **{"base.adapter": str(tmp_path / "first")})
    started = dict(train.build(other, train.prepare(other)).model.named_parameters())
    trained = dict(from_pretrained(tmp_path / "first").model.named_parameters())
    alike = [name for name in started if "lora_" in name or name.startswith("rank_norm.")]
    assert any(".rank." in name for name in alike)
    assert any(trained[name].abs().sum() > 0 for name in alike if "lora_B.rank" in name)
    for name in alike:
        torch.testing.assert_close(started[name], trained[name])
    fresh = dict(train.build(source, train.prepare(source)).model.named_parameters())
    assert all(torch.equal(started[n], fresh[n]) for n in started if n.startswith("projectors."))
    refused = other.updated({"lora.r": 2})
    with pytest.raises(CheckpointError, match=r"lora\.r 4"):
        train.build(refused, train.prepare(refused))


def test_writing_is_trained_again_without_touching_the_ranking(whole, tmp_path):
    result = train.teach_writing(whole, tmp_path / "again", count=40)
    assert result.stage == "explain" and result.steps == 3
    before, after = (load_file(folder / "adapter.safetensors") for folder in (whole, tmp_path / "again"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed and all(".explain." in name for name in changed)
    assert [stage["stage"] for stage in from_pretrained(tmp_path / "again").metrics["stages"]] == [
        "align",
        "rank",
        "explain",
    ]
    card = (tmp_path / "again" / "README.md").read_text()
    assert "| `recommender justifications train CHECKPOINT --examples 40` |" in card and "makes another model" in card
    assert "holds every setting" not in card and "holds every setting" in (whole / "README.md").read_text()


def recorded_prompts(folder: Path) -> set[str]:
    return set(json.loads((folder / "checkpoint.json").read_text())["prompts"])


def test_only_a_writing_stage_makes_a_model_that_writes_and_others_generate_nothing(
    whole, config_of, histories, tmp_path, monkeypatch
):
    assert recorded_prompts(whole) == {"rank", "explain"} and from_pretrained(whole).writes
    train.train(config_of(histories, **{"training.stages": RANK}), tmp_path / "ranks")
    assert recorded_prompts(tmp_path / "ranks") == {"rank"}
    model = Recommender.from_pretrained(tmp_path / "ranks")
    monkeypatch.setattr(type(model.model.llm), "generate", None)  # whoever generates fails
    answer = model.answer(Request(history=("101", "105"), k=3))
    assert [item.written_by for item in answer.items] == ["plain"] * 3 and all(i.justification for i in answer.items)
    assert answer.notes[0].startswith("the sentences are plain: the writing adapter was never trained")
    assert list(model.stream_justified_list(Request(history=("101",), k=3), answer.items))[0].written_by == "plain"
    assert model.explain_item(["101", "105"], "107")["written_by"] == "plain"
    study = justification_study(model, [np.array([1, 5])], k=2)
    assert study["sources"] == {"model": 0, "rewritten": 0, "plain": 2}
    with pytest.raises(RecommenderError, match="does not write: the writing adapter was never trained"):
        draft_study(model, [np.array([1, 5, 7])], drafts=1)


def test_what_the_adapter_had_learned_comes_along(config_of, histories, tmp_path):
    changes = {"training.stages": RANK}
    everything = config_of(histories, **changes, **{"training.keep_test_out": False})
    train.train(everything, tmp_path / "all")
    train.train(config_of(histories, **changes, **{"base.adapter": str(tmp_path / "all")}), tmp_path / "later")
    learned = TrainedOn.load(tmp_path / "later")
    assert learned.earlier.digest == TrainedOn.load(tmp_path / "all").digest and learned.earlier.earlier is None
    with pytest.raises(DataError, match=r"all: was trained on \d+ of the \d+ targets"):
        evaluate([str(tmp_path / "later")])


def test_a_writing_adapter_comes_along_with_the_prompts_that_it_was_trained_on(whole, config_of, histories, tmp_path):
    changes = {"training.stages": RANK}
    train.train(config_of(histories, **changes, **{"base.adapter": str(whole)}), tmp_path / "from-writer")
    assert from_pretrained(tmp_path / "from-writer").writes
    stale = tmp_path / "stale"
    shutil.copytree(whole, stale)
    manifest = json.loads((stale / "checkpoint.json").read_text())
    manifest["prompts"]["explain"] = "0" * 64
    (stale / "checkpoint.json").write_text(json.dumps(manifest))
    train.train(config_of(histories, **changes, **{"base.adapter": str(stale)}), tmp_path / "from-stale")
    assert "trained on other prompts" in str(from_pretrained(tmp_path / "from-stale").plain_because)
    train.train(config_of(histories, **changes), tmp_path / "ranks")
    train.train(config_of(histories, **changes, **{"base.adapter": str(tmp_path / "ranks")}), tmp_path / "from-ranker")
    assert "never trained" in str(from_pretrained(tmp_path / "from-ranker").plain_because)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base.adapter": "runs/nothing"}, "runs/nothing: no such checkpoint folder"),
        ({"base.adapter": "movielens-100k"}, "has base.llm"),
        ({"base.llm": "nothing"}, "nothing: no embedded asset"),
        ({"training.teacher": {"baseline": "nothing"}}, "nothing"),
    ],
)
def test_what_training_lacks_is_said_before_anything_is_read_or_encoded(config_of, tmp_path, changes, message):
    config = config_of([[0, 1, 2, 3]], **changes, **{"data.items": "nowhere.csv"})
    with pytest.raises(RecommenderError, match=message):
        train.train(config, tmp_path / "tiny", progress=lambda what, *_: pytest.fail(what))


def test_histories_too_short_to_learn_from_are_found_before_items_are_encoded(config_of, tmp_path):
    with pytest.raises(DataError, match="no user has two interactions"):
        train.train(config_of([[0], [1]]), tmp_path / "tiny", progress=lambda what, *_: pytest.fail(what))


def test_media_that_no_encoder_reads_are_not_made(config_of, monkeypatch):
    monkeypatch.setattr(standins, "draw_card", lambda text: pytest.fail("a card was drawn"))
    catalogue = train.load_catalogue(config_of([[0]], **{"data.standin_media": True}))
    assert all(item.image is None and item.audio is None for item in catalogue)


def test_few_items_with_three_levels_are_validated_and_every_choice_of_them_is_ranked(config_of, tmp_path):
    """A search with more beams than children: its dead beams must not go on from another state."""
    facts = {"genres": ("drama",), "year": ("1990",)}
    sixty = Catalogue(Item(item_id=f"i{i}", title=f"The red story {i}", attributes=facts) for i in range(60))
    histories = [[(u * 7 + step * (1 + u % 3)) % 60 for step in range(6)] for u in range(30)]
    stage = RANK[0] | {"max_steps": 2, "evaluate_epochs": 0.01}
    changes = {"semantic_ids.levels": 3, "semantic_ids.codebook_size": 8, "training.stages": [stage]}
    tables = write_tables(tmp_path, sixty, histories)
    config = config_of([[0]], **changes, **{f"data.{name}": path for name, path in tables.items()})
    assert train.train(config, tmp_path / "tiny").stages[0].validation is not None
    model = Recommender.from_pretrained(tmp_path / "tiny")
    ids = model.catalogue.item_ids
    for count in (1, 2, 5, 7, 30):
        only = tuple(ids[place] for place in np.random.default_rng(count).choice(60, count, replace=False))
        found = model.recommend(["i7"], k=count - ("i7" in only), only=only, explain=False)
        assert {item.item_id for item in found} == set(only) - {"i7"}


def test_the_loss_does_not_leap_where_few_of_many_items_make_up_the_histories(config_of, tmp_path):
    """Without text, at default rates: the vectors of the few were twenty times as long as others, and scores leapt."""
    facts = {"genres": ("drama",), "year": ("1990",)}
    many = Catalogue(Item(item_id=f"i{i}", title=f"The red story {i}", attributes=facts) for i in range(6000))
    random, chances = np.random.default_rng(0), np.arange(1, 6001) ** -0.8
    histories = [random.choice(6000, 8, p=chances / chances.sum()) for _ in range(1500)]
    tables = {f"data.{name}": path for name, path in write_tables(tmp_path, many, histories).items()}
    stage = {"stage": "rank", "max_steps": 3, "batch_tokens": 1024, "row_tokens": 256, "validation_users": 1}
    stage["learning_rate"] = 3e-4  # the embeddings of the tiny model are so much smaller
    encoders = {"encoders.text": None, "encoders.collaborative_width": 64}
    config = config_of([[0]], **tables, **encoders, **{"semantic_ids.levels": 1, "training.stages": [stage]})
    losses: list[float] = []
    train.train(config, tmp_path / "tiny", progress=lambda what, *_: losses.extend(loss_in(what)))
    assert len(losses) == 3 and max(losses) < losses[0] + 0.3


def loss_in(what: str) -> list[float]:
    return [float(what.split("loss ")[1].split(",")[0])] if ", loss " in what else []
