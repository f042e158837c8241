"""Validate, encode, tokenize: what is wrong with tables and media is named."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from recommender.config import DataConfig
from recommender.data.catalogue import Catalogue
from recommender.data.tables import say_once
from tests.cli.conftest import refused, write_csv
from tests.data.made_videos import BLUE, RED, make_video
from tests.encoders.test_labels import DOG, with_classifier
from tests.media_files import picture


def test_encode_and_tokenize_report(run, recipe):
    code, out, _ = run("encode", "--config", recipe, "--json", "-q")
    assert code == 0 and json.loads(out) == [{"modality": "collaborative", "items": 19, "absent": 1, "width": 4}]
    code, out, _ = run(
        *("tokenize", "--config", recipe, "--json", "-q"),
        *("--set", "semantic_ids.levels=3", "--set", "semantic_ids.codebook_size=4"),
    )
    report = json.loads(out)
    assert code == 0 and report["items"] == 20 and len(report["levels"]) == 4  # the last one against collisions
    code, out, _ = run("tokenize", "--config", recipe, "-q", "--set", "semantic_ids.levels=2")
    assert code == 0 and "use of the codes" in out and "what the codes of the first level mean" in out


def test_validate_tells_good_from_bad(run, tables, tmp_path):
    code, out, _ = run("validate", "--items", tables / "items.csv", "--interactions", tables / "interactions.csv")
    assert code == 0 and "20 items" in out and "no errors" in out
    write_csv(tmp_path / "items.csv", ("item_id", "title"), [("1", "a"), ("1", "b")])
    code, out, _ = run("validate", "--items", tmp_path / "items.csv", "--json")
    assert code == 2 and json.loads(out)["ok"] is False


@pytest.mark.parametrize("command", ["sounds", "pictures"])
def test_words_are_written_as_json_lines_alone(run, recipe, tmp_path, command):
    result = run(command, "--config", recipe, "--output", tmp_path / "words.csv", "-q")
    refused(result, f"--output {tmp_path / 'words.csv'}: JSON lines are written", "end with .jsonl")
    assert not (tmp_path / "words.csv").exists()


@pytest.mark.slow
def test_sounds_are_put_into_words_that_the_catalogue_joins(run, tmp_path):
    time = np.arange(16_000) / 16_000
    for number in range(12):
        sound = 0.02 * (number + 1) * np.sin(2 * np.pi * 100 * (number + 1) * time)
        soundfile.write(tmp_path / f"{number}.wav", sound, 16_000)
    rows = [(str(number), f"Song {number}", f"{number}.wav") for number in range(12)]
    write_csv(tmp_path / "items.csv", ("item_id", "title", "audio"), rows)
    recipe, output = tmp_path / "recipe.yaml", tmp_path / "sounds.jsonl"
    facts = f"{{table: {output}, by: item_id}}"
    recipe.write_text(
        f"data: {{items: {tmp_path / 'items.csv'}, facts: {facts}}}\nencoders: {{cache: {tmp_path / 'cache'}}}\n"
    )
    code, out, _ = run("sounds", "--config", recipe, "--output", output, "--json", "-q")
    assert code == 0 and {"word": "quiet", "items": 2} in json.loads(out)
    data = DataConfig(items=str(tmp_path / "items.csv"), facts={"table": str(output), "by": "item_id"})
    assert "quiet" in Catalogue.load(data.items, data)[0].attributes["sound"]
    refused(run("sounds", "--config", recipe, "--output", output, "--tags", "whisper-tiny.en"), "is no tagger of music")
    write_csv(tmp_path / "items.csv", ("item_id", "title"), [("1", "a"), ("2", "b")])
    refused(run("sounds", "--config", recipe, "--output", tmp_path / "none.jsonl", "-q"), "no item has a sound")


def test_duplicate_item_ids(run, recipe, tmp_path):
    write_csv(tmp_path / "items.csv", ("item_id", "title"), [("101", "a"), ("101", "b")])
    settings = ("--set", f"data.items={tmp_path / 'items.csv'}")
    refused(run("encode", "--config", recipe, "-q", *settings), "items.csv, line 3", "'101', first in line 2")


@pytest.mark.parametrize(
    ("name", "content", "column"),
    [
        ("cut.jpg", "jpeg", "image"),
        ("text.wav", b"this is no sound", "audio"),
        ("empty.jpg", b"", "image"),
        ("empty.wav", b"", "audio"),
    ],
)
def test_damaged_media(run, tmp_path, name, content, column):
    path = tmp_path / name
    if content == "jpeg":
        noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(noise).save(path)
        content = path.read_bytes()[:900]
    path.write_bytes(content)
    write_csv(tmp_path / "items.csv", ("item_id", "title", column), [("101", "a", name)])
    code, out, _ = run("validate", "--items", tmp_path / "items.csv")
    assert code == 2 and name in out and "hint" in out


def test_all_bad_rows_are_listed_on_demand(run, tmp_path):
    write_csv(tmp_path / "items.csv", ("item_id", "title"), [("1", "a")] * 9)
    asked = ("validate", "--items", tmp_path / "items.csv", "-q")
    (code, out, _), (_, every, _) = run(*asked), run(*asked, "--all")
    assert code == 2 and out.count("duplicate item id") == 5 and "... and 3 more; --all lists them" in out
    assert every.count("duplicate item id") == 8 and "--all" not in every


def test_ids_that_look_like_smileys_stay_ids(run, tmp_path):
    write_csv(tmp_path / "items.csv", ("item_id", "title"), [("shop:a:17", "a"), ("shop:a:17", "b")])
    code, out, _ = run("validate", "--items", tmp_path / "items.csv", "--json")
    assert code == 2 and "shop:a:17" in json.dumps(json.loads(out))


def test_validate_reads_raw_tables_as_they_are_and_says_what_it_found(run, tmp_path, caplog):
    say_once.cache_clear()
    (tmp_path / "artists.dat").write_bytes("id\tname\n1\tSigur Rós\n2\t!!!\n".encode("latin-1"))
    (tmp_path / "plays.csv").write_text("userID;artistID;weight\n2;1;9\n2;7;5\n2.0;2.0;3\n")
    (tmp_path / "data.yaml").write_text(
        "data:\n  columns: {item_id: id, title: name, user_id: userID, rating: weight}\n"
        "  interactions_table: {columns: {item_id: artistID}}\n"
    )
    command = ("validate", "--items", tmp_path / "artists.dat", "--interactions", tmp_path / "plays.csv")
    code, out, _ = run(*command, "--config", tmp_path / "data.yaml")
    assert code == 2 and "plays.csv, line 3: artistID: unknown item id '7'" in out
    assert "artists.dat: read as cp1252, fields are separated by tabs" in caplog.text
    assert "plays.csv: fields are separated by semicolons" in caplog.text
    (tmp_path / "data.yaml").write_text((tmp_path / "data.yaml").read_text() + "  on_error: drop\n")
    code, out, _ = run(*command, "--config", tmp_path / "data.yaml")
    assert code == 0 and "2 interactions of 1 users" in out
    assert "1 rows with errors are left out, as data.on_error says" in out
    assert "the order of the file is taken" in out


def test_an_unknown_column_key_of_one_table_is_refused(run, tmp_path):
    (tmp_path / "data.yaml").write_text("data:\n  items_table: {columns: {itemid: id}}\n")
    answer = run("validate", "--items", "movielens-100k", "--config", tmp_path / "data.yaml")
    refused(answer, "data.items_table.columns", "item_id")


def test_validate_looks_at_as_much_of_a_video_as_the_config_encodes(run, tmp_path):
    make_video(tmp_path / "a.mp4", scenes=(RED, BLUE), mute_seconds=1)
    (tmp_path / "items.csv").write_text("item_id,title,video\n1,One,a.mp4\n")
    for seconds, silent in ((2, 0), (0.5, 1)):
        encoders = f"encoders: {{video_seconds: {seconds}}}"
        (tmp_path / "mine.yaml").write_text(f"data: {{items: {tmp_path / 'items.csv'}}}\n{encoders}\n")
        code, out, _ = run("validate", "--config", tmp_path / "mine.yaml", "--json")
        assert code == 0 and json.loads(out)["counts"].get("silent-video", 0) == silent


def test_validate_takes_the_tables_of_the_config(run, tables, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        f"data: {{items: {tables / 'items.csv'}, interactions: {tables / 'interactions.csv'}}}\n"
    )
    both = run("validate", "--items", tables / "items.csv", "--interactions", tables / "interactions.csv", "--json")
    assert run("validate", "--config", tmp_path / "mine.yaml", "--json")[:2] == both[:2]
    code, _, err = run("validate")
    assert code == 2 and "--config" in err


def test_pictures_are_put_into_words(run, tmp_path, image_folder):
    tower = with_classifier(image_folder, tmp_path / "tower", {DOG: 12.0})
    picture(0).save(tmp_path / "0.png")
    write_csv(tmp_path / "items.csv", ("item_id", "title", "image"), [("1", "a", "0.png"), ("2", "b", "")])
    recipe, output = tmp_path / "recipe.yaml", tmp_path / "shown.jsonl"
    encoders = f"{{text: null, audio: null, image: {tower}, cache: {tmp_path / 'cache'}}}"
    recipe.write_text(f"data: {{items: {tmp_path / 'items.csv'}}}\nencoders: {encoders}\n")
    code, out, _ = run("pictures", "--config", recipe, "--output", output, "--json", "-q")
    assert code == 0 and json.loads(out) == [{"word": "dog", "items": 1}]
    assert json.loads(output.read_text()) == {"item_id": "1", "shown": ["dog"]}
    code, out, _ = run(
        "pictures", "--config", recipe, "--output", output, "--classes", "--least", "0.1", "--json", "-q"
    )
    assert code == 0 and "dog" not in out and "Terrier" in out
    without = ("--set", f"encoders.image={image_folder}")
    refused(run("pictures", "--config", recipe, "--output", output, "-q", *without), "neither a classifier")
