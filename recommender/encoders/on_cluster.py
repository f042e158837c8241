"""Encodes on many machines: workers encode batches of the items that the cache lacks, and this process keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial

from recommender.cluster import Cluster, Failed
from recommender.config import EncodersConfig
from recommender.data.catalogue import Catalogue
from recommender.encoders.cached_batches import Source, Work, compute_here
from recommender.encoders.encoding_cache import cache_folder
from recommender.encoders.pipeline import Encoders
from recommender.progress import Progress

BATCHES = 8
"""Batches that a worker encodes before it sends their vectors: what is lost with it at most."""

Task = tuple[tuple[str, int], Sequence[list[Source]]]


def fill_cache(
    catalogue: Catalogue, config: EncodersConfig, cluster: Cluster, progress: Progress | None = None
) -> None:
    """Encode all that the cache lacks of a catalogue and of the views of its media, on the workers of a cluster.

    Batches are those that one process makes, so the vectors are the same, but for what another processor computes otherwise.
    What arrives is kept at once: a run that was killed goes on with what is missing. Pictures and sounds lie where all
    machines see them under the same paths. Raises DataError naming item and file, and what `Cluster.map` raises.
    """
    encoders = Encoders.from_config(config)
    encoders.computing = partial(compute_on_cluster, cluster, config)
    encoders.encode(catalogue, progress)
    if config.views:
        encoders.encode_views(catalogue, progress)


class EncodingWorker:
    """The encoders of a configuration, each loaded once; encodes batches."""

    def __init__(self, config: EncodersConfig) -> None:
        self._encoders = Encoders.from_config(config)

    def __call__(self, task: Task) -> dict[str, bytes]:
        """Return the values of the batches of a task, by content hash."""
        key, batches = task
        values: dict[str, bytes] = {}
        for computed in compute_here(self._encoders.work(key), batches):
            values |= computed
        return values


def compute_on_cluster(
    cluster: Cluster, config: EncodersConfig, work: Work, batches: Sequence[list[Source]]
) -> Iterator[dict[str, bytes]]:
    """Yield values by content hash as workers send them. Raises DataError naming the item and the file."""
    tasks = {}
    for start in range(0, len(batches), BATCHES):
        some = batches[start : start + BATCHES]
        contents = "".join(source.content for batch in some for source in batch)
        tasks[hashlib.sha256(contents.encode()).hexdigest()] = (work.key, some)
    # one name for each work, in a folder that the machines share as they share media
    tries = cache_folder(config.cache) / f".tries-{hashlib.sha256(work.identity.encode()).hexdigest()[:16]}"
    for _, result in cluster.map(EncodingWorker, (config,), tasks, tries.absolute()):
        if isinstance(result, Failed):
            raise result.error()
        yield result
