"""A served process that is told to end answers first what it has begun."""

import pytest

from recommender.data.catalogue import Catalogue
from recommender.model.checkpoint import save_pretrained
from tests.conftest import write_tables
from tests.server.http_server import check_that_it_drains


@pytest.mark.parametrize("stream", [False, True])
def test_sigterm_drains(make_checkpoint, catalogue, histories, config, tmp_path, stream):
    tables = write_tables(tmp_path, catalogue, histories)
    checkpoint = make_checkpoint(settings=config.updated({"data.items": tables["items"], "justify.max_new_tokens": 60}))
    checkpoint.catalogue = Catalogue.load(tables["items"])
    save_pretrained(checkpoint, tmp_path / "model")
    check_that_it_drains(str(tmp_path / "model"), stream=stream)
