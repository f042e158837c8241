"""Options of commands that can work on many machines, by Ray."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from recommender.errors import ConfigError

if TYPE_CHECKING:
    from recommender.cluster import Cluster

Place = Literal["here", "ray"]
On = Annotated[Place, typer.Option("--on", help="here, or ray: workers on a Ray of this machine or of a cluster")]
RayAddress = Annotated[
    str | None,
    typer.Option(help="HOST:PORT of a Ray, or auto; default: RAY_ADDRESS, else one is started here"),
]
RayWorkers = Annotated[int | None, typer.Option("--workers", min=1, help="workers of --on ray; default: 2")]
WorkerCpus = Annotated[float | None, typer.Option(help="processors that a worker of --on ray takes; default: 1", min=0)]
WorkerGpus = Annotated[float | None, typer.Option(help="GPUs that a worker of --on ray takes; default: none", min=0)]


@contextmanager
def opened_cluster(
    on: Place, address: str | None, workers: int | None, cpus: float | None, gpus: float | None
) -> Iterator[Cluster | None]:
    """Yield the cluster that options name, None to work here. Raises RecommenderError if it cannot be reached."""
    if on == "here":
        given = {"--ray-address": address, "--worker-cpus": cpus, "--worker-gpus": gpus}
        if options := [name for name, value in given.items() if value is not None]:
            raise ConfigError(f"{options[0]} is an option of --on ray", "add --on ray")
        yield None
        return
    from recommender.cluster import ClusterOptions, connected

    options_given = ClusterOptions(
        workers=2 if workers is None else workers,
        address=address,
        cpus=1.0 if cpus is None else cpus,
        gpus=gpus or 0.0,
    )
    with connected(options_given) as cluster:
        yield cluster
