"""What must not outlive a process does not, however it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from recommender.engine import guardian
from recommender.engine.guardian import _runs, end_group

SCRIPT = """
import importlib.util, os, subprocess, sys
from pathlib import Path
found = importlib.util.spec_from_file_location("guardian", sys.argv[2])  # alone: what lies beside it takes seconds
module = importlib.util.module_from_spec(found)
found.loader.exec_module(module)
guardian = module.guardian
kept, removed = Path(sys.argv[1]) / "kept", Path(sys.argv[1]) / "removed"
for folder in (kept, removed):
    guardian().watch("folder", folder)
    folder.mkdir()
    (folder / "a file").write_text("x")
guardian().forget("folder", kept)
child = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600 & wait; sleep 600"], start_new_session=True)
guardian().watch("group", child.pid)
print(child.pid, guardian().process.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hasty(tmp_path):
    """The script of the guardian, which waits for half a second where it waits for five."""
    text = Path(guardian.__file__).read_text()
    shorter = text.replace(
        f"_GRACE_SECONDS, _LOOK_SECONDS = {guardian._GRACE_SECONDS}", "_GRACE_SECONDS, _LOOK_SECONDS = 0.5"
    )
    assert shorter != text
    (tmp_path / "guardian.py").write_text(shorter)
    return tmp_path / "guardian.py"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, None])
def test_what_is_watched_ends_with_the_process_and_what_is_forgotten_stays(tmp_path, hasty, number):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(hasty)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        group, guard = map(int, process.stdout.readline().split())
        assert _runs(group)
        if number is None:
            process.stdin.close()
        else:
            process.send_signal(number)
        process.wait(20)
    until = time.monotonic() + 20
    while _runs(group) or (tmp_path / "removed").exists() or Path(f"/proc/{guard}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert (tmp_path / "kept" / "a file").exists()


def test_a_group_that_does_not_heed_is_made_to_end():
    process = subprocess.Popen(["sh", "-c", "trap '' TERM; sleep 600 & sleep 601"], start_new_session=True)
    time.sleep(0.2)
    began = time.monotonic()
    end_group(process.pid, 0.3)
    assert 0.2 < time.monotonic() - began < 5
    process.wait(5)
    assert not _runs(process.pid)
    end_group(process.pid, 0.3)  # once more does no harm
