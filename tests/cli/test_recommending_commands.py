"""Recommend and explain: lists, justifications, questions back; and requests that are none."""

import json
import re
import shutil

import pytest

from tests.cli.conftest import refused


def test_recommend_prints_json_that_holds(run, trained):
    code, out, _ = run("recommend", trained, "--history", "103,107,112", "--k", 5, "--json")
    items = json.loads(out)["items"]
    assert code == 0 and len({i["item_id"] for i in items}) == 5
    assert not {i["item_id"] for i in items} & {"103", "107", "112"}
    assert [i["score"] for i in items] == sorted((i["score"] for i in items), reverse=True)
    assert all(i["justification"] and i["written_by"] in ("model", "plain") for i in items)


def test_the_bits_of_the_matrices_are_chosen_by_an_option(run, trained, tmp_path):
    def scores(command, *options):
        code, out, err = run(*command, trained, "--history", "103,107", "--json", "-q", *options)
        assert code == 0, err
        return json.loads(out)

    asked = ("recommend", "--k", 5, "--no-explain")
    plain, kept = scores(asked)["items"], ("--trace", tmp_path / "kept.json")
    assert scores(asked, "--bits", 16)["items"] == plain
    rounded = {bits: scores(asked, "--bits", bits, *kept)["items"] for bits in (8, 4)}
    assert rounded[8] != plain != rounded[4] != rounded[8]
    code, out, _ = run("replay", tmp_path / "kept.json", "-q")
    assert code == 0 and "the same" in out  # with the bits that the trace tells of
    why = scores(("explain", "--item", "110"), "--bits", 4)["why"], scores(("explain", "--item", "110"))["why"]
    assert why[0] != why[1]
    assert run("chat", trained, "-m", "something", "--no-explain", "--bits", 8, "-q")[0] == 0


def test_bits_that_the_matrices_cannot_have_are_refused(run, trained, monkeypatch):
    monkeypatch.setattr("recommender.inference.layers.adopt_traits", lambda *_: "another kind of layer")
    refused(run("recommend", trained, "--bits", 8, "--no-explain", "-q"), "bits 8", "own code", "rank with 16 bits")


def test_recommend_lists_titles_years_and_ids(run, trained):
    code, out, err = run("recommend", trained, "--k", 3, "--no-explain")
    lines = out.splitlines()
    assert code == 0 and "no history" in err and len(lines) == 3
    assert all(re.fullmatch(r"[123]  The \w+ \w+ \((1990|1980)\)  id 1\d\d", line) for line in lines), out


def test_justifications_get_the_room_and_numbers_stand_behind_details(run, trained):
    asked = ("recommend", trained, "--history", "103,107", "--k", 2, "-q")
    items = json.loads(run(*asked, "--json")[1])["items"]
    _, plain, _ = run(*asked)
    assert all(item["justification"] in " ".join(plain.split()) for item in items)
    assert "score" not in plain and items[0]["written_by"] not in plain
    _, detailed, _ = run(*asked, "--details")
    assert detailed.startswith(plain.rstrip()) and "score" in detailed
    for item in items:
        assert f"{item['score']:.2f}" in detailed and item["written_by"] in detailed


@pytest.mark.parametrize("command", [["recommend"], ["chat", "-m", "something"], ["explain", "--item", "1"]])
def test_domains_are_those_of_a_joined_catalogue(run, trained, command):
    name, *more = command
    code, out, err = run(name, trained, *more, "--domains", "films,products", "-q")
    assert (code, out) == (2, "") and err.startswith("error: domains: no item is of 'films'")
    assert "the catalogue is not joined of several" in err and "Traceback" not in err


def test_filters_hold_on_the_command_line_too(run, trained):
    code, out, _ = run("recommend", trained, "--k", 5, "--filter", "genres=comedy", "--no-explain", "--json", "-q")
    ids = [int(item["item_id"]) for item in json.loads(out)["items"]]
    assert code == 0 and len(ids) == 5 and all(number % 2 == 0 for number in ids)


def test_parts_are_switched_off_on_the_command_line_too(run, trained):
    def listed(*options):
        code, out, err = run(
            "recommend", trained, "--history", "103,107", "--k", 4, "--no-explain", "--json", "-q", *options
        )
        assert code == 0, err
        return json.loads(out)

    off = listed("--without", "history,popularity", "--without-part", "collaborative")
    assert "ranked without history, popularity, collaborative" in off["notes"] and off["items"] != listed()["items"]
    refused(run("recommend", trained, "--without-part", "pictures", "-q"), "without")
    refused(run("chat", trained, "-m", "hello", "--without", "knowledge", "-q"), "cannot be switched off")
    asked = ("--item", "110", "--history", "103", "--without-part", "collaborative", "--json", "-q")
    code, out, err = run("explain", trained, *asked)
    assert code == 0, err
    assert "collaborative" not in json.loads(out)["why"]["contributions"]


def test_explain(run, trained):
    code, out, _ = run("explain", trained, "--item", "104", "--history", "103,107", "--json")
    told = json.loads(out)["why"]
    assert code == 0 and told["item_id"] == "104" and set(told["contributions"]) == {"collaborative"}
    code, out, _ = run("explain", trained, "--item", "104", "--history", "103,107")
    assert code == 0 and told["justification"][:10] in out and "No single item of your history raises the score" in out
    code, out, _ = run("explain", trained, "--item", "104", "--history", "103,107", "--shapley", 4)
    assert code == 0 and "facts shared" in out and "Shapley" in out


def test_explain_answers_questions_back(run, trained):
    asked = ("explain", trained, "--history", "103,107", "--k", 2)
    code, out, _ = run(*asked, "--not", "104", "--without", "107", "--filter", "genres=comedy", "--json")
    told = json.loads(out)
    assert code == 0 and set(told) == {"why_not", "what_if"} and told["why_not"]["rank"] >= 1
    code, out, _ = run(*asked, "--not", "103")
    assert code == 0 and "in your history already" in out.replace("\n", " ")
    for wrong, word in (
        ((), "--item"),
        (("--not", "104", "--filter", "genres"), "NAME=VALUE"),
        (("--not", "1O4"), "1O4"),
    ):
        code, _, err = run(*asked, *wrong)
        assert code == 2 and word in err


def test_an_unknown_id_in_a_history(run, trained):
    refused(run("recommend", trained, "--history", "103,1O7", "-q"), "'1O7'", "107")


def test_k_beyond_the_catalogue_gives_what_there_is(run, trained):
    code, out, err = run("recommend", trained, "--k", 21, "--no-explain")
    assert code == 0 and len(out.splitlines()) == 20 and "20 items may be recommended, 21 were asked for" in err
    code, out, err = run("recommend", trained, "--only", "", "-q")
    assert code == 0 and out.strip() == "" and "nothing is left to recommend" in err


def test_a_checkpoint_with_a_file_missing(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "broken")
    (tmp_path / "broken" / "features.safetensors").unlink()
    refused(run("recommend", tmp_path / "broken", "-q"), "features.safetensors is missing")


def test_a_damaged_checkpoint(run, trained, tmp_path):
    shutil.copytree(trained, tmp_path / "broken")
    path = tmp_path / "broken" / "adapter.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    refused(run("recommend", tmp_path / "broken", "-q"), "adapter.safetensors is damaged")


def test_a_table_that_is_not_where_the_checkpoint_says(run, trained, tmp_path):
    code, _, err = run("recommend", trained, "--history", "100", "--items", tmp_path / "gone.csv")
    assert code == 2 and "gone.csv: no such file" in err and "where the table of items is" in err


def test_no_checkpoint(run, tmp_path):
    refused(run("recommend", tmp_path / "nothing", "-q"), "no such checkpoint folder", "recommender train")


def test_a_request_that_is_none(run, trained):
    refused(run("recommend", trained, "--query", "x" * 501, "-q"), "query", "500")
    refused(run("recommend", trained, "--only", "103,1O4", "-q"), "unknown item id '1O4'")


def test_an_unknown_option_is_explained(run):
    code, out, err = run("recommend", "--histroy", "1")
    assert code == 2 and out == "" and "--histroy" in err


def test_explain_with_media_writes_a_report(run, trained, tmp_path):
    asked = ("explain", trained, "--item", "104", "--history", "103,107", "--media", tmp_path / "why")
    code, out, _ = run(*asked, "--json")
    told = json.loads(out)["media"]
    assert code == 0 and told["item_id"] == "104" and told["missing"]["picture"] == "the model reads no pictures"
    assert {path.name for path in (tmp_path / "why").iterdir()} >= {"report.json", "report.html"}
    code, out, _ = run(*asked)
    assert (
        code == 0 and "report.html" in out and "collaborative" in out and "picture: the model reads no pictures" in out
    )
    refused(run("explain", trained, "--not", "104", "--media", tmp_path / "why"), "--media", "--item")
    (tmp_path / "file").write_text("x")
    refused(run("explain", trained, "--item", "104", "--media", tmp_path / "file"), "is a file")
