"""Labels of pictures: the tower's own output, never guessed, kept compactly; encoders that tell nothing give none."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors.numpy import load_file as load_arrays
from safetensors.numpy import save_file as save_arrays
from safetensors.torch import load_file, save_file

from recommender import assets
from recommender.config import EncodersConfig
from recommender.data.catalogue import Catalogue, Item
from recommender.encoders.audio import AudioEncoder
from recommender.encoders.image import ImageEncoder
from recommender.encoders.labels import MEDIA_LABELS, SURE, TOP, Label, MediaLabels, label_media, labeller_of
from recommender.encoders.picture_kinds import CLASSES, KINDS, NAMES, membership
from recommender.encoders.text import TextEncoder
from recommender.errors import CheckpointError, DataError
from tests.media_files import picture

DOG, CAT, COMIC_BOOK = 200, 281, 917


def with_classifier(tower: Path, folder: Path, favoured: dict[int, float]) -> Path:
    """Copy a tower and give it a classifier that favours some classes, by these biases, whatever it sees."""
    shutil.copytree(tower, folder, dirs_exist_ok=True)
    random = torch.Generator().manual_seed(0)
    width = ImageEncoder(str(tower)).encode([ImageEncoder(str(tower)).prepare(picture(0))]).shape[1]
    bias = torch.zeros(CLASSES)
    for number, value in favoured.items():
        bias[number] = value
    weight = torch.randn((CLASSES, width), generator=random) * 0.05
    save_file({"weight": weight, "bias": bias}, folder / "classifier.safetensors")
    return folder


@pytest.fixture
def pictures(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        picture(number).save(path)
    return paths


def catalogue_of(paths, absent=()):
    return Catalogue(
        Item(str(n), f"The {n}", image=None if n in absent else path, attributes={"year": ("1990",)})
        for n, path in enumerate(paths)
    )


def settings(tower, tmp_path) -> EncodersConfig:
    return EncodersConfig(text=None, image=str(tower), audio=None, cache=str(tmp_path / "cache"))


def test_kinds_are_apart_and_none_is_of_what_a_poster_is_printed_on():
    table = membership()
    assert table.shape == (CLASSES, len(KINDS)) and table.sum(1).max() == 1 and table.sum(0).min() >= 1
    kinds = {name: NAMES[table[n].argmax()] for n, name in enumerate(open_clip.IMAGENET_CLASSNAMES) if table[n].any()}
    right = {
        "Norfolk Terrier": "dog",
        "tabby cat": "cat",
        "killer whale": "whale",
        "sports car": "car",
        "lion": "big cat",
    }
    right |= {
        "pirate ship": "ship",
        "steam locomotive": "train",
        "gown": "dress",
        "castle": "castle",
        "rooster": "bird",
    }
    assert {name: kinds[name] for name in right} == right
    never = "comic book,dust jacket,website,envelope,menu,front curtain,monitor,television,bra,bikini,harmonica".split(
        ","
    )
    assert not kinds.keys() & set(never) and set(never) <= set(open_clip.IMAGENET_CLASSNAMES)


def test_labels_are_what_the_tower_says_of_the_whole_picture(image_folder, tmp_path, pictures):
    tower = with_classifier(image_folder, tmp_path / "tower", {})
    labels = label_media(catalogue_of(pictures, absent=[2]), settings(tower, tmp_path), None)
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tower}")
    head = load_file(tower / "classifier.safetensors")
    for n in (0, 1, 3):
        with torch.no_grad():
            vector = model.eval().encode_image(preprocess(picture(n))[None])[0]
        classes = torch.softmax(head["weight"] @ vector + head["bias"], 0).numpy()
        sums = [float(classes[membership()[:, k] > 0].sum()) for k in range(len(NAMES))]
        expected = sorted(zip(sums, NAMES, strict=True), reverse=True)
        found = labels.of("image", n)
        assert [label.name for label in found] == [name for _, name in expected[:TOP]]
        assert [label.confidence for label in found] == pytest.approx([p for p, _ in expected[:TOP]], abs=1e-3)
    # unsure everywhere: counted, and none is said
    assert labels.of("image", 2) == () and labels.counts("image") == (0, 3)
    assert [labels.sure("image", n) for n in range(4)] == [None] * 4


def test_a_label_is_sure_if_the_picture_and_its_parts_agree(image_folder, tmp_path, pictures):
    always = with_classifier(image_folder, tmp_path / "always", {DOG: 12.0})
    labels = label_media(catalogue_of(pictures), settings(always, tmp_path))
    assert {labels.sure("image", n).name for n in range(4)} == {"dog"} and labels.counts("image") == (4, 4)
    assert labels.sure("audio", 0) is None and labels.of("audio", 0) == ()
    # what the parts and the mirror image see otherwise lowers it, and never raises it
    encoder = ImageEncoder(str(always))
    labeller = labeller_of(encoder)
    labeller.load()
    whole = labeller._kinds([picture(0)])[0]
    assert (labeller.label([picture(0)])[0] <= whole + 1e-6).all()


def test_what_only_says_that_it_is_a_poster_is_no_label(image_folder, tmp_path, pictures):
    poster = with_classifier(image_folder, tmp_path / "poster", {COMIC_BOOK: 12.0, CAT: 8.0})
    labels = label_media(catalogue_of(pictures), settings(poster, tmp_path))
    assert labels.counts("image") == (0, 4)
    # not scaled up to fill the place of the comic book
    assert all(labels.of("image", n)[0].confidence < 0.1 for n in range(4))


def test_labels_come_from_the_cache_and_are_of_one_table_of_kinds(image_folder, tmp_path, pictures):
    tower = with_classifier(image_folder, tmp_path / "tower", {DOG: 12.0})
    first = label_media(catalogue_of(pictures), settings(tower, tmp_path))
    done = []
    again = label_media(catalogue_of(pictures), settings(tower, tmp_path), lambda *progress: done.append(progress))
    assert done == [("labelling image", 4, 4)]
    np.testing.assert_array_equal(again.kinds["image"], first.kinds["image"])
    assert first.kinds["image"].dtype == np.int16 and first.confidences["image"].dtype == np.float16
    other = with_classifier(image_folder, tmp_path / "other", {CAT: 12.0})
    assert label_media(catalogue_of(pictures), settings(other, tmp_path)).sure("image", 0).name == "cat"


def test_who_tells_nothing_gives_no_labels(image_folder, text_folder, audio_file, tmp_path, pictures):
    assert labeller_of(ImageEncoder(str(image_folder))) is None  # no classifier, and a text tower for the form
    assert labeller_of(AudioEncoder(str(audio_file))) is None and labeller_of(TextEncoder(str(text_folder))) is None
    assert label_media(catalogue_of(pictures), settings(image_folder, tmp_path)) is None
    (tmp_path / "empty").mkdir()
    assert labeller_of(ImageEncoder(str(tmp_path / "empty"))) is None


def test_a_broken_picture_is_named(image_folder, tmp_path, pictures):
    tower = with_classifier(image_folder, tmp_path / "tower", {})
    pictures[1].write_bytes(b"no picture")
    with pytest.raises(DataError, match="'1'") as error:
        label_media(catalogue_of(pictures), settings(tower, tmp_path))
    assert "1.png" in error.value.message


def test_a_text_tower_reads_the_names(image_folder, tmp_path, pictures):
    folder = tmp_path / "clip"
    folder.mkdir()
    config = json.loads((image_folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] = {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    config["model_cfg"].pop("custom_text")
    model = open_clip.CustomTextCLIP(**config["model_cfg"]).eval()
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    labels = label_media(catalogue_of(pictures[:1]), settings(folder, tmp_path))
    loaded, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenize, loaded = open_clip.get_tokenizer(f"local-dir:{folder}"), loaded.eval()
    with torch.no_grad():
        vector = loaded.encode_image(preprocess(picture(0))[None], normalize=True)[0]
        rows = []
        for name in open_clip.IMAGENET_CLASSNAMES:
            texts = loaded.encode_text(tokenize([t(name) for t in open_clip.SIMPLE_IMAGENET_TEMPLATES]), normalize=True)
            rows.append(torch.nn.functional.normalize(texts.mean(0), dim=0))
        classes = torch.softmax(loaded.logit_scale.exp() * (torch.stack(rows) @ vector), 0).numpy() @ membership()
    assert labels.of("image", 0)[0] == Label(NAMES[classes.argmax()], pytest.approx(classes.max(), abs=1e-3))


def made(items=5) -> MediaLabels:
    kinds, confidences = np.full((items, TOP), -1, np.int16), np.zeros((items, TOP), np.float16)
    kinds[1], confidences[1] = (3, 0, 1), (0.75, 0.25, 0.0)
    if items > 2:
        kinds[2], confidences[2] = (0, 1, 2), (0.49, 0.25, 0.0)
    return MediaLabels(NAMES, {"image": kinds}, {"image": confidences})


def test_labels_are_kept_and_move_with_the_items(tmp_path):
    labels = made()
    assert MediaLabels.load(tmp_path, 5) is None
    labels.save(tmp_path / MEDIA_LABELS)
    loaded = MediaLabels.load(tmp_path, 5)
    assert [loaded.of("image", n) for n in range(5)] == [labels.of("image", n) for n in range(5)]
    assert loaded.sure("image", 1) == Label(NAMES[3], 0.75) and loaded.sure("image", 2) is None and SURE == 0.5
    longer = loaded.append(made(2), 2).take(np.array([6, 2, 1, 0, 3, 4, 5]))
    assert [longer.sure("image", n) for n in (0, 1, 2, 6)] == [Label(NAMES[3], 0.75), None, Label(NAMES[3], 0.75), None]
    others = replace(made(3), names=("a", "b", "c", "d"))
    for unknown in (None, others, MediaLabels(NAMES, {}, {})):
        assert loaded.append(unknown, 3).of("image", 6) == () and len(loaded.append(unknown, 3).kinds["image"]) == 8
    assert loaded.without("image", [1]).sure("image", 1) is None and loaded.counts("image") == (1, 2)


@pytest.mark.parametrize("fault", ["bytes", "items", "a name that is not there", "no names", "nan", "whole numbers"])
def test_damaged_labels_are_named(tmp_path, fault):
    path = tmp_path / MEDIA_LABELS
    made().save(path)
    arrays = load_arrays(path)
    if fault == "bytes":
        path.write_bytes(b"0" * 64)
    elif fault == "a name that is not there":
        arrays["kinds.image"][0] = len(NAMES)
        save_arrays(arrays, path, {"names": json.dumps(NAMES)})
    elif fault in ("nan", "whole numbers"):
        arrays["confidences.image"][0] = np.nan
        if fault == "whole numbers":
            arrays["confidences.image"] = np.ones((5, TOP), np.int16)
        save_arrays(arrays, path, {"names": json.dumps(NAMES)})
    elif fault == "no names":
        save_arrays(arrays, path)
    with pytest.raises(CheckpointError, match=MEDIA_LABELS):
        MediaLabels.load(tmp_path, 6 if fault == "items" else 5)


@pytest.mark.assets
def test_the_embedded_tower_has_its_classifier():
    encoder = ImageEncoder("efficientnet-lite0")
    assert encoder.classifier == assets.fetch("efficientnet-lite0") / "classifier.safetensors" and encoder.tells_classes
    labeller = labeller_of(encoder)
    labeller.load()
    assert labeller.label([labeller.prepare(picture(0))]).shape == (1, len(NAMES))
