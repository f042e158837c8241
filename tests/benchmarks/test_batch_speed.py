"""The bench of batches: every method answers the same lines."""

from recommender.benchmarks.batch_speed import BatchSettings, bench_batch
from recommender.benchmarks.processor_time import processor_time


def test_one_process_and_its_answers():
    settings = BatchSettings(lines=40, part=16, workers=1, ray=False, items=50)
    first, second = bench_batch(None, settings, lambda *_: None)
    assert first["lines"] == second["lines"] == 40 and first["errors"] == 0
    assert second["identical"] is True and first["identical"] is None


def test_the_processor_is_counted_in_processes_below_too():
    import subprocess
    import sys

    with processor_time() as taken:
        subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 1.2: pass"], check=True)
    assert 0.6 < taken.seconds < 3
