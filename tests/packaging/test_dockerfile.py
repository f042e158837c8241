"""The Dockerfile, without Docker: its files, commands and user exist, and its last line starts a server that gets ready."""

import fnmatch
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from recommender.cli import app
from tests.packaging.conftest import ROOT

INSTRUCTIONS = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()
    if line.strip() and not line.startswith("#")
]


def of(name):
    return [rest for instruction, rest in INSTRUCTIONS if instruction == name]


def test_what_is_copied_is_there_and_reaches_the_build():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for line in of("COPY") if "--from" not in line for source in line.split()[:-1]}
    assert copied == allowed and all((ROOT / source).exists() for source in copied)


def test_everything_that_pip_builds_from_is_copied():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = set(settings["tool"]["setuptools"]["package-dir"].values()) | {settings["project"]["readme"], "LICENSE"}
    copied = {source for line in of("COPY") if "--from" not in line for source in line.split()[:-1]}
    assert needed <= copied


def test_what_is_ignored_is_nothing_that_the_wheel_needs():
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] not in "#!*"]
    assert ignored == ["eval/LOG.md"]
    assert not fnmatch.filter([path.name for path in (ROOT / "adapters").iterdir()], "*.training")


def test_commands_exist_and_the_extra_too():
    programs = {shlex.split(line)[0] for line in of("RUN")}
    own = {"recommender", "/opt/recommender/bin/pip"}
    assert own < programs and all(shutil.which(program) for program in programs - own)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (extra,) = re.findall(r"\[(\w+)\]", " ".join(of("RUN")))
    assert extra == "server" and extra in extras


def test_it_runs_as_a_user_without_rights_that_owns_the_cache():
    (user,) = of("USER")
    assert user != "root" and any(line.startswith("useradd") and line.endswith(f" {user}") for line in of("RUN"))
    assert any(f"--owner {user} /cache" in line for line in of("RUN"))
    assert of("VOLUME") == ["/cache"] and "RECOMMENDER_CACHE=/cache" in " ".join(of("ENV"))
    order = [instruction for instruction, _ in INSTRUCTIONS]
    assert order.index("USER") < order.index("VOLUME") < order.index("CMD")


def test_commands_of_the_program_are_ones_that_it_has():
    commands = [shlex.split(line) for line in of("RUN") if line.startswith("recommender ")]
    commands.append(json.loads(of("ENTRYPOINT")[0]) + json.loads(of("CMD")[0]))
    for _, *arguments in commands:
        with pytest.raises(SystemExit) as exit_:
            app([*arguments, "--help"])
        assert not exit_.value.code
        context = _parsed(arguments)
        assert context.params


def _parsed(arguments):
    from typer.main import get_command

    command = get_command(app)
    return command.commands[arguments[0]].make_context(arguments[0], list(arguments[1:]))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.slow
@pytest.mark.assets
def test_the_command_starts_a_server_that_its_health_check_finds_ready(tmp_path):
    port = free_port()
    arguments = [port if part == "8000" else part for part in json.loads(of("CMD")[0])]
    health = json.loads(re.search(r"CMD (\[.*\])", of("HEALTHCHECK")[0]).group(1))
    (checked_port,) = re.findall(r":(\d+)/", health[-1])
    assert checked_port == of("EXPOSE")[0] == "8000"
    check = [sys.executable, *health[1:-1], health[-1].replace(":8000/", f":{port}/")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    log = Path(tmp_path / "log")
    with log.open("w") as file:
        command = [sys.executable, "-m", "recommender", *arguments]
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=file, stderr=file)
    try:
        assert subprocess.run(check, capture_output=True).returncode != 0  # nobody listens yet
        deadline = time.monotonic() + 180
        while subprocess.run(check, capture_output=True).returncode:
            assert server.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
    finally:
        server.terminate()
        server.wait(timeout=60)
