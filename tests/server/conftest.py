"""The server over both engines, and over the embedded one alone where the engine makes no difference."""

import pytest

from recommender.store.master_keys import new_master_key
from recommender.store.store import Store
from tests.server.http_server import Server


@pytest.fixture(scope="module", params=["embedded", "vllm"])
def engine(request, engines):
    """Both engines answer the same tests."""
    return getattr(engines(1), request.param)


@pytest.fixture(scope="module")
def server(engine):
    served = Server(engine)
    yield served
    served.close()


@pytest.fixture(scope="module")
def embedded(engines):
    return engines(1).embedded


@pytest.fixture(scope="module")
def embedded_server(embedded):
    served = Server(embedded)
    yield served
    served.close()


@pytest.fixture
def store(tmp_path, request):
    """What a server keeps of people, and its keys; engines are shared, so they do not follow it into the next test."""
    shared = [request.getfixturevalue(name) for name in ("engine", "embedded") if name in request.fixturenames]
    new_master_key(tmp_path / "master", "a")
    opened = Store.open(tmp_path / "store.db", tmp_path / "master")
    yield opened
    for one in shared:
        one.feedback_policy.store = None
    opened.engine.dispose()
