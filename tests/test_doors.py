"""One id, whichever door it comes through: tables, Python, command line, HTTP, batch; and the same fields at all of them."""

from __future__ import annotations

import csv
import io
import json
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from starlette.testclient import TestClient
from typer.main import get_command

from recommender.batch import run_batch
from recommender.batch.request_lines import read_line
from recommender.chat import Chat
from recommender.chat.session import Session
from recommender.cli import app, main
from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.data.histories import Histories
from recommender.engine import Recommender, Request, make_request
from recommender.engine.counterfactual_answers import what_if
from recommender.engine.engine import Engine
from recommender.engine.trace import recorded_answer
from recommender.engine.vllm import VllmRecommender
from recommender.errors import RecommenderError
from recommender.model.checkpoint import save_pretrained
from recommender.server.app import create_app
from recommender.server.schemas import RecommendationsBody
from recommender.studies.comparison import evaluate
from recommender.studies.rankings import rank_histories
from recommender.studies.splits import by_table

RANK = "/v1/recommendations"
IDS = ["50", "181", "007", "a, b", "x=y", 'say "hi"', "9007199254740993", "-5", "nan", "NULL"]
IDS += [str(100 + n) for n in range(10)]
#: an id -> how it may be written in JSON, and so in a request of any kind
SPELLINGS = {
    "50": [50, 50.0, "50", " 50 ", "50.0"],
    "-5": [-5, -5.0, "-5", "-5.0"],
    "007": ["007", " 007"],
    "9007199254740993": [9007199254740993, "9007199254740993"],
    "a, b": ["a, b"],
    "x=y": ["x=y"],
    'say "hi"': ['say "hi"'],
    "nan": ["nan"],
    "NULL": ["NULL"],
}
CASES = [(spelling, item) for item, spellings in SPELLINGS.items() for spelling in spellings]
#: how numbers come in Python beside that
OF_PYTHON = [np.int64(50), np.float32(50), np.str_("50"), Decimal("50.0"), b"50", np.array(50)]
#: what is no id anywhere
NO_IDS = [True, None, "", " ", 50.5, [50], {"50": 1}, 2.0**53, "5\x000"]


@pytest.fixture(scope="module")
def films():
    return Catalogue(
        Item(name, f"The film {n}", attributes={"year": (str(1990 + n % 3),), "new": (str(n % 2 == 0),)})
        for n, name in enumerate(IDS)
    )


@pytest.fixture
def engine(make_checkpoint, films):
    checkpoint = make_checkpoint()
    checkpoint.catalogue = films
    return Recommender(checkpoint)


@pytest.fixture
def model(make_checkpoint, films, config, tmp_path):
    """The folder of the same checkpoint, and of its table of items."""
    with (tmp_path / "items.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [
                ("item_id", "title", "year", "new"),
                *((i.item_id, i.title, *i.attributes["year"], *i.attributes["new"]) for i in films),
            ]
        )
    checkpoint = make_checkpoint(settings=config.updated({"data.items": str(tmp_path / "items.csv")}))
    checkpoint.catalogue = Catalogue.load(tmp_path / "items.csv")
    save_pretrained(checkpoint, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def run(capsys, monkeypatch):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["recommender", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        return int(exit_.value.code or 0), captured.out, captured.err

    return call


def client_of(engine, name):
    return TestClient(create_app(engine, name), base_url="http://localhost")


def as_option(values):
    """Write values as one line of CSV, as options of the command line have them."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(values)
    return line.getvalue()


def answered(items):
    return [item["item_id"] for item in items]


# ids


@pytest.mark.parametrize(("spelling", "item"), CASES, ids=repr)
def test_every_field_of_a_request_has_one_form_of_an_id(spelling, item):
    fields = {"history": [spelling], "exclude": [spelling], "only": [spelling], "user": spelling}
    fields |= {"boosts": {spelling: 1}, "vectors": {spelling: {"image": [0.5]}}}
    request = make_request(**fields)
    assert request.history == request.exclude == request.only == (item,)
    assert list(request.boosts) == list(request.vectors) == [item] and request.user == item


def test_all_doors_rank_alike(engine, model, films, run, tmp_path):
    """The one table of cases, through Python, the command line, HTTP and batches of both kinds of files."""
    client, histories = client_of(engine, "tiny"), [[spelling] for spelling, _ in CASES]
    expected = [[i.item_id for i in engine.recommend([item], k=5, explain=False)] for _, item in CASES]
    assert [[i.item_id for i in engine.recommend(h, k=5, explain=False)] for h in histories] == expected
    asked = [client.post(RANK, json={"history": h, "k": 5}) for h in histories]
    assert [answered(answer.json()["items"]) for answer in asked] == expected
    lines = [{"custom_id": n, "history": h, "k": 5, "explain": False} for n, h in enumerate(histories)]
    (tmp_path / "in.jsonl").write_text("\ufeff" + "".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    run_batch(str(model), tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    out = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [answered(line["items"]) for line in out] == expected
    spoken = as_option(str(h[0]) for h in histories)
    code, printed, _ = run("recommend", model, "--history", spoken, "--k", 5, "--no-explain", "--json", "-q")
    whole = [i.item_id for i in engine.recommend([item for _, item in CASES], k=5, explain=False)]
    assert code == 0 and answered(json.loads(printed)["items"]) == whole


def test_both_engines_read_requests_by_the_same_code():
    for name in ("recommend", "answer", "answer_many", "_checked", "_answer_group"):
        assert getattr(VllmRecommender, name) is getattr(Recommender, name) is getattr(Engine, name)


@pytest.mark.parametrize("value", OF_PYTHON, ids=repr)
def test_numbers_of_other_libraries_are_ids_too(value):
    assert make_request(history=[value], user=value).history == ("50",) == (make_request(user=value).user,)


def test_arrays_series_and_tensors_are_lists():
    expected = ("50", "181")
    for history in (
        np.array([50, 181]),
        np.array([50.0, 181.0]),
        pd.Series([50.0, 181.0]),
        pd.Index(["50", "181"]),
        torch.tensor([50, 181]),
        (str(n) for n in (50, 181)),
        {"50": 1, "181": 2}.keys(),
    ):
        assert make_request(history=history).history == expected
    assert make_request(exclude={50, "50.0"}).exclude == ("50", "50")  # what has no order needs none


@pytest.mark.parametrize(
    "history", ["181", b"181", 181, {"50": 1}, np.array(50), {"50", "181"}], ids=lambda value: type(value).__name__
)
def test_a_history_is_a_list(engine, history):
    chat = Chat.of(engine)
    for ask in (
        lambda: engine.recommend(history),
        lambda: make_request(history=history),
        lambda: engine.explain_item(history, "101"),
        lambda: chat.reply([{"role": "user", "content": "films"}], history),
        lambda: Session.of(engine, None, history, 5, False),
    ):
        with pytest.raises(RecommenderError, match="expected a list|no order"):
            ask()


@pytest.mark.parametrize("value", NO_IDS, ids=repr)
def test_what_is_no_id_is_refused_at_every_door_and_named(engine, value):
    client = client_of(engine, "tiny")
    for field in ("history", "exclude", "only"):
        with pytest.raises(RecommenderError, match=f"{field}.1"):
            make_request(**{field: ["50", value]})
        answer = client.post(RANK, json={field: ["50", value]})
        assert answer.status_code == 400 and answer.json()["error"]["param"] == f"{field}.1"
        line = read_line(1, {"custom_id": "a", field: ["50", value]})
        assert line.request is None and f"{field}.1" in line.error


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.nan, pd.NA, pd.NaT, pd.Timestamp(0)], ids=repr)
def test_gaps_of_tables_are_no_ids(value):
    with pytest.raises(RecommenderError, match="history.0"):
        make_request(history=[value])
    with pytest.raises(RecommenderError, match="user"):
        make_request(user=value)


@pytest.mark.parametrize("field", ["boosts", "vectors"])
def test_no_item_under_two_names(field):
    value = 1.0 if field == "boosts" else {"image": [0.1]}
    with pytest.raises(RecommenderError, match="item '50' is given twice"):
        make_request(**{field: {"50": value, "50.0": value}})


def test_answers_call_items_by_their_ids(engine):
    request = make_request(history=[50.0, 181.0], k=3)
    assert engine.explain_item([50.0], 181.0)["item_id"] == "181"
    assert what_if(engine, request, [50.0])["without"][0]["item_id"] == "50"
    assert recorded_answer(engine, request, 101.0)["explains"] == "101"
    with pytest.raises(RecommenderError, match="'100' is not in the history"):
        what_if(engine, request, [100.0])


def test_feedback_of_one_person_under_every_spelling(engine, tmp_path):
    client = client_of(engine, "tiny")
    engine.feedback_policy.keep_in(tmp_path / "feedback.jsonl")
    said = {"item_id": 50.0, "opinion": "not for me", "user": 7.0}
    assert client.post("/v1/feedback", json=said).json()["item_id"] == "50"
    (tmp_path / "feedback.jsonl").open("a").write('{"item_id": 181.0, "opinion": "not for me", "user": "7.0"}\n')
    for user in (7, 7.0, "7", " 7 "):
        items = {i.item_id for i in engine.recommend([], k=20, user=user, explain=False)}
        assert len(items) == 18 and not {"50", "181"} & items
    assert len(engine.recommend([], k=20, user=" ", explain=False)) == 20  # nobody
    fact = {"item_id": "101", "opinion": "wrong", "facts": [["year", 1992.0]]}
    assert client.post("/v1/feedback", json=fact).status_code == 200


@pytest.mark.parametrize(
    ("value", "expected"), [(1991, "1991"), (1991.0, "1991"), (" 1991 ", "1991"), (np.int64(1991), "1991")]
)
def test_values_of_filters_are_texts_as_in_tables(engine, value, expected):
    request = make_request(filters={"year": value}, k=3, explain=False)
    assert request.filters == make_request(filters={"year": [value]}).filters == {"year": (expected,)}
    assert engine.answer(request) == engine.answer(request.model_copy(update={"filters": {"year": (expected,)}}))
    assert engine.recommend([], k=3, filters={"new": True}, explain=False)
    for wrong in (None, float("nan"), {}, [[1991]]):
        with pytest.raises(RecommenderError, match="filters.year"):
            make_request(filters={"year": wrong})


def test_null_is_a_field_that_is_not_given(engine):
    fields = dict.fromkeys(Request.model_fields)
    assert make_request(**fields) == make_request() and read_line(1, {"custom_id": "a", **fields}).error is None
    assert client_of(engine, "tiny").post(RANK, json=dict.fromkeys(fields)).status_code == 200
    with pytest.raises(RecommenderError, match="histroy"):
        make_request(histroy=None)


@pytest.mark.parametrize(
    ("custom_id", "expected"),
    [(1, "1"), (1.0, "1"), ("1.0", "1.0"), (" a ", " a "), (b"a", "a"), (True, None), (1.5, None), (None, None)],
)
def test_a_batch_line_is_called_what_it_was_called(custom_id, expected):
    assert read_line(1, {"custom_id": custom_id}).custom_id == expected


# tables


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "frame"])
def test_tables_read_the_ids_of_requests(films, tmp_path, kind):
    rows = [{"user_id": 5.0, "item_id": item, "position": n} for n, item in enumerate(SPELLINGS)]
    rows += [{"user_id": 5, "item_id": 50.0, "position": 99}]
    frame = pd.DataFrame(rows)
    source = tmp_path / f"interactions.{kind}"
    if kind == "csv":
        frame.astype({"user_id": object}).to_csv(source, index=False)
    elif kind == "jsonl":
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif kind == "parquet":
        pq.write_table(pa.Table.from_pandas(frame.astype({"item_id": str})), source)
    histories = Histories.load(frame if kind == "frame" else source, films)
    (history,) = histories.items
    assert histories.user_ids == ("5",)
    assert tuple(films[int(i)].item_id for i in history) == make_request(history=[*SPELLINGS, 50.0]).history
    (tmp_path / "targets.csv").write_text("user_id,item_id\n5.0,181.0\n")
    assert by_table(str(tmp_path / "targets.csv"), histories, films).targets.tolist() == [[films.index("181")]]


def test_a_parquet_file_of_requests_may_hold_floats_bytes_and_maps(tmp_path):
    schema = pa.schema(
        [
            ("custom_id", pa.float64()),
            ("history", pa.list_(pa.float64())),
            ("exclude", pa.list_(pa.binary())),
            ("boosts", pa.map_(pa.string(), pa.float64())),
        ]
    )
    rows = [{"custom_id": 1.0, "history": [50.0], "exclude": [b"181"], "boosts": [("007", 2.0)]}, {"custom_id": 2.0}]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "in.parquet")
    from recommender.batch.request_files import read_requests

    first, second = read_requests(tmp_path / "in.parquet")
    assert first.custom_id == "1" and first.request == make_request(history=["50"], exclude=["181"], boosts={"007": 2})
    assert second.custom_id == "2" and second.request == make_request()


# the fields of all doors


def test_every_keyword_is_an_option_and_a_field():
    options = {
        name.removeprefix("--")
        for parameter in get_command(app).commands["recommend"].params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    keywords = set(Request.model_fields)
    assert keywords <= options, keywords - options
    assert keywords <= set(RecommendationsBody.model_fields)
    assert read_line(1, {"custom_id": "a", **dict.fromkeys(keywords)}).error is None


def test_every_option_reaches_the_request(model, run, tmp_path, engine):
    (tmp_path / "vectors.json").write_text(json.dumps({"50.0": {"image": [0.5] * 6}}))
    given = {"history": ["50", "a, b"], "exclude": ['say "hi"', "101"], "only": [*IDS[:6], "101", "102"], "k": 4}
    given |= {"filters": {"year": ["1991", "1992"]}, "boosts": {"x=y": 5.0}, "user": "7"}
    given |= {"vectors": {"50": {"image": [0.5] * 6}}}
    options = ["--history", "50.0", "--history", '"a, b"', "--exclude", '"say ""hi""", 101', "--k", 4]
    options += ["--only", as_option(given["only"]), "--filters", "year=1991", "--filter", "year=1992"]
    options += ["--boost", "x=y=5", "--user", "7.0", "--vectors", tmp_path / "vectors.json", "--no-explain"]
    code, printed, err = run("recommend", model, *options, "--json", "-q", "--trace", tmp_path / "trace.json")
    assert code == 0, err
    kept = json.loads((tmp_path / "trace.json").read_text())["request"]
    assert make_request(**kept) == make_request(**given, explain=False)
    expected = engine.recommend(**given, explain=False)
    assert answered(json.loads(printed)["items"]) == [item.item_id for item in expected]


# fewer items than asked for


def test_a_list_of_nothing_through_all_doors(engine, model, run, tmp_path):
    client = client_of(engine, "tiny")
    for fields in ({}, {"explain": True}, {"trace": True}, {"query": "red", "boosts": {"50": 1}}):
        answer = client.post(RANK, json={"only": [], **fields})
        assert answer.status_code == 200 and answer.json()["items"] == [], answer.text
        assert answer.json()["notes"][0].startswith("nothing is left to recommend")
    stream = client.post(RANK, json={"only": [], "explain": True, "stream": True}).text
    assert "event: done" in stream and "event: justification" not in stream
    (tmp_path / "in.jsonl").write_text(
        '{"custom_id": "a", "only": []}\n{"custom_id": "b", "k": 99, "explain": false}\n'
    )
    for kind in ("jsonl", "parquet"):
        run_batch(str(model), tmp_path / "in.jsonl", tmp_path / f"out.{kind}")
    none, every = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines())
    assert none["items"] == [] and "nothing is left" in none["notes"][0]
    assert len(every["items"]) == 20 and every["notes"][0] == "20 items may be recommended, 99 were asked for"
    assert [len(json.loads(row["items"])) for row in pq.read_table(tmp_path / "out.parquet").to_pylist()] == [0, 20]
    code, out, err = run("recommend", model, "--only", "", "--trace", tmp_path / "t.json", "--json", "-q")
    assert code == 0 and json.loads(out)["items"] == [], err
    code, out, _ = run("replay", tmp_path / "t.json", "-q")
    assert code == 0 and "the same: 0 items" in out


def test_questions_back_and_chat_with_more_than_there_is(engine, model, run):
    asked = ("explain", model, "--history", "50", "--k", 99, "--json", "-q")
    code, out, err = run(*asked, "--not", "181", "--without", "50")
    assert code == 0 and json.loads(out)["why_not"]["listed"] and len(json.loads(out)["what_if"]["before"]) == 19, err
    everything = engine.recommend([], k=99, explain=False, exclude=IDS[1:])
    assert [item.item_id for item in everything] == ["50"]
    reply = Chat.of(engine).reply([{"role": "user", "content": "99 films"}], IDS[2:], 50, False)
    assert len(reply.items) == 2 and "Only 2 fit." in reply.notes


@pytest.mark.parametrize("levels", [1, 3])
def test_an_evaluation_of_fewer_items_than_its_largest_k(make_checkpoint, films, levels):
    checkpoint = make_checkpoint(levels)
    checkpoint.catalogue = films
    histories = [np.arange(18), np.arange(3), np.arange(20)]
    lists = rank_histories(Recommender(checkpoint), histories, 20)
    assert [(row >= 0).sum() for row in lists] == [2, 17, 0]
    assert set(lists[0][:2].tolist()) == {18, 19}


def test_vectors_and_numbers_may_be_of_numpy_and_torch():
    for vector in (np.ones(3, np.float32), torch.ones(3), [1, 1, 1], pd.Series([1.0, 1.0, 1.0])):
        assert make_request(vectors={50: {"image": vector}}).vectors == {"50": {"image": (1.0, 1.0, 1.0)}}
    request = make_request(k=np.int64(3), boosts={np.int64(50): np.float32(1.5)}, explain=np.bool_(False))
    assert (request.k, request.boosts, request.explain) == (3, {"50": 1.5}, False)
    with pytest.raises(RecommenderError, match="query"):
        make_request(query="\ud800")


def test_metrics_do_not_hang_on_how_ids_are_written(films, tmp_path):
    """Popularity over the same interactions in three formats, users and items spelled differently, targets in a table."""
    users = {"csv": ["5.0", "6", "7.0"], "jsonl": [5, 6.0, "7"], "parquet": [5.0, 6.0, 7.0]}
    items, found = tmp_path / "items.csv", []
    with items.open("w", newline="") as file:
        csv.writer(file).writerows([("item_id", "title"), *((item.item_id, item.title) for item in films)])
    for kind, (first, second, third) in users.items():
        rows = [(first, "50.0"), (first, "181"), (second, "50"), (second, "-5.0"), (third, "50"), (third, " 007")]
        rows = [{"user_id": user, "item_id": item, "position": place} for place, (user, item) in enumerate(rows)]
        source = tmp_path / f"interactions.{kind}"
        if kind == "csv":
            pd.DataFrame(rows).to_csv(source, index=False)
        elif kind == "jsonl":
            source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        else:
            pq.write_table(pa.Table.from_pylist(rows), source)
        targets = tmp_path / f"targets.{kind}.csv"
        targets.write_text("user_id,item_id\n5,-5.0\n6.0,181\n7,100.0\n")
        options = {"test": str(targets), "config": Config()}
        measured = evaluate(["popularity"], str(items), str(source), **options)
        assert measured.users["user"].tolist() == ["5", "6", "7"]
        found.append(measured.summary)
    assert found[0].equals(found[1]) and found[1].equals(found[2])
