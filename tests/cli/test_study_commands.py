"""Studies: what was typed reaches the study, and its tables are printed and written."""

import json
from types import SimpleNamespace

import pytest

from recommender.cli import study_commands
from recommender.errors import RecommenderError
from tests.cli.conftest import refused


def test_queries_prints_the_table_and_who_met_what_was_asked(run, trained, tmp_path):
    asked = ("study", "queries", trained, "--attribute", "genres", "--users", 4, "-q")
    code, out, _ = run(*asked, "--output", tmp_path / "report", "--json")
    result = json.loads(out)
    assert code == 0 and result["models"] and all(0 <= share <= 1 for share in result["met"].values())
    assert (tmp_path / "report" / "report.html").is_file()
    code, out, _ = run("study", "wishes", *asked[2:], "--output", tmp_path / "again")
    assert code == 0 and "what was asked for" in out


def test_signal(run, text_recipe):
    asked = ("study", "signal", "--config", text_recipe, "--set", "encoders.collaborative_width=4", "-q")
    code, out, _ = run(*asked, "--json")
    assert code == 0 and json.loads(out)["items"]
    code, out, _ = run(*asked)
    assert code == 0 and "predicted from" in out and "text" in out


def test_ablation_and_cold_hand_over_their_recipes(run, recipe, tmp_path, monkeypatch):
    calls = {}

    def remember(name, result):
        def study(*arguments, **named):
            calls[name] = arguments
            return result

        return study

    monkeypatch.setattr("recommender.studies.ablation.ablation_study", remember("ablation", "evaluation"))
    study = SimpleNamespace(cold="cold table", known="known table")
    monkeypatch.setattr("recommender.studies.cold_start.cold_start_study", remember("cold", study))
    monkeypatch.setattr("recommender.eval.report.write_report", lambda evaluation, folder: None)
    monkeypatch.setattr("recommender.eval.report.as_json", lambda evaluation: {"table": evaluation})
    options = ("--config", recipe, "--output", tmp_path / "out", "--json", "-q")
    variant = ("--variant", "short: prompt.history=3 prompt.titled=1")
    code, out, _ = run("study", "ablation", *options, *variant, "--seeds", "3,4", "--baselines", "ease,als")
    recipes, seeds, folder, baselines, users, _ = calls["ablation"]
    assert code == 0 and json.loads(out) == {"table": "evaluation"}
    assert recipes["short"].prompt.history == 3 and recipes["full"].prompt.history == 6
    assert (tuple(seeds), baselines, users, folder) == ((3, 4), ("ease", "als"), None, tmp_path / "out")
    code, out, _ = run("study", "cold", *options, "--share", 0.2, "--times", 1)
    assert code == 0 and json.loads(out) == {"cold": {"table": "cold table"}, "known": {"table": "known table"}}
    settings = calls["cold"][2]
    assert (settings.share, settings.times, tuple(settings.fit_seeds)) == (0.2, 1.0, (0,))


@pytest.mark.parametrize("text", ["short", ": a=1", "short: a", "short:"])
def test_variants_that_are_none(run, recipe, tmp_path, text):
    options = ("--config", recipe, "--output", tmp_path / "out", "-q")
    refused(run("study", "ablation", *options, "--variant", text), "expected NAME: KEY=VALUE")


def test_a_variant_reads_yaml_values():
    assert study_commands._variant("a b: x=null y=[1]") == ("a b", {"x": None, "y": [1]})
    with pytest.raises(RecommenderError, match="not YAML"):
        study_commands._variant("a: x=[1")


def test_conversations_of_real_people_are_answered(run, trained, tmp_path):
    messages = [{"role": "user", "content": "a comedy, please"}]
    cases = [{"messages": messages, "named": ["101"], "targets": [str(102 + n)]} for n in range(4)]
    dialogues = tmp_path / "dialogues.jsonl"
    dialogues.write_text("".join(f"{json.dumps(case)}\n" for case in cases))
    asked = ("study", "conversations", trained, "--dialogues", dialogues, "--output", tmp_path / "out", "-q")
    code, out, _ = run(*asked)
    assert code == 0 and "sum of plain signals" in out and "R@50" in out
    code, out, _ = run(*asked, "--json")
    metrics = json.loads(out)
    assert code == 0 and metrics == json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert {"recall@10", "recall@50", "listed"} <= set(metrics["models"]["popularity"])
    dialogues.write_text('{"messages": [], "named": [], "targets": []}\n')
    refused(run(*asked), "dialogues.jsonl, line 1", "messages: expected a list")


def test_justifications_are_read_and_compared_and_a_marked_sheet_is_counted(run, trained, tmp_path):
    asked = (
        "study",
        "justifications",
        trained,
        "--users",
        2,
        "--k",
        3,
        "--against",
        "plain",
        "--output",
        tmp_path,
        "-q",
    )
    code, out, _ = run(*asked)
    assert code == 0 and "vacuous" in out and "patterns" in out and "grammar faults per 100" in out
    code, out, _ = run(*asked, "--json")
    metrics = json.loads(out)
    assert code == 0 and metrics == json.loads((tmp_path / "metrics.json").read_text())
    assert set(metrics["systems"]) == {str(trained), "plain"} and metrics["about"]["seed"] == 0
    (tmp_path / "sheet.csv").write_text("number,preferred\n1,left\n2,right\n3,same\n")
    (tmp_path / "key.json").write_text('{"systems": ["a", "b"], "left": {"1": "a", "2": "b", "3": "a"}}')
    code, out, _ = run("study", "preference", tmp_path / "sheet.csv")
    assert code == 0 and "100.0% of those with a preference choose a" in out and "sign test p = 0.5" in out
    (tmp_path / "sheet.csv").write_text("number,preferred\n1,perhaps\n")
    code, _, err = run("study", "preference", tmp_path / "sheet.csv")
    assert code == 2 and "row 1" in err and "left, right or same" in err


def test_explanations_are_put_on_sheets_and_marked_sheets_are_read(run, trained, tmp_path):
    asked = ("study", "explanations", trained, "--users", 2, "--k", 1, "--people", 0, "--output", tmp_path, "-q")
    refused(run(*asked, "--readers", 1), "1 readers for 2 systems")
    code, out, _ = run(*asked, "--readers", 2, "--against", "plain", "--json")
    assert code == 0 and json.loads(out)["about"]["items"] == 2 and (tmp_path / "report.html").is_file()
    sheets = tmp_path / "sheets"
    refused(run("study", "scales", sheets), "no sheet holds a mark")
    for sheet in sheets.glob("*.csv"):
        sheet.write_text("number,transparency,effectiveness,persuasion,trust,satisfaction\n1,5,4,3,2,1\n2,5,4,3,2,1\n")
    code, out, err = run("study", "scales", sheets, "--page", tmp_path / "judged.html")
    assert code == 0 and "transparency" in out and "2 readers" in out and "few readers" in err
    assert "5.00 (5.00 to 5.00)" in (tmp_path / "judged.html").read_text()


def test_attribution_measures_what_was_asked_for(run, trained, tmp_path, monkeypatch):
    from recommender.studies.attribution_curves import MEASURES

    asked = {}
    cell = {"mean": 0.2, "low": 0.1, "high": 0.3}
    names = ("attribution", "random", "centre", "better than random", "better than centre")
    of = {"cases": 2, "compared": {measure: dict.fromkeys(names, cell) for measure in MEASURES}}
    of |= {"curves": {name: [[0.0] * 7, [0.0] * 7] for name in names[:3]}}
    of |= {f"rank correlation with {other}": cell for other in ("a random projector", "another seed")}

    def study(engine, histories, options, seed, progress):
        asked.update(histories=len(histories), fill=options.fill, seed=seed)
        return {"about": {}, "media": {"image": of}}

    monkeypatch.setattr("recommender.studies.attribution.attribution_study", study)
    options = ("study", "attribution", trained, "--output", tmp_path / "out", "--cases", 3, "-q")
    code, out, _ = run(*options, "--fill", "blur", "--seed", 5, "--json")
    assert code == 0 and json.loads(out)["media"]["image"]["cases"] == 2
    assert asked == {"histories": 3, "fill": "blur", "seed": 5} and (tmp_path / "out" / "report.html").is_file()
    code, out, err = run(*options)
    assert code == 0 and "image deletion" in out and "0.200 (0.100 to 0.300)" in out and "image, 2 cases" in err
    refused(run(*options, "--fill", "noise"), "fill is 'noise'", "mean or blur")


def test_whether_users_suffice_is_printed_or_given_as_json(run, text_recipe):
    asked = (
        "study",
        "power",
        "--config",
        text_recipe,
        "--set",
        "encoders.collaborative_width=0",
        "--worlds",
        "20",
        "-q",
    )
    code, out, _ = run(*asked, "--json")
    found = json.loads(out)
    assert code == 0 and [one["modality"] for one in found["modalities"]] == ["text"]
    code, out, _ = run(*asked)
    assert code == 0 and "upper end" in out and "found in 80 %" in out
