import numpy as np
import pytest
import torch

from recommender.config import Config
from recommender.data.catalogue import Catalogue, Item
from recommender.errors import ConfigError
from recommender.model.checkpoint import from_pretrained, save_pretrained
from recommender.pipelines.rows_taken_over import take_over_rows
from tests.conftest import write_tables


@pytest.fixture
def other(make_checkpoint, config, tmp_path, catalogue, histories):
    """A checkpoint of the tiny world with other rows, and its table."""
    tables = write_tables(tmp_path, catalogue, histories)
    checkpoint = make_checkpoint(1, config.updated({f"data.{name}": path for name, path in tables.items()}))
    with torch.no_grad():
        checkpoint.model.rows.normal_(generator=torch.Generator().manual_seed(5))
    save_pretrained(checkpoint, tmp_path / "other")
    return tmp_path / "other", tables["items"]


def renamed(catalogue: Catalogue, unknown: int) -> Catalogue:
    """Return the catalogue backwards under other ids; the first `unknown` items have titles that nobody knows."""
    items = [*catalogue][::-1]
    return Catalogue(
        Item(f"x{n}", f"Something else {n}" if n < unknown else item.title, attributes=item.attributes)
        for n, item in enumerate(items)
    )


def test_items_of_the_same_title_and_year_begin_where_they_lie_there(make_checkpoint, config, other, catalogue):
    folder, table = other
    settings = config.updated({"base.adapter": str(folder), "base.adapter_items": table})
    checkpoint, mine = make_checkpoint(1, settings), renamed(catalogue, 3)
    known = take_over_rows(checkpoint.model, mine, settings)
    theirs = from_pretrained(folder, table).model.all_embeddings().flip(0)
    ours = checkpoint.model.all_embeddings()
    assert known == len(catalogue) - 3
    assert torch.allclose(ours[3:], theirs[3:], atol=1e-3)
    spread = (theirs[3:] - theirs[3:].mean(0)).norm(dim=1).mean()
    assert torch.allclose((ours[:3] - theirs[3:].mean(0)).norm(dim=1), spread.expand(3), rtol=0.01)


def test_what_cannot_be_taken_over_is_said_in_one_line(make_checkpoint, config, other, catalogue):
    folder, table = other
    settings = config.updated({"base.adapter": str(folder), "base.adapter_items": table})
    with pytest.raises(ConfigError, match="none of the 20 items is in"):
        take_over_rows(make_checkpoint(1, settings).model, renamed(catalogue, 20), settings)
    with pytest.raises(ConfigError, match="with several levels items share rows"):
        take_over_rows(make_checkpoint(3, settings).model, catalogue, settings)
    with pytest.raises(ConfigError, match="no base.adapter is named"):
        Config.parse({"base": {"adapter_items": "items.csv"}})
    assert np.isfinite(make_checkpoint(1, settings).model.rows.detach().numpy()).all()
