import pytest

from recommender.data.catalogue import Catalogue
from recommender.model.checkpoint import save_pretrained
from tests.conftest import write_tables


@pytest.fixture
def model(make_checkpoint, catalogue, histories, config, tmp_path):
    """The folder of a tiny checkpoint."""
    tables = write_tables(tmp_path, catalogue, histories)
    checkpoint = make_checkpoint(settings=config.updated({"data.items": tables["items"]}))
    checkpoint.catalogue = Catalogue.load(tables["items"])
    save_pretrained(checkpoint, tmp_path / "model")
    return str(tmp_path / "model")
