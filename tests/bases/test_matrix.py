"""Every base that is served computes what its own code in transformers does; every other one is refused by one line.

The default tests try each family once; `-m slow` tries all cells of the table in docs/base-models.md.
"""

from __future__ import annotations

import pytest

from recommender.errors import ConfigError
from recommender.model import load_llm
from tests.bases import matrix
from tests.bases.families import REFUSED, SERVED

QUICK = tuple(family for family in SERVED if family.quick)
EXPORTED = ("Gemma 3, multimodal", "Granite", "gpt-oss", "Phi-3")


def named(families):
    return [pytest.param(family, id=family.name) for family in families]


@pytest.fixture(scope="module")
def make_world(tmp_path_factory):
    """Make the tiny world of a family, once."""
    made, worlds = {}, {}

    def make(family, levels=1):
        if family not in made:
            made[family] = family.make(tmp_path_factory.mktemp("base"))
        if (family, levels) not in worlds:
            worlds[family, levels] = matrix.make_world(made[family], levels)
        return worlds[family, levels]

    return make


@pytest.mark.parametrize("family", named(SERVED))
def test_lists_and_texts_are_those_of_the_base(make_world, family):
    world = make_world(family)
    matrix.check_fused(world, family)
    matrix.check_rank(world)
    matrix.check_write(world)
    matrix.check_chat(world)


@pytest.mark.parametrize("family", named(QUICK))
def test_all_stages_learn_and_rows_do_not_leak(make_world, family):
    matrix.check_train(make_world(family))


@pytest.mark.parametrize("family", named(family for family in QUICK if family.name in EXPORTED))
def test_folders_are_saved_merged_and_exported(make_world, family, tmp_path):
    world = make_world(family)
    matrix.check_save(world, tmp_path)
    matrix.check_merge(world, tmp_path)
    matrix.check_export(world, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("family", named(SERVED))
def test_every_family_does_everything(make_world, family, tmp_path):
    world = make_world(family)
    matrix.check_train(world)
    matrix.check_levels(make_world(family, 3))
    matrix.check_save(world, tmp_path)
    matrix.check_merge(world, tmp_path)
    matrix.check_export(world, tmp_path)
    matrix.check_four_bits(world.folder)


@pytest.mark.parametrize("family", named(REFUSED))
def test_a_base_that_cannot_be_served_is_refused_by_what_it_lacks(family, tmp_path):
    base = family.make(tmp_path)
    with pytest.raises(ConfigError, match=family.refused) as error:
        load_llm(matrix.settings(base).base)
    assert "\n" not in str(error.value) and error.value.hint
