"""How tests are divided among the processes of `pytest -n 2`: what belongs together, and what comes first."""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

#: where tests need servers of vLLM, which take a minute to start
ON_VLLM = ("tests/vllm_plugin/", "tests/server/", "tests/benchmarks/test_server_load.py")
#: files that take ten seconds or more, the longest first: were one of them last, the other process would wait for it
LONG = [
    f"tests/{name}.py"
    for name in (
        "examples/test_examples docs/test_readme engine/test_vllm_server batch/test_runner cli/test_training_commands"
        " cli/test_file_readers adapters/test_shipped cli/test_launching page/test_conversation packaging/test_wheel"
        " packaging/test_dockerfile pipelines/test_demo studies/test_cold_start store/test_event_topics"
        " engine/test_guardian training/test_private_stage benchmarks/test_online_speed test_cluster"
        " benchmarks/test_decode_speed cli/test_audited_commands studies/test_forgetting studies/ratings/test_experiment"
    ).split()
]


#: files of one process: what begins with one of these texts shares servers, which start once for all of them
TOGETHER = {
    **dict.fromkeys(ON_VLLM, "vllm"),
    "tests/page/": "page",
    "tests/examples/": "shipped",
    "tests/docs/test_readme.py": "shipped",
}


class SharedServers(LoadFileScheduling):
    """Gives every file to one process, so that what its tests share is made once; files that share a server, too."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        """Leave the files in the order of the tests: xdist's own begins with those that have many."""
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        shared = (scope for start, scope in TOGETHER.items() if nodeid.startswith(start))
        return next(shared, None) or str(super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)  # `-p no:xdist` knows no such hook
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> SharedServers:
    """Return how tests are divided among processes (pytest -n 2)."""
    return SharedServers(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what needs vLLM, and go on with what takes long."""
    places = {name: place for place, name in enumerate(LONG)}

    def place(item: pytest.Item) -> int:
        path = item.nodeid.partition("::")[0]
        return -1 if path.startswith(ON_VLLM) else places.get(path, len(LONG))

    items.sort(key=place)
