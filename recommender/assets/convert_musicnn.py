"""Converts a checkpoint of musicnn (TensorFlow 1) to weights that our network reads, and the names of its tags."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from recommender.assets.tensor_bundle import read_tensors

#: in the order of the outputs; the folder of the package says which
TAGS = {
    "MSD_musicnn": (
        "rock|pop|alternative|indie|electronic|female vocalists|dance|00s|alternative rock|jazz|beautiful|metal|chillout"
        "|male vocalists|classic rock|soul|indie rock|mellow|electronica|80s|folk|90s|chill|instrumental|punk|oldies"
        "|blues|hard rock|ambient|acoustic|experimental|female vocalist|guitar|hip-hop|70s|party|country|easy listening|sexy"
        "|catchy|funk|electro|heavy metal|progressive rock|60s|rnb|indie pop|sad|house|happy"
    ),
    "MTT_musicnn": (
        "guitar|classical|slow|techno|strings|drums|electronic|rock|fast|piano|ambient|beat|violin|vocal|synth|female|indian"
        "|opera|male|singing|vocals|no vocals|harpsichord|loud|quiet|flute|woman|male vocal|no vocal|pop|soft|sitar|solo|man"
        "|classic|choir|voice|new age|dance|male voice|female vocal|beats|harp|cello|no voice|weird|country|metal"
        "|female voice|choral"
    ),
}
#: layers of our network in the order in which musicnn's program makes those of one kind, which it numbers from 0 on
CONVOLUTIONS = ("timbral.0", "timbral.1", "temporal.0", "temporal.1", "temporal.2", "middle.0", "middle.1", "middle.2")
NORMS = ("spectrum", *CONVOLUTIONS, "pooled", "penultimate")
DENSE = ("penultimate", "tags")
_STATISTICS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}

Arrays = dict[str, np.ndarray]


def convert(source: Path, target: Path) -> None:
    """Write `target`/musicnn.safetensors and config.json, with the tags, from the checkpoint in the folder `source`."""
    tags = TAGS[source.name].split("|")
    save_file(to_network(read_tensors(f"{source}/")), target / "musicnn.safetensors")
    settings = {"model_type": "musicnn", "tags": tags}
    (target / "config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def to_network(tensors: Arrays) -> Arrays:
    """Rename to our network's parameters, and turn the matrices as torch has them. Raises KeyError for what is missing."""
    found: Arrays = {}
    for number, name in enumerate(CONVOLUTIONS):
        theirs = _numbered("conv2d", number)
        kernel = np.transpose(tensors[f"{theirs}/kernel"], (3, 2, 0, 1))
        if name.startswith("middle"):  # over all channels at once: in one dimension, time
            kernel = np.transpose(kernel[:, 0], (0, 2, 1))
        found |= {f"{name}.convolution.weight": kernel, f"{name}.convolution.bias": tensors[f"{theirs}/bias"]}
    for number, name in enumerate(NORMS):
        theirs = _numbered("batch_normalization", number)
        found |= {f"{name}.norm.{ours}": tensors[f"{theirs}/{key}"] for key, ours in _STATISTICS.items()}
    for number, name in enumerate(DENSE):
        theirs = _numbered("dense", number)
        found |= {
            f"{name}.dense.weight": tensors[f"{theirs}/kernel"].T,
            f"{name}.dense.bias": tensors[f"{theirs}/bias"],
        }
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def _numbered(name: str, number: int) -> str:
    return f"{name}_{number}" if number else name
