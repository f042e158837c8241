"""Commands about experiments: what a server kept becomes results, and the study of the tests themselves."""

from __future__ import annotations

import json

import pytest

from recommender.config import Config
from recommender.experiments.arms import assigned
from recommender.store.events import Event
from recommender.store.impressions import Impression
from recommender.store.master_keys import new_master_key
from recommender.store.store import Store
from tests.cli.conftest import refused

CONFIG = """\
serving:
  store: store.db
  master_key: m.keys
  experiments:
    - name: colour
      arms: [{name: red, share: 0.5}, {name: blue, share: 0.5}]
    - name: duel
      method: interleave
      arms: [{name: one, share: 0.5}, {name: other, share: 0.5}]
"""


@pytest.fixture
def filled(tmp_path, monkeypatch):
    """A store with lists of two experiments, and what people took of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RECOMMENDER_STORE", raising=False)
    (tmp_path / "config.yaml").write_text(CONFIG)
    new_master_key(tmp_path / "m.keys", "a")
    store = Store.open("store.db", "m.keys")
    (colour, _) = Config.load(tmp_path / "config.yaml").serving.experiments
    events = []
    for n in range(260):
        user, name = f"user {n}", f"list-{n}"
        arm = assigned(colour, store.people.pseudonym(user)).name
        other = {"red": "blue", "blue": "red"}[arm]
        told = {"items": ("1", "2"), "probabilities": (0.5, 0.5), "others": {"colour": {other: (0.5, 0.5)}}}
        store.impressions.add(user, Impression(request_id=name, mode="explore", arms={"colour": arm}, **told))
        took = "1" if arm == "blue" or n % 4 == 0 else "3"
        events.append(Event(id=name, user=user, item=took, kind="click", request_id=name, rank=1))
        events.append(Event(id=f"{name}-again", user=user, item=took, kind="buy", request_id=name))
        events.append(Event(id=f"{name}-seen", user=user, item="2", kind="view", request_id=name))
        events.append(Event(id=f"{name}-no", user=user, item="2", kind="like"))
    for n in range(20):
        shown = Impression(
            request_id=f"duel-{n}", items=("1", "2"), probabilities=(1, 1), interleaved="duel", teams=(0, 1)
        )
        store.impressions.add("user 1", shown)
        events.append(Event(id=f"duel-{n}", user="user 1", item="2", kind="play", request_id=f"duel-{n}"))
    store.events.add([*events, Event(id="x", user="somebody else", item="2", kind="click", request_id="list-1")])
    store.close()


def test_results_of_what_was_shown_and_taken(filled, run):
    code, out, _ = run("experiments", "results", "config.yaml", "--json")
    assert code == 0
    colour, duel = json.loads(out)
    red, blue = colour["arms"]
    assert red["lists"] + blue["lists"] == 260 and blue["takes"] == blue["lists"]
    assert 0.1 < red["takes a list"] < 0.45
    assert colour["differences"][0]["verdict"] == "better"
    estimates = {(row["arm"], row["estimator"]): row["takes a list"] for row in colour["estimates"]}
    assert estimates["red", "IPS"] == pytest.approx(1) and estimates["blue", "SNIPS"] < 0.5
    assert duel["wins"]["won by other"] == 20 and duel["wins"]["better"] == "other"
    code, out, _ = run("experiments", "results", "config.yaml", "--experiment", "duel", "--kind", "view")
    assert code == 0 and "open" in out and "colour" not in out


def test_results_since_a_moment_are_of_later_lists_only(filled, run):
    store = Store.open("store.db", "m.keys")
    for n in range(30):
        shown = Impression(
            request_id=f"old-{n}",
            items=("1", "2"),
            probabilities=(1, 1),
            interleaved="duel",
            teams=(0, 1),
            time=1000.0 + n,
        )
        store.impressions.add("user 2", shown)
    store.events.add(
        [Event(id=f"old-{n}", user="user 2", item="1", kind="click", request_id=f"old-{n}") for n in range(30)]
    )
    store.close()

    def wins(*since):
        code, out, _ = run("experiments", "results", "config.yaml", "--experiment", "duel", "--json", *since)
        assert code == 0
        (told,) = json.loads(out)
        return told["wins"]["won by one"], told["wins"]["won by other"]

    assert wins() == (30, 20)
    assert wins("--since", "1010") == (20, 20)
    assert wins("--since", "2020-01-01") == (0, 20)
    code, _, err = run("experiments", "results", "config.yaml", "--since", "9999-01-01")
    assert code == 0 and "no list is kept since 9999-01-01" in err


def test_wrong_names_are_one_line(filled, run, tmp_path):
    refused(run("experiments", "results", "config.yaml", "--experiment", "color"), "colour")
    refused(run("experiments", "results", "config.yaml", "--kind", "clik"), "click")
    refused(run("experiments", "results", "config.yaml", "--since", "monday"), "an ISO date")
    (tmp_path / "empty.yaml").write_text("seed: 1\n")
    refused(run("experiments", "results", "empty.yaml"), "names no experiments")


def test_nothing_shown_yet_is_said(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG)
    new_master_key(tmp_path / "m.keys", "a")
    Store.open("store.db", "m.keys").close()
    code, out, err = run("experiments", "results", "config.yaml")
    assert code == 0 and "no list is kept yet" in err and "too few" in out


def test_the_study_writes_its_figures_and_a_page(run, tmp_path):
    few = ("--worlds", "10", "--people", "2000", "--logged", "60", "--rankers", "1", "--quiet")
    code, out, _ = run("study", "experiments", "--output", tmp_path / "s", *few, "--json")
    told = json.loads(out)
    assert code == 0 and told == json.loads((tmp_path / "s" / "experiments.json").read_text())
    assert [row["difference"] for row in told["tests"]] == [0.05, 0]
    assert len(told["estimates"]) == 3 + 3 * 5 and all(0 <= row["within"] <= 1 for row in told["estimates"])
    assert "Interleaving" in (tmp_path / "s" / "report.html").read_text()
