"""What it takes to forget people: in the store, in its files, and in models of three ways of training; with proof.

All goes the way of an operator: events in a store, a table that it exports, models trained on that, `forget` for each
person, and the models updated. Judges: the bytes of a model that never had them, an attack on the forgotten before and
after, and a search for their names in all files.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recommender.config import Config
from recommender.data.catalogue import Catalogue
from recommender.errors import DataError, import_extra
from recommender.eval.report import for_card
from recommender.files import write_text, write_together
from recommender.model.checkpoint import ADAPTER, CONFIG, from_pretrained
from recommender.pages import Report, Table, report_html
from recommender.pipelines.forget_in_model import forget_in_model
from recommender.pipelines.left_out import NamedStore
from recommender.pipelines.train import build, load_histories, prepare, split_of, train
from recommender.progress import Progress
from recommender.studies.comparison import EvaluationOptions, evaluate
from recommender.studies.membership import SHORTEST, Scores, alike, attack, knowledge
from recommender.studies.steps import Steps

FIGURES, PAGE = "forgetting.json", "report.html"
WAYS = ("average", "chain", "whole")
_STEPS, _TABLE, _STORE, _MASTER, _SECRET = "steps.json", "interactions.csv", "store.db", "master.keys", "study-names"
_NOTES = (
    "average: each shard from the same start; chain: cohorts one after the other; whole: in one piece, trained anew.",
    "Same as never: whether the weights are those, byte by byte, of a training that never had the forgotten.",
    "AUC: the chance that somebody who is forgotten looks more like a person who was learned from than somebody of whom no"
    " model ever knew, by the attacks of `study privacy`; .5 is guessing.",
    "Traces: files in which a name of the forgotten stands; their pseudonyms stand in the store and in receipts, which keep"
    " them forgotten, and are searched in all others.",
)


@dataclass(frozen=True)
class ForgettingOptions:
    """people: how many are forgotten. others: how many are never learned from, to compare with. ways: of training."""

    people: int = 50
    others: int = 100
    ways: tuple[str, ...] = WAYS
    seed: int = 0


def study_forgetting(
    config: Config, options: ForgettingOptions, output: Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Train, forget and prove, and return the figures. `output`: a folder, where a study that was stopped goes on.

    Raises DataError for too few people, or a folder of another study.
    """
    import_extra("sqlalchemy", "a study of forgetting", "store")
    output.mkdir(parents=True, exist_ok=True)
    steps = Steps.of(output / _STEPS, config, options)
    study = _Study(config, options, output, steps, progress)
    study.fill_store()
    for way in options.ways:
        study.train(way)
    study.forget()
    for way in options.ways:
        study.compare(way)
    return study.figures()


class _Study:
    """One study: who is in it, and where things lie."""

    def __init__(
        self, config: Config, options: ForgettingOptions, output: Path, steps: Steps, progress: Progress | None
    ) -> None:
        from recommender.store.master_keys import new_master_key

        self.options, self.output, self.steps, self.progress = options, output, steps, progress
        self.everybody = load_histories(config, Catalogue.load(config.data.items, config.data, media=False))
        order = np.random.default_rng(options.seed).permutation(len(self.everybody))
        if len(order) < options.people + options.others + 2:
            raise DataError(
                f"{len(order)} users are too few to forget {options.people} and leave out {options.others}",
                "lower --forget and --others",
            )
        self.others, members = order[: options.others], np.sort(order[options.others :])
        self.members, self.gone = members, np.sort(order[options.others : options.others + options.people])
        if not (output / _SECRET).is_file():
            write_text(output / _SECRET, secrets.token_hex(8))
            new_master_key(output / _MASTER, "study")
        self.named = NamedStore(str(output / _STORE), str(output / _MASTER))
        columns = {f"data.columns.{name}": name for name in ("user_id", "item_id", "timestamp")}
        own = {"data.interactions": str(output / _TABLE), "data.minimum_rating": None, "data.users": None}
        self.config = config.updated(columns | own, "study")
        self.catalogue = Catalogue.load(config.data.items, config.data, media=False)

    def name(self, user: int) -> str:
        """Return a name of a user that stands nowhere by accident."""
        secret = (self.output / _SECRET).read_text()
        return f"person-{hashlib.sha256(f'{secret} {user}'.encode()).hexdigest()[:16]}"

    def open_store(self) -> Any:
        """Return the store of the study."""
        from recommender.store.store import Store

        return Store.open(self.named.where, self.named.master_key)

    def fill_store(self) -> None:
        """Keep everybody's events and export them, as an operator would."""
        from recommender.store.training_table import write_training_table

        def fill() -> dict[str, Any]:
            store, started = self.open_store(), time.monotonic()
            for count, user in enumerate(self.members.tolist()):
                store.events.add(self._events(user))
                if self.progress:
                    self.progress("events", count + 1, len(self.members))
            counts = write_training_table(store, self.output / _TABLE)
            store.let_go()
            return {**counts, "seconds": round(time.monotonic() - started, 1)}

        self.steps.once("filled", fill)

    def _events(self, user: int) -> list[Any]:
        from recommender.store.events import Event

        items, name = self.everybody.items[user], self.name(user)
        times = range(len(items)) if self.everybody.times is None else self.everybody.times[user]
        return [
            Event(id=f"{user}-{place}", user=name, item=self.catalogue.item_ids[item], kind="like", time=float(when))
            for place, (item, when) in enumerate(zip(items, times, strict=True))
        ]

    def recipe(self, way: str) -> Config:
        """Return the recipe of one way of training."""
        if way == "whole":
            return self.config.updated({"training.forgetting": None}, "study")
        kept = self.config.training.forgetting
        shards = {} if kept is None else {"shards": kept.shards, "scale": kept.scale}
        return self.config.updated({"training.forgetting": shards | {"way": way}}, "study")

    def folder(self, way: str) -> Path:
        """Return the checkpoint of a way."""
        return self.output / "models" / way

    def train(self, way: str) -> None:
        """Train a model on everybody, and attack it."""
        self.steps.once(
            f"trained {way}", lambda: self._timed(lambda: self._trained(self.recipe(way), self.folder(way)))
        )
        self.steps.once(f"before {way}", lambda: self._knowledge(self.folder(way)))

    def _trained(self, recipe: Config, folder: Path) -> dict[str, Any]:
        train(recipe, folder, self.progress, recipe="study forgetting", store=self.named)
        return {}

    def _timed(self, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        started = time.monotonic()
        return {**work(), "seconds": round(time.monotonic() - started, 1)}

    def forget(self) -> None:
        """Forget one person, then all the others, in the store and in each model."""
        first, rest = self.gone[:1], self.gone[1:]
        self.steps.once("store, one", lambda: self._timed(lambda: self._forgotten(first)))
        for way in self.options.ways:
            if way != "whole":
                self.steps.once(f"one {way}", partial(self._updated, way))
        self.steps.once("store, all", lambda: self._timed(lambda: self._forgotten(rest)))
        for way in self.options.ways:
            self.steps.once(f"all {way}", partial(self._updated, way))

    def _forgotten(self, users: np.ndarray) -> dict[str, Any]:
        from recommender.store.forgetting import AlreadyForgottenError, forget

        store = self.open_store()
        for user in users.tolist():
            try:
                forget(store, self.name(user))
            except AlreadyForgottenError:  # of a study that was stopped here
                continue
        store.audit.sign_head()
        store.let_go()
        return {"people": len(users)}

    def _updated(self, way: str) -> dict[str, Any]:
        told = forget_in_model(self.folder(way), self.progress, way == "whole", self.named).told()
        return {name: told[name] for name in ("shards", "all_shards", "users", "seconds")}

    def compare(self, way: str) -> None:
        """Train a model that never had the forgotten, compare it with the one that forgot them, and attack that."""
        never = self.output / "never" / way
        # between shards lie the moments of the first training: drawn anew they would be others without the forgotten
        same = Config.load(self.folder(way) / CONFIG).training.forgetting
        recipe = self.recipe(way)
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"forgetting": same})})
        self.steps.once(f"never {way}", lambda: self._timed(lambda: self._trained(recipe, never)))
        self.steps.once(f"same {way}", lambda: _bytes_of(never) == _bytes_of(self.folder(way)))
        self.steps.once(f"after {way}", lambda: self._knowledge(self.folder(way)))

    def _people(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Return histories as training read them, of the forgotten and as many others who had about as much."""
        train_items = split_of(self.config, self.everybody).train.items
        gone = [train_items[user] for user in self.gone if len(train_items[user]) >= SHORTEST]
        others = [train_items[user] for user in self.others if len(train_items[user]) >= SHORTEST]
        first, second = alike([len(items) for items in gone], [len(items) for items in others])
        histories = [*(gone[n] for n in first), *(others[n] for n in second)]
        return histories, np.arange(len(histories)) < len(first)

    def _knowledge(self, folder: Path) -> dict[str, list[float]]:
        scores = knowledge(from_pretrained(folder, self.catalogue, self.progress), self._people()[0])
        return {"loss": scores.loss.tolist(), "lists": scores.lists.tolist()}

    def _reference(self) -> dict[str, list[float]]:
        recipe = self.recipe("whole")
        scores = knowledge(
            build(recipe, prepare(recipe, self.progress, store=self.named), self.progress), self._people()[0]
        )
        return {"loss": scores.loss.tolist(), "lists": scores.lists.tolist()}

    def figures(self) -> dict[str, Any]:
        """Return all that was found, measuring what is still to be measured."""
        done, reference = self.steps.done, self.steps.once("reference", self._reference)
        member = self._people()[1]
        models = {}
        for way in self.options.ways:
            attacks = {
                when: {
                    name: found.told()
                    for name, found in attack(
                        _scores(done[f"{when} {way}"]), _scores(reference), member, self.options.seed
                    ).items()
                }
                for when in ("before", "after")
            }
            names = ("trained", "one", "all", "never", "same")
            models[way] = {name: done.get(f"{name} {way}") for name in names} | {"attacks": attacks}
        about = {
            "users": len(self.members),
            "forgotten": len(self.gone),
            "others": len(self.others),
            "attacked": int(member.sum()),
            "seed": self.options.seed,
        }
        store = {name: done[name] for name in ("filled", "store, one", "store, all")}
        ranking = self.steps.once("ranking", self._ranking)
        return {"about": about, "store": store, "models": models, "ranking": ranking, "traces": self.traces()}

    def _ranking(self) -> list[dict[str, Any]]:
        entries = [f"{way}={self.folder(way)}" for way in self.options.ways]
        options = EvaluationOptions(seed=self.options.seed)
        return list(for_card(evaluate(entries, options=options, progress=self.progress))["rows"])

    def traces(self) -> dict[str, Any]:
        """Search all files of the study for the forgotten, by their names, and by their pseudonyms outside the store."""
        store = self.open_store()
        names = [self.name(user).encode() for user in self.gone.tolist()]
        pseudonyms = [store.people.pseudonym(name.decode()).encode() for name in names]
        store.let_go()
        files = [path for path in sorted(self.output.rglob("*")) if path.is_file()]
        found = []
        for path in files:
            content = path.read_bytes()
            wanted = names if path.name.startswith(_STORE) else [*names, *pseudonyms]
            if any(one in content for one in wanted):
                found.append(str(path.relative_to(self.output)))
        return {"files": len(files), "bytes": sum(path.stat().st_size for path in files), "found": found}


def _bytes_of(folder: Path) -> bytes:
    return (folder / ADAPTER).read_bytes()


def _scores(told: Mapping[str, Sequence[float]]) -> Scores:
    return Scores(np.array(told["loss"]), np.array(told["lists"]))


def rows_of(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each way of training, for tables."""
    ranked = {row["model"]: row for row in figures["ranking"]}
    rows = []
    for way, found in figures["models"].items():
        one, everybody = found["one"] or {}, found["all"]
        rows.append(
            {
                "trained": way,
                "R@10": ranked[way]["recall"],
                "N@10": ranked[way]["ndcg"],
                "training, s": found["trained"]["seconds"],
                "one forgotten, s": one.get("seconds", ""),
                "shards": f"{len(one['shards'])} of {one['all_shards']}" if one else "",
                "all forgotten, s": everybody["seconds"],
                "same as never": "yes" if found["same"] else "no",
            }
        )
    return rows


def attack_rows(figures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each way and attack: how well the forgotten are told from others, before and after."""
    rows = []
    for way, found in figures["models"].items():
        for kind in found["attacks"]["before"]:
            before, after = (found["attacks"][when][kind] for when in ("before", "after"))
            rows.append({"trained": way, "attack": kind, "AUC before": _auc(before), "AUC after": _auc(after)})
    return rows


def _auc(found: Mapping[str, Any]) -> str:
    low, high = found["auc_interval"]
    return f"{found['auc']:.3f} ({low:.3f}-{high:.3f})"


def write_forgetting(output: Path, figures: Mapping[str, Any]) -> None:
    """Write the figures as JSON and the page into a folder."""
    about, traces, store = figures["about"], figures["traces"], figures["store"]
    seconds = store["store, one"]["seconds"] + store["store, all"]["seconds"]
    lead = (
        f"{about['forgotten']} of {about['users']} users are forgotten, {seconds:.1f} s in the store;"
        f" {about['others']} others were never learned from."
        f" {len(traces['found'])} of {traces['files']} files have a trace of the forgotten."
    )
    parts = [
        Table("What it takes, and what is left", rows_of(figures)),
        Table("Can the forgotten be told from others?", attack_rows(figures)),
    ]
    report = Report("Forgetting people", lead, parts, _NOTES, about)
    contents = {
        FIGURES: (json.dumps(figures, indent=1) + "\n").encode(),
        PAGE: report_html(report).encode(),
    }
    write_together(output, contents)
