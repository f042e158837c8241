"""The command line in this process, and a tiny checkpoint trained through it."""

import csv
import sys

import pytest
import yaml

from recommender.cli import main


@pytest.fixture
def run(capsys, monkeypatch):
    """Run the command line; returns exit code, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["recommender", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    return call


def refused(result, *expected):
    """Assert exit code 2 and one line that holds these texts, with a hint at most."""
    code, out, err = result
    assert code == 2 and out == ""
    lines = err.strip().splitlines()
    assert len(lines) <= 2 and lines[0].startswith("error: ") and "Traceback" not in err
    for text in expected:
        assert text in err, err


def write_csv(path, header, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture(scope="session")
def tables(tmp_path_factory, catalogue, histories):
    """items.csv, interactions.csv and recipe.yaml of the tiny world."""
    folder = tmp_path_factory.mktemp("tables")
    rows = [(i.item_id, i.title, "|".join(i.attributes["genres"]), i.attributes["year"][0]) for i in catalogue]
    write_csv(folder / "items.csv", ("item_id", "title", "genres", "year"), rows)
    events = [(f"u{u}", catalogue[int(i)].item_id, t) for u, h in enumerate(histories) for t, i in enumerate(h)]
    write_csv(folder / "interactions.csv", ("user_id", "item_id", "timestamp"), events)
    return folder


@pytest.fixture(scope="session")
def recipe(tables, llm_folder):
    settings = {
        "data": {"items": str(tables / "items.csv"), "interactions": str(tables / "interactions.csv")},
        "base": {"llm": str(llm_folder), "dtype": "float32", "rank_layers": 2},
        "encoders": {"text": None, "image": None, "audio": None, "collaborative_width": 4},
        "lora": {"r": 4, "lora_alpha": 8},
        "prompt": {"history": 6, "titled": 2, "noun": "films"},
        "justify": {"window": 4, "max_new_tokens": 8, "examples": 60},
        "training": {
            "stages": [
                {"stage": "align", "epochs": 9, "max_steps": 2, "batch_tokens": 128, "row_tokens": 64},
                {"stage": "rank", "epochs": 9, "max_steps": 4, "batch_tokens": 128, "row_tokens": 64},
                {"stage": "explain", "epochs": 9, "max_steps": 1, "batch_tokens": 128, "row_tokens": 128},
            ]
        },
    }
    path = tables / "recipe.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture
def text_recipe(recipe, tmp_path, text_folder):
    """The recipe with a text encoder: what nobody has seen is known by its content alone."""
    settings = yaml.safe_load(recipe.read_text())
    settings["encoders"] |= {"text": str(text_folder), "width": 4, "cache": str(tmp_path / "encodings")}
    settings["training"]["stages"] = settings["training"]["stages"][1:2]
    path = tmp_path / "text.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(scope="session")
def trained(recipe, tmp_path_factory):
    """A checkpoint trained through the command line."""
    folder = tmp_path_factory.mktemp("trained") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["recommender", "train", "--config", str(recipe), "--output", str(folder), "-q"])
        with pytest.raises(SystemExit) as exit_:
            main()
    assert not exit_.value.code
    return folder
