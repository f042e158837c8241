"""The report: it computes what the engine would with those media, values add up, and what is missing is said."""

import json
import logging
from itertools import permutations

import numpy as np
import pytest
from PIL import Image

from recommender.attribution import MediaOptions, explain_media
from recommender.attribution.explain import region_values, window_values
from recommender.attribution.media_worth import ItemScores, PictureWorth, SoundWorth
from recommender.attribution.towers import UnavailableError
from recommender.engine import Recommender, make_request
from recommender.errors import RecommenderError

HISTORY = [2, 7, 12]
FOUR = MediaOptions(rows=2, columns=2)


def request(engine, history=HISTORY, **fields):
    return make_request(history=[engine.catalogue[i].item_id for i in history], explain=False, **fields)


def item_scores(engine, item, history=HISTORY, overrides=None):
    return ItemScores(engine, np.array(history), item, None, overrides or {})


def score_in_a_world_with(engine, medium, item, vector, history=HISTORY):
    """The engine's own score of an item once its vector is replaced in the catalogue."""
    before = engine.features
    engine.set_features(before.with_rows(medium, np.array([item]), vector[None]))
    try:
        return float(engine.score([np.array(history)], [item])[0, 0])
    finally:
        engine.set_features(before)


@pytest.mark.parametrize("history", [HISTORY, [2, 9, 12], []])
def test_a_covered_picture_scores_as_in_a_catalogue_that_has_it(media_engine, history):
    item = 9
    worth = PictureWorth(item_scores(media_engine, item, history), FOUR)
    sets = np.array([[1, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0]], bool)
    found = worth(sets)[:, 0]
    own = float(media_engine.score([np.array(history, int)], [item])[0, 0])
    assert found[0] == pytest.approx(own, abs=1e-5)
    for row in (1, 2):
        vector = worth.vectors([worth.regions.showing(sets[row])])[0]
        expected = score_in_a_world_with(media_engine, "image", item, vector, np.array(history, int))
        assert found[row] == pytest.approx(expected, abs=1e-5)
    assert np.ptp(found) > 1e-3  # or nothing was compared


def test_a_covered_picture_of_a_history_item_with_three_levels(make_media_engine):
    media_engine, history = make_media_engine(levels=3), [2, 9, 12]
    worth = PictureWorth(item_scores(media_engine, 9, history), FOUR)
    vector = worth.vectors([worth.regions.showing(np.zeros(4, bool))])[0]
    found = worth(np.array([[1, 1, 1, 1], [0, 0, 0, 0]], bool))[:, 0]
    assert found[0] == pytest.approx(float(media_engine.score([np.array(history)], [9])[0, 0]), abs=1e-5)
    assert found[1] == pytest.approx(score_in_a_world_with(media_engine, "image", 9, vector, history), abs=1e-5)
    with pytest.raises(UnavailableError, match="3 codes"):
        PictureWorth(item_scores(media_engine, 9), FOUR)


def test_windows_of_a_sound_score_as_in_a_catalogue_that_has_it(media_engine):
    worth = SoundWorth(item_scores(media_engine, 5), FOUR)
    sets = np.array([[1, 1, 1], [0, 1, 1], [0, 0, 0]], bool)
    found = worth(sets)[:, 0]
    assert len(worth.windows) == 3 and found[0] == pytest.approx(
        item_scores(media_engine, 5).behind([np.array(HISTORY)])[0], abs=1e-5
    )
    for row in (1, 2):
        expected = score_in_a_world_with(media_engine, "audio", 5, worth.vectors(sets[[row]])[0])
        assert found[row] == pytest.approx(expected, abs=1e-5)


def test_values_are_the_mean_over_all_orders_and_add_up(media_engine):
    report = explain_media(media_engine, request(media_engine), media_engine.catalogue[9].item_id, FOUR)
    worth = PictureWorth(item_scores(media_engine, 9), FOUR)

    def score(members):
        return float(worth(np.array([[n in members for n in range(4)]]))[0, 0])

    orders = list(permutations(range(4)))
    expected = [
        np.mean([score(order[: order.index(n) + 1]) - score(order[: order.index(n)]) for order in orders])
        for n in range(4)
    ]
    np.testing.assert_allclose(np.ravel(report.picture.values), expected, atol=1e-5)
    assert np.sum(report.picture.values) + report.picture.blank == pytest.approx(report.picture.effect, abs=1e-5)
    assert sum(w.value for w in report.sound.windows) + report.sound.blank == pytest.approx(
        report.sound.effect, abs=1e-5
    )
    assert report.method["regions"] == "exact Shapley" and not report.picture.reliability < 1
    whole = report.score - _score_without_everything(media_engine, 9)
    assert sum(effect.effect for effect in report.modalities) == pytest.approx(whole, abs=1e-4)


def _score_without_everything(engine, item):
    with engine.reading_without(engine.model.modalities, [*HISTORY, item]):
        return float(engine.score([np.array(HISTORY)], [item])[0, 0])


def test_sampled_values_add_up_too_and_a_seed_repeats_them(media_engine):
    options = MediaOptions(rows=4, columns=4, orders=4, seed=3)
    one, again = (explain_media(media_engine, request(media_engine), "109", options) for _ in range(2))
    assert one.to_dict() == again.to_dict() and one.method["regions"] == "sampled Shapley"
    assert np.sum(one.picture.values) + one.picture.blank == pytest.approx(one.picture.effect, abs=1e-5)


def test_without_its_picture_the_item_stands_where_the_engine_puts_it(media_engine):
    asked = request(media_engine, exclude=["100"])
    report = explain_media(media_engine, asked, "109", FOUR)
    scores = media_engine.score_all([np.array(HISTORY)])[0]
    allowed = [i for i in range(20) if i not in (0, *HISTORY)]
    assert report.rank == 1 + sum(scores[i] > scores[9] for i in allowed)
    present = media_engine.features.present["image"].copy()
    present[9] = False
    features = media_engine.features
    media_engine.set_features(
        type(features)(features.vectors, {**features.present, "image": present}, features.reductions)
    )
    without = media_engine.score_all([np.array(HISTORY)])[0]
    assert report.picture.effect == pytest.approx(float(scores[9] - without[9]), abs=1e-5)
    assert report.picture.rank_without == 1 + sum(without[i] > without[9] for i in allowed)


def test_history_items_are_shared_out_and_the_report_is_json(media_engine):
    report = explain_media(media_engine, request(media_engine), "109", FOUR)
    told = json.loads(json.dumps(report.to_dict()))
    assert {effect["item_id"] for effect in told["history"]} == {"102", "107", "112"}
    alone = media_engine.score([np.array(HISTORY), np.array([], int)], [9])[:, 0]
    assert sum(effect.effect for effect in report.history) == pytest.approx(float(alone[0] - alone[1]), abs=1e-4)
    assert told["picture"]["grid"] == [2, 2] and told["picture"]["png"] and told["sound"]["png"]
    assert "png" not in report.to_dict(pictures=False)["picture"]


def test_what_is_missing_is_null_with_a_reason(media_engine):
    report = explain_media(media_engine, request(media_engine), "103", FOUR)
    assert report.picture is None and report.sound is None
    assert report.missing == {"picture": "the item has no picture", "sound": "the item has no sound"}


def test_an_imputed_picture_is_not_taken_for_one(media_engine):
    before = media_engine.features
    assert not before.present["image"][3]
    media_engine.set_features(before.with_imputed("image", np.array([3]), before.vectors["image"][[4]]))
    report = explain_media(media_engine, request(media_engine), "103", FOUR)
    assert report.picture is None
    assert (
        report.missing["picture"] == "the item has no picture: in its place the model reads what the nearest items have"
    )
    assert {effect.name: effect.imputed for effect in report.modalities}["image"] == 1
    assert all(effect.imputed == 0 for effect in report.modalities if effect.name != "image")


def test_a_model_that_reads_no_pictures(make_checkpoint, features):
    engine = Recommender(make_checkpoint())
    report = explain_media(engine, request(engine), "109", FOUR)
    assert "made elsewhere" in report.missing["sound"] or "train it again" in report.missing["sound"]
    only = type(features)({"text": features.vectors["text"]}, {"text": features.present["text"]})
    engine.setup.features = only
    with pytest.raises(UnavailableError, match="reads no pictures"):
        PictureWorth(item_scores(engine, 9), FOUR)


def test_another_picture_a_broken_one_and_a_tower_that_cannot_be_loaded(
    media_engine, make_media_engine, media_catalogue, tmp_path, caplog
):
    other, broken = tmp_path / "other.png", tmp_path / "broken.png"
    Image.new("RGB", (40, 30), "red").save(other)
    broken.write_bytes(b"no picture")
    for path, reason in (
        (other, "another than"),
        (broken, "cannot be read"),
        (tmp_path / "gone.png", "cannot be read"),
    ):
        changed = make_media_engine(catalogue=media_catalogue.with_media({9: path}, {}))
        said = explain_media(changed, request(changed), "109", FOUR).missing["picture"]
        assert reason in said and str(tmp_path) not in said
    media_engine.setup.config = media_engine.config.updated({"encoders.image": str(tmp_path)})
    with caplog.at_level(logging.WARNING):
        said = explain_media(media_engine, request(media_engine), "109", FOUR).missing["picture"]
    assert said == "the image encoder of the model cannot be loaded" and "encoders.image" in caplog.text


def test_a_vector_of_the_request_is_not_taken_for_the_picture(media_engine):
    vector = media_engine.features.vectors["image"][4].tolist()
    asked = request(media_engine, vectors={"107": {"image": vector}})
    assert "in its place" in explain_media(media_engine, asked, "107", FOUR).missing["picture"]
    with_it = explain_media(media_engine, asked, "109", FOUR)
    assert with_it.picture.values != explain_media(media_engine, request(media_engine), "109", FOUR).picture.values


def test_wrong_questions_end_in_one_line(media_engine):
    class Elsewhere:
        name = "vllm"

    with pytest.raises(RecommenderError, match="the vllm engine cannot read an item with another picture"):
        explain_media(Elsewhere(), request(media_engine), "109")
    with pytest.raises(RecommenderError, match="unknown item id '999'"):
        explain_media(media_engine, request(media_engine), "999")
    for wrong in (
        {"rows": 0},
        {"orders": 1.5},
        {"rows": 16, "columns": 16},
        {"fill": "noise"},
        {"seed": -1},
        {"windows": True},
    ):
        with pytest.raises(RecommenderError, match="media: "):
            MediaOptions(**wrong)


def test_more_regions_than_are_exact_are_sampled_reliably_when_the_game_adds_up():
    weights = np.arange(16.0)
    values, reliable = region_values(16, lambda sets: (sets @ weights)[:, None], MediaOptions())
    np.testing.assert_allclose(values, weights)
    assert reliable == pytest.approx(1.0)
    values, reliable = window_values(20, lambda sets: np.random.default_rng(0).random((len(sets), 1)), 0)
    assert reliable < 0.6


def test_what_a_request_switches_off_is_no_part_of_the_report(media_engine):
    item = media_engine.catalogue[9].item_id
    report = explain_media(media_engine, request(media_engine, without=["image", "history"]), item, FOUR)
    assert report.picture is None and report.missing["picture"] == "the request switches pictures off"
    assert report.history == () and "image" not in {part.name for part in report.modalities}
    plain = explain_media(media_engine, request(media_engine), item, FOUR)
    assert plain.picture is not None and plain.history
    with pytest.raises(RecommenderError, match="cannot be switched off"):
        explain_media(media_engine, request(media_engine, without=["knowledge"]), item, FOUR)
