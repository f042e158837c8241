"""Which versions of an export share a server of vLLM, and how long it lives. A recorder stands for the server."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from recommender.engine import vllm_parts
from recommender.engine.vllm_parts import ServedPart, SharedScratch, is_version
from recommender.errors import RecommenderError
from recommender.model.manifest import write_manifest


class RecordedServer:
    """Keeps what it was told. `refuses`: an adapter that it does not take."""

    def __init__(self, folder, adapters, flags, constrained, pin):
        self.adapters, self.told, self.closed, self.refuses = dict(adapters), [], False, None

    def load_adapter(self, name, folder):
        if name == self.refuses:
            raise RecommenderError(f"refused {name}")
        self.adapters[name] = folder

    def unload_adapter(self, name):
        del self.adapters[name]

    def close(self):
        self.closed = True


@pytest.fixture
def export(tmp_path, monkeypatch):
    """Make exports of a base, an adapter's weights, and its form."""
    monkeypatch.setattr(vllm_parts, "VllmServer", RecordedServer)

    def made(name, base="rows", weights="one", form='{"r": 8}'):
        folder = tmp_path / name
        for file, text in {
            "rank/model.safetensors": base,
            "lora/rank/adapter_model.safetensors": weights,
            "lora/rank/adapter_config.json": form,
            "prompting/config.yaml": name,
        }.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        write_manifest(folder, {"format": 2})
        return SimpleNamespace(folder=folder, pin=None)

    return made


def serve(exported, scratch=None):
    return ServedPart(exported, "rank", "rank", (), True, scratch)


def test_another_adapter_on_the_same_base_is_loaded_under_a_name_of_its_own(export):
    first, second = export("first"), export("second", weights="two")
    part = serve(first)
    assert part.serves(second, "rank", "rank")
    name = part.take(second, "rank", "rank")
    assert name != "rank" and is_version(name, "rank")
    assert part.server.adapters == {"rank": first.folder / "lora/rank", name: second.folder / "lora/rank"}
    part.let_go("rank")
    assert list(part.server.adapters) == [name] and not part.server.closed
    assert part.take(export("third", weights="two"), "rank", "rank") == name
    part.let_go(name)
    assert not part.server.closed
    part.let_go(name)
    assert part.server.closed


@pytest.mark.parametrize("change", [{"base": "other rows"}, {"form": '{"r": 64}'}])
def test_another_base_or_form_needs_a_server_of_its_own(export, change):
    assert not serve(export("first")).serves(export("second", **change), "rank", "rank")


def test_the_same_adapter_is_not_loaded_twice(export):
    part = serve(export("first"))
    assert part.take(export("again"), "rank", "rank") == "rank" and list(part.server.adapters) == ["rank"]
    part.let_go("rank")
    assert not part.server.closed


def test_an_adapter_that_is_refused_changes_nothing(export):
    part, second = serve(export("first")), export("second", weights="two")
    part.server.refuses = vllm_parts.version_name("rank", vllm_parts._digests(second.folder, "rank", "rank")[1])
    with pytest.raises(RecommenderError, match="refused"):
        part.take(second, "rank", "rank")
    part.let_go("rank")
    assert part.server.closed


def test_what_a_server_was_started_from_stays_until_it_ends(export):
    scratch = SharedScratch()
    part = serve(export("first"), scratch)
    name = part.take(export("second", weights="two"), "rank", "rank")
    scratch.let_go()  # the version that made it
    part.let_go("rank")
    assert scratch.folder.is_dir()
    part.let_go(name)
    assert not scratch.folder.exists()


def test_names_of_versions_are_told_from_other_names():
    assert is_version("rank", "rank") and is_version("rank@1f", "rank") and not is_version("rank-2", "rank")
