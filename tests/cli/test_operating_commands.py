"""Feedback, replayed traces, the installation."""

import json


def test_a_trace_is_kept_and_replayed(run, trained, tmp_path):
    asked = ("--history", "103,107", "-q", "--trace")
    assert run("recommend", trained, "--k", 3, *asked, tmp_path / "list.json")[0] == 0
    assert run("explain", trained, "--item", "103", *asked, tmp_path / "one.json")[0] == 0
    for name in ("list", "one"):
        code, out, _ = run("replay", tmp_path / f"{name}.json", "-q")
        assert code == 0 and "the same" in out, out
    text = (tmp_path / "list.json").read_text().replace('"k": 3', '"k": 2')
    (tmp_path / "other.json").write_text(text)
    code, out, _ = run("replay", tmp_path / "other.json", "--json", "-q")
    assert code == 1 and "items" in {one["where"] for one in json.loads(out)["differences"]}
    assert run("explain", trained, "--not", "104", *asked, tmp_path / "x.json")[0] == 2
    assert run("replay", tmp_path / "none.json")[0] == 2


def test_feedback_is_kept_and_counts(run, trained, tmp_path):
    kept = tmp_path / "feedback.jsonl"
    asked = ("recommend", trained, "--history", "103,107", "--k", 3, "--no-explain", "-q", "--json", "--feedback", kept)
    first = [item["item_id"] for item in json.loads(run(*asked)[1])["items"]]
    said = ("feedback", trained, "--item", first[0], "--file", kept)
    code, out, _ = run(*said, "not for me", "--user", "ann")
    assert code == 0 and "not for me" in out
    assert first[0] in [item["item_id"] for item in json.loads(run(*asked)[1])["items"]]
    assert first[0] not in [item["item_id"] for item in json.loads(run(*asked, "--user", "ann")[1])["items"]]
    code, _, err = run(*said, "grand")
    assert code == 2 and "helpful" in err
    code, _, err = run(*said, "wrong", "--fact", "genres=opera")
    assert code == 2 and "what is known of it" in err
    code, out, _ = run("explain", trained, "--not", first[0], "--user", "ann", "--feedback", kept, "-q")
    assert code == 0 and "not for you" in out.replace("\n", " ")


def test_env_names_versions_and_assets(run):
    code, out, _ = run("env", "--json")
    facts = json.loads(out)
    assert code == 0 and facts["torch"] and "asset smollm2-135m-instruct" in facts
