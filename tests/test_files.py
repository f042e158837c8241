"""Files and folders appear whole, and one process at a time writes them."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from recommender import files
from recommender.errors import RecommenderError
from recommender.files import (
    locked,
    replacing,
    replacing_folder,
    sampled_digest,
    write_bytes,
    write_text,
    write_together,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_takes_the_place_of_what_was_there(tmp_path):
    path = tmp_path / "new" / "report.csv"
    for text in ("one\r\n", "zwei\nä"):
        write_text(path, text)
        assert path.read_bytes() == text.encode()
    write_bytes(path, b"\x00")
    assert path.read_bytes() == b"\x00" and names(path.parent) == ["report.csv"]


def test_a_failure_leaves_what_was_there_and_nothing_beside_it(tmp_path):
    path = tmp_path / "state.npz"
    path.write_text("before")
    with pytest.raises(ValueError, match="disk"), replacing(path) as temporary:
        assert temporary.suffix == ".npz" and temporary.parent == tmp_path
        temporary.write_text("half")
        assert path.read_text() == "before"
        raise ValueError("disk")
    assert path.read_text() == "before" and names(tmp_path) == ["state.npz"]


def test_files_that_belong_together_appear_together(tmp_path, monkeypatch):
    write_together(tmp_path / "report", {"a.json": b"1", "b.json": b"1"})
    order, rename = [], os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: order.append(os.path.basename(new)) or rename(old, new))
    write_together(tmp_path / "report", {"b.json": b"2", "a.json": b"2"})
    assert order == ["b.json", "a.json"]
    assert [(tmp_path / "report" / name).read_bytes() for name in names(tmp_path / "report")] == [b"2", b"2"]


def test_nothing_changes_if_one_of_the_files_cannot_be_written(tmp_path):
    write_together(tmp_path, {"a.json": b"1", "b.json": b"1"})
    with pytest.raises(TypeError):
        write_together(tmp_path, {"a.json": b"2", "b.json": None})
    assert names(tmp_path) == ["a.json", "b.json"] and (tmp_path / "a.json").read_bytes() == b"1"


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "old.txt").write_text("old")
    with pytest.raises(RuntimeError), replacing_folder(target) as folder:
        (folder / "new.txt").write_text("half")
        raise RuntimeError
    assert names(target) == ["old.txt"]
    with replacing_folder(target) as folder:
        (folder / "new.txt").write_text("new")
    assert names(target) == ["new.txt"] and names(tmp_path) == ["model"]


def test_what_a_library_wrote_for_its_owner_alone_can_be_read_by_others(tmp_path):
    (tmp_path / "usual").touch()
    usual = (tmp_path / "usual").stat().st_mode
    tensors = {"a": torch.zeros(2)}
    with replacing(tmp_path / "one.safetensors") as temporary:
        save_file(tensors, temporary)
    with replacing_folder(tmp_path / "folder") as folder:
        (folder / "deep").mkdir()
        save_file(tensors, folder / "deep" / "two.safetensors")
    for written in tmp_path.rglob("*.safetensors"):
        assert written.stat().st_mode == usual


def test_readers_never_see_half_a_file(tmp_path):
    path = tmp_path / "page.html"
    write_text(path, "0" * 100_000)
    seen, stop = set(), threading.Event()

    def read():
        while not stop.is_set():
            text = path.read_text()
            seen.add((len(text), len(set(text))))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        write_text(path, str(number % 10) * 100_000)
    stop.set()
    reader.join()
    assert seen == {(100_000, 1)}


# --- one at a time

HOLDER = """
import sys, time
from pathlib import Path
from recommender.files import locked, replacing, replacing_folder
target = Path(sys.argv[1])
with locked(target, "training"), replacing_folder(target) as folder, replacing(target.with_name("model.csv")) as file:
    (folder / "half").touch()
    file.touch()
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that is writing a folder; returns the process and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "model"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n", process.stderr.read()
    yield process, tmp_path / "model"
    process.kill()
    process.communicate()


def test_the_second_one_is_told_who_holds_a_target(holder):
    process, target = holder
    said = rf"model: is held by process {process.pid} on .* \(training, since 20..-.* UTC\)"
    with pytest.raises(RecommenderError, match=said) as error, locked(target, "extend"):
        pass
    assert "wait until it ends" in error.value.hint


def test_another_name_of_a_target_is_the_same_target(holder):
    _, target = holder
    (target.parent / "link").symlink_to(target.parent)
    with pytest.raises(RecommenderError, match="is held by"), locked(target.parent / "link" / "model", "extend"):
        pass


def test_a_killed_holder_holds_nothing_and_what_it_left_is_removed(holder):
    process, target = holder
    process.kill()
    process.wait()
    assert len(names(target.parent)) == 3  # lock, folder, file
    with locked(target, "extend"), locked(target.with_name("model.csv"), "extend"):
        assert [name for name in names(target.parent) if name.endswith((".tmp", ".csv"))] == []
    assert names(target.parent) == []


def test_what_a_killed_writer_left_beside_a_link_is_removed_too(tmp_path):
    (tmp_path / "disk" / "model").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "disk" / "model")
    process = subprocess.Popen([sys.executable, "-c", HOLDER, link], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    process.kill()
    process.communicate()
    assert len(names(tmp_path)) == 4  # disk, link, folder, file
    with locked(link, "extend"), locked(tmp_path / "model.csv", "extend"):
        pass
    assert names(tmp_path) == ["disk", "link"] and names(tmp_path / "disk") == ["model"]


def test_who_waits_gets_it_when_it_is_free(holder, caplog):
    process, target = holder
    threading.Timer(0.3, process.kill).start()
    with locked(target, "extend", wait=True):
        assert f"waiting for process {process.pid}" in caplog.text


def test_a_thread_may_take_it_again_and_another_thread_not(tmp_path):
    refused = []

    def take():
        try:
            with locked(tmp_path / "model", "export"):
                pass
        except RecommenderError as error:
            refused.append(str(error))

    with locked(tmp_path / "model", "extend"):
        take()
        assert refused == []
        other = threading.Thread(target=take)
        other.start()
        other.join()
    assert len(refused) == 1 and f"process {os.getpid()}" in refused[0]
    take()
    assert len(refused) == 1 and names(tmp_path) == []


def test_leftovers_of_other_targets_stay(tmp_path):
    others = [".model.b.1-1.tmp", ".model2.1-1.tmp", ".model.tmp", "model.1-1.tmp"]
    for name in [*others, ".model.1-1.tmp", ".model.22-3.tmp"]:
        (tmp_path / name).mkdir()
    with locked(tmp_path / "model", "extend"):
        pass
    assert names(tmp_path) == sorted(others)


def test_a_folder_that_was_set_aside_when_its_writer_was_killed_is_put_back(tmp_path):
    (tmp_path / ".model.7-7.old").mkdir()
    (tmp_path / ".model.7-7.old" / "a").touch()
    with locked(tmp_path / "model", "extend"):
        assert names(tmp_path / "model") == ["a"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux swaps two folders in one step")
def test_readers_find_a_whole_folder_at_any_moment(tmp_path):
    target, stop, missing = tmp_path / "model", threading.Event(), []
    target.mkdir()
    (target / "a").touch()

    def read():
        while not stop.is_set():
            if not (target / "a").exists():
                missing.append(1)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(200):
        with replacing_folder(target) as folder:
            (folder / "a").touch()
    stop.set()
    reader.join()
    assert not missing


def test_where_the_system_cannot_swap_folders_are_renamed(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_exchange", lambda one, other: False)
    for text in ("old", "new"):
        with replacing_folder(tmp_path / "model") as folder:
            (folder / text).touch()
    assert names(tmp_path / "model") == ["new"] and names(tmp_path) == ["model"]


def test_threads_write_one_file_under_names_of_their_own(tmp_path):
    with replacing(tmp_path / "a.csv") as mine:
        other = threading.Thread(target=write_text, args=(tmp_path / "a.csv", "other"))
        mine.write_text("mine")
        other.start()
        other.join()
    assert (tmp_path / "a.csv").read_text() == "mine"


def test_samples_tell_other_content_and_a_zeroed_part(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(1 << 16) * 400)
    before = sampled_digest(path)
    with path.open("rb+") as file:
        file.seek(7 << 20)
        file.write(bytes(2 << 20))
    assert sampled_digest(path) != before
    path.write_bytes(b"small")
    assert sampled_digest(path) != before


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_locks_nothing(tmp_path, kind):
    other, lock = tmp_path / "precious.txt", tmp_path / ".out.lock"
    other.write_text("precious")
    {"link": lambda: lock.symlink_to(other), "pipe": lambda: os.mkfifo(lock), "folder": lock.mkdir}[kind]()
    with pytest.raises(RecommenderError, match=r"\.out\.lock"), locked(tmp_path / "out", "a test"):
        pass
    assert other.read_text() == "precious"


NO_NAMES = ["a" * 5000, "n" * 300, "b/" * 3000, "a\0b", "\ud800", "loop", "file/inside"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_no_file_can_have_are_one_error_at_every_edge(tmp_path, monkeypatch, name):
    from recommender import assets
    from recommender.batch.request_files import read_requests
    from recommender.data.catalogue import Catalogue
    from recommender.engine import Recommender
    from recommender.engine.trace import load as read_trace
    from recommender.model.checkpoint import item_ids_of
    from recommender.model.manifest import check_target
    from recommender.store.feedback import FeedbackStore

    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    Path("file").write_text("")
    edges = [
        lambda: Recommender.from_pretrained(name),
        lambda: item_ids_of(name),
        lambda: Catalogue.load(name),
        lambda: Catalogue.load(f"{name}.csv"),
        lambda: list(read_requests(Path(f"{name}.jsonl"))),
        lambda: read_trace(Path(name)),
        lambda: assets.fetch(name),
    ]
    for edge in edges:
        with pytest.raises(RecommenderError) as error:
            edge()
        assert len(error.value.message) < 12_000 and "\n" not in str(error.value) and "\0" not in str(error.value)
    if name not in ("loop", "file/inside"):
        for edge in (
            lambda: check_target(Path(name)),
            lambda: FeedbackStore(Path(name)),
            lambda: assets.identity(name),
        ):
            with pytest.raises(RecommenderError):
                edge()


def test_the_home_of_nobody_is_one_error():
    from recommender import assets

    for ask in (assets.fetch, assets.identity):
        with pytest.raises(RecommenderError, match="no user has that home"):
            ask("~nobody-of-this-name/model")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet", ".csv.gz", ".tsv", ".json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_tables_and_requests_are_plain_files(tmp_path, suffix, kind):
    import socket

    from recommender.batch.request_files import read_requests
    from recommender.data.catalogue import Catalogue, Item
    from recommender.data.histories import Histories

    path = tmp_path / f"items{suffix}"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        socket.socket(socket.AF_UNIX).bind(str(path))
    catalogue = Catalogue([Item(item_id="a", title="A")])
    edges = [lambda: Catalogue.load(path), lambda: Histories.load(path, catalogue)]
    if suffix in (".jsonl", ".parquet"):
        edges.append(lambda: list(read_requests(path)))
    for edge in edges:
        with pytest.raises(RecommenderError, match="expected a plain file"):
            edge()


@pytest.mark.parametrize("make", ["pipe", "device", "full", "folder"])
def test_what_is_no_plain_file_is_never_replaced(tmp_path, make):
    path = tmp_path / "out"
    if make == "pipe":
        os.mkfifo(path)
    elif make == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/null" if make == "device" else "/dev/full")
    before = path.lstat()
    for write in (
        lambda: write_text(path, "x"),
        lambda: write_together(tmp_path, {"a": b"1", "out": b"2"}),
        lambda: files.check_output_file(path),
    ):
        with pytest.raises(RecommenderError, match="expected a plain file"):
            write()
    assert os.path.samestat(path.lstat(), before) and names(tmp_path) == ["out"]


@pytest.mark.parametrize("place", ["/proc/x.json", "/proc/self/x.json", "/dev/full/x.json", "/sys/x/y.json"])
def test_outputs_that_cannot_be_are_refused_before_the_work(place):
    with pytest.raises(RecommenderError, match="cannot be made"):
        files.check_output_file(Path(place))
    with pytest.raises(RecommenderError, match="cannot be written there"), locked(Path(place), "a test"):
        pass


def test_an_output_that_can_be_is_left_as_it_is(tmp_path):
    (tmp_path / "there").write_text("x")
    files.check_output_file(tmp_path / "there")
    files.check_output_file(tmp_path / "a" / "b" / "c.json")
    assert names(tmp_path) == ["there"]


def test_a_full_disk_names_the_output(tmp_path):
    with pytest.raises(OSError) as error, replacing(tmp_path / "out.json") as temporary:
        temporary.symlink_to("/dev/full")
        with temporary.open("w") as file:
            file.write("x")
    assert error.value.filename == str(tmp_path / "out.json") and not names(tmp_path)


def holding(target):
    """Start a process that holds a target until its standard input closes."""
    code = (
        "import sys; from pathlib import Path; from recommender.files import locked\n"
        "with locked(Path(sys.argv[1]), 'training'): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(target)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("run", "run/out.jsonl"),
        ("run", "run/a/b/c/out.jsonl"),
        ("run/out.jsonl", "run"),
        ("run/a/b/out.jsonl", "run"),
        ("run/a", "run"),
        ("link/out.jsonl", "run"),
        ("run", "link/out.jsonl"),
    ],
)
def test_a_folder_and_what_lies_in_it_have_one_holder(tmp_path, theirs, ours):
    (tmp_path / "run" / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "link").symlink_to("run")
    process = holding(tmp_path / theirs)
    try:
        with pytest.raises(RecommenderError, match=f"held by process {process.pid}"), locked(tmp_path / ours, "a test"):
            pass
        with locked(tmp_path / "run2", "a test"), locked(tmp_path / "run.jsonl", "a test"):
            pass
    finally:
        process.communicate("")
    with locked(tmp_path / ours, "a test"), locked(tmp_path / theirs, "a test"):  # within its own block it may
        pass
    assert not list(tmp_path.rglob(".*.lock"))
