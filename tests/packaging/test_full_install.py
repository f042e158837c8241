"""A fresh environment with everything that pip brings: many minutes and gigabytes, so not in `make test`."""

import json

import pytest

from tests.packaging.conftest import Installed, install

pytestmark = [pytest.mark.slow, pytest.mark.assets]


def test_pip_install_and_the_first_commands(wheel, tmp_path):
    install(wheel, tmp_path / "venv")
    (tmp_path / "elsewhere").mkdir()
    fresh = Installed(tmp_path / "venv", tmp_path / "elsewhere")
    names = "Recommender, Config, Chat, train, evaluate"
    assert fresh.python(f"from recommender import {names}; print(callable(train))") == "True"
    run = fresh.call("recommender", "recommend", "movielens-100k", "--history", "50,181", "--json", "-q")
    assert run.returncode == 0 and len(json.loads(run.stdout)["items"]) == 10, run.stderr
    run = fresh.call("recommender", "demo", "-q", seconds=900)
    assert run.returncode == 0 and "Recommended next:" in run.stdout, run.stderr
