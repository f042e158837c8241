"""Files of requests, answered offline: order kept, one line a request, killed and resumed without loss or repeats."""

from recommender.batch.runner import BatchReport, Options, run_batch

__all__ = ["BatchReport", "Options", "run_batch"]
