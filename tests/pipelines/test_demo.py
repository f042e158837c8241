"""The demo for real: raw media of all 1,682 films through the encoders, the language model, checked reasons."""

import io

import numpy as np
import pytest
from rich.console import Console

from recommender.cli.terminal import demo_data, demo_view
from recommender.pipelines.demo import FRESH_AND_SHIPPED_AGREE, run_demo

pytestmark = pytest.mark.assets


@pytest.fixture(scope="module")
def demo():
    return run_demo()


def test_ten_unseen_films_with_checked_reasons(demo):
    seen = {item.item_id for item in demo.history}
    assert len({item.item_id for item in demo.items}) == 10 and not seen & {item.item_id for item in demo.items}
    for item in demo.items:
        assert item.justification and all(claim["true"] for claim in item.evidence["claims"])
        assert {i["item_id"] for i in item.evidence["influences"]} <= seen


def test_vectors_encoded_here_are_those_of_the_adapter_and_every_modality_counts(demo):
    assert demo.agreement >= FRESH_AND_SHIPPED_AGREE and demo.fresh
    assert list(demo.effects) == ["text", "image", "audio", "collaborative"]
    for effect in demo.effects.values():
        assert effect.shape == (10,) and np.isfinite(effect).all() and np.abs(effect).max() > 1e-3


def test_what_people_see(demo):
    console = Console(file=io.StringIO(), width=160)
    console.print(demo_view(demo))
    shown = console.file.getvalue()
    for text in (demo.items[0].title, demo.history[-1].title, "stand-ins", "Seconds", "collab", "(model)"):
        assert text in shown
    assert {"history", "items", "effects", "agreement", "seconds"} == set(demo_data(demo))
