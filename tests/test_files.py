"""Atomic writes of files and folders."""

import os
import threading

import pytest

from recommender.files import replacing, replacing_folder, write_bytes, write_text, write_together


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
