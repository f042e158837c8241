"""What all frozen encoders share."""

from __future__ import annotations

import threading
import time

import pytest

from recommender.assets.packages import ASSETS
from recommender.encoders.encoder import Lazy, embedded_identity, files_hash, loading
from recommender.errors import AssetError, RecommenderError


def test_a_lazy_model_is_built_once_whichever_thread_asks_first():
    built = []

    def build():
        time.sleep(0.02)
        built.append(1)
        return object()

    model = Lazy(build)
    assert not built
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(model())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1 and len(set(map(id, seen))) == 1


def test_a_model_that_failed_to_build_is_tried_again():
    attempts = iter([ValueError("no"), "model"])

    def build():
        attempt = next(attempts)
        if isinstance(attempt, Exception):
            raise attempt
        return attempt

    model = Lazy(build)
    with pytest.raises(ValueError, match="no"):
        model()
    assert model() == "model"


@pytest.mark.parametrize("error", [OSError("gone\nmore"), RuntimeError("gone"), KeyError("gone")])
def test_what_a_library_raises_is_one_line(error):
    def build():
        raise error

    with pytest.raises(AssetError, match="encoders.image: 'some-model' cannot be loaded .*gone") as caught:
        loading("some-model", "image", build)
    assert "\n" not in caught.value.message and "encoders.image" in caught.value.hint


def test_our_own_errors_are_passed_on():
    def build():
        raise RecommenderError("a missing extra", "install it")

    with pytest.raises(RecommenderError, match="^a missing extra"):
        loading("some-model", "audio", build)


def test_the_hash_follows_names_and_contents_and_not_the_order(tmp_path):
    first, second = tmp_path / "a.bin", tmp_path / "b.bin"
    first.write_bytes(b"1")
    second.write_bytes(b"2")
    before = files_hash([first, second])
    assert files_hash([second, first]) == before and len(before) == 32
    second.write_bytes(b"33")
    changed = files_hash([first, second])
    assert changed != before
    second.rename(tmp_path / "c.bin")
    assert files_hash([first, tmp_path / "c.bin"]) not in (before, changed)


def test_no_files_and_absent_files_are_refused(tmp_path):
    with pytest.raises(AssetError, match="holds no model files"):
        files_hash([])
    with pytest.raises(AssetError, match="gone.bin: cannot be read"):
        files_hash([tmp_path / "gone.bin"])


def test_an_embedded_model_is_known_by_its_pinned_package():
    asset = ASSETS["efficientnet-lite0"]
    identity = embedded_identity("efficientnet-lite0")
    assert asset.pin in identity and asset.sha256[:16] in identity and identity.endswith(str(asset.layout))
