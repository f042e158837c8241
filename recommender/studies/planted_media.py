"""Planted cases: a badge in pictures, or a tone in sounds, decides who takes an item; does the map point at it?

A world of items whose media are noise but for the plant. Half of the people take what has it, the others what has not. A
model is trained on that, with frozen token rows, so that nothing but the medium tells the items apart. The strongest part of
an item's map must then show the plant: the pointing game (Zhang et al., "Top-Down Neural Attention by Excitation Backprop",
IJCV 2018), where a part counts that is a quarter plant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image, ImageDraw, ImageFilter

from recommender.attribution import MediaOptions
from recommender.attribution.media_worth import ItemScores, PictureWorth, SoundWorth
from recommender.attribution.towers import NOUNS, Medium
from recommender.config import Config
from recommender.encoders.audio import SAMPLE_RATE
from recommender.engine import Recommender
from recommender.files import write_text
from recommender.pipelines.train import train
from recommender.progress import Progress
from recommender.strict.json_documents import json_text
from recommender.studies.attribution import part_values

#: people, and items that each has taken
_PEOPLE, _TAKEN = 200, 10
_SIDE, _BADGE = 224, 64
_SECONDS, _TONE_SECONDS, _TONE = 8.0, 1.2, 1900.0
_LIST = 10
#: how much of a part must be plant
_HIT = 0.25


@dataclass(frozen=True)
class Plant:
    """Where the plant is: left, top, right, bottom as shares of the picture, or start and end as shares of the sound."""

    box: tuple[float, ...]

    def share_of(self, part: Sequence[float]) -> float:
        """Return how much of a part, given as the box is, it fills."""
        half = len(part) // 2
        within = [
            max(min(part[half + n], self.box[half + n]) - max(part[n], self.box[n]), 0.0) / (part[half + n] - part[n])
            for n in range(half)
        ]
        return float(np.prod(within))


def planted_study(
    config: Config, folder: Path, cases: int, options: MediaOptions, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """Return for each medium that a model reads: cases, hits, what chance would hit, and how well the planted model has
    learned what people take. `config`: the model's, whose base and towers are used; worlds and models go into `folder`."""
    return {
        medium: _pointed(config, medium, folder / f"planted-{medium}", cases, options, seed, progress)
        for medium in NOUNS
        if config.encoders.named(medium) is not None
    }


def _pointed(
    config: Config,
    medium: Medium,
    folder: Path,
    cases: int,
    options: MediaOptions,
    seed: int,
    progress: Progress | None,
) -> dict[str, Any]:
    plants = make_world(folder, medium, 2 * cases, seed)
    train(planted_recipe(config, medium, folder, seed), folder / "model", progress)
    engine = Recommender.from_pretrained(folder / "model")
    with_plant = np.array(sorted(plants))
    random, hits, chances, listed = np.random.default_rng(seed), [], [], []
    for number, item in enumerate(with_plant.tolist()):
        if progress:
            progress(f"planted {NOUNS[medium]}s", number, len(with_plant))
        others = with_plant[with_plant != item]
        history = random.choice(others, min(_TAKEN - 2, len(others)), replace=False)
        listed += [int(other) in plants for other in engine.rank([history], _LIST)[0].items]
        scores = ItemScores(engine, history, item, None, {})
        worth = PictureWorth(scores, options) if medium == "image" else SoundWorth(scores, options)
        within = np.array([plants[item].share_of(part) >= _HIT for part in parts_of(worth)])
        hits.append(bool(within[int(part_values(worth, options)[0].argmax())]))
        chances.append(float(within.mean()))
    if progress:
        progress(f"planted {NOUNS[medium]}s", len(with_plant), len(with_plant))
    accuracy, chance = float(np.mean(listed)), float(np.mean(chances))
    return {"cases": len(hits), "hits": sum(hits), "by chance": round(chance, 4), "accuracy": round(accuracy, 4)}


def parts_of(worth: PictureWorth | SoundWorth) -> list[tuple[float, ...]]:
    """Return the parts of a picture or a sound, as shares of it: see `Plant`."""
    if isinstance(worth, SoundWorth):
        edges = (worth.windows.edges / worth.windows.seconds).tolist()
        return list(zip(edges, edges[1:], strict=False))
    width, height = worth.regions.picture.size
    return [
        (left / width, top / height, right / width, bottom / height) for left, top, right, bottom in worth.regions.boxes
    ]


def make_world(folder: Path, medium: Medium, items: int, seed: int) -> dict[int, Plant]:
    """Write items.jsonl, interactions.csv and the media of a world; return where the plant is, item -> Plant, in each second
    item."""
    random = np.random.default_rng([seed, list(NOUNS).index(medium)])
    (folder / "media").mkdir(parents=True, exist_ok=True)
    write: Callable[[Path, np.random.Generator, bool], Plant | None]
    write, suffix = (_write_picture, "png") if medium == "image" else (_write_sound, "wav")
    plants: dict[int, Plant] = {}
    lines = []
    for item in range(items):
        name = f"media/{item}.{suffix}"
        plant = write(folder / name, random, item % 2 == 0)
        plants |= {item: plant} if plant is not None else {}
        lines.append(json_text({"item_id": f"i{item:04}", "title": f"Item {item}", medium: name}))
    write_text(folder / "items.jsonl", "\n".join(lines) + "\n")
    rows = ["user_id,item_id,position"]
    for person in range(_PEOPLE):
        liked = np.arange(person % 2, items, 2)
        taken = random.choice(liked, min(_TAKEN, len(liked)), replace=False)
        rows += [f"u{person},i{item:04},{place}" for place, item in enumerate(taken)]
    write_text(folder / "interactions.csv", "\n".join(rows) + "\n")
    return plants


def planted_recipe(config: Config, medium: Medium, folder: Path, seed: int) -> Config:
    """Return the recipe of a planted model: the base and the tower of another, its medium alone, frozen rows."""
    encoders = {"text": None, "knowledge": None, "image": None, "audio": None, "width": 32, "collaborative_width": 0}
    stage = {"stage": "rank", "epochs": 12, "learning_rate": 1e-3, "rows_learning_rate": 0, "row_dropout": 0.0}
    return Config.parse(
        {
            "seed": seed,
            "data": {"items": str(folder / "items.jsonl"), "interactions": str(folder / "interactions.csv")},
            "base": {
                "llm": config.base.llm,
                "dtype": config.base.dtype,
                "rank_layers": min(2, config.base.rank_layers),
            },
            "encoders": {**encoders, medium: config.encoders.named(medium), "cache": config.encoders.cache},
            "prompt": {"noun": "items", "history": _TAKEN, "titled": 0},
            "lora": {"r": 8, "lora_alpha": 16},
            "training": {"stages": [{**stage, "batch_tokens": 512, "row_tokens": 128, "patience": 12}]},
        }
    )


def _write_picture(path: Path, random: np.random.Generator, planted: bool) -> Plant | None:
    """Write a picture of blurred patches, with a badge somewhere if it is planted."""
    patches = Image.fromarray(random.integers(0, 256, (7, 7, 3), dtype=np.uint8))
    picture = patches.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    left, top = random.integers(0, _SIDE - _BADGE + 1, 2).tolist()
    if planted:
        pen, middle = ImageDraw.Draw(picture), (left + _BADGE / 2, top + _BADGE / 2)
        pen.ellipse((left, top, left + _BADGE - 1, top + _BADGE - 1), "yellow", "black", 4)
        pen.regular_polygon((*middle, _BADGE * 0.32), 3, 0, "red", "black")
    picture.save(path)
    box = tuple(edge / _SIDE for edge in (left, top, left + _BADGE, top + _BADGE))
    return Plant(box) if planted else None


def _write_sound(path: Path, random: np.random.Generator, planted: bool) -> Plant | None:
    """Write a sound of soft chords over noise, with a pulsing tone somewhere if it is planted."""
    time = np.arange(round(_SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    chords = np.repeat(random.uniform(100, 900, (3, 16)), len(time) // 16, axis=1)
    sound = 0.08 * np.sin(2 * np.pi * np.cumsum(chords, 1) / SAMPLE_RATE).sum(0)
    sound = sound + 0.01 * random.standard_normal(len(time))
    start = float(random.uniform(0, _SECONDS - _TONE_SECONDS))
    if planted:
        there = (time >= start) & (time < start + _TONE_SECONDS)
        sound = sound + there * 0.4 * np.sin(2 * np.pi * _TONE * time) * (np.sin(2 * np.pi * 8 * time) > 0)
    soundfile.write(path, sound.astype(np.float32), SAMPLE_RATE)
    return Plant((start / _SECONDS, (start + _TONE_SECONDS) / _SECONDS)) if planted else None
