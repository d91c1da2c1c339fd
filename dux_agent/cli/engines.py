"""Options that say who works: `--engine` and `--address`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from dux_agent.errors import BadArgument

if TYPE_CHECKING:
    from dux_agent.evolving.evolve import Engine

EngineName = Annotated[
    str,
    typer.Option(
        "--engine",
        metavar="[processes|ray]",
        help="Who works: processes of this machine, or a cluster of Ray's.",
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT|auto",
        help="With --engine ray: of a cluster that runs.",
        show_default="this machine",
    ),
]


@contextmanager
def engine_of(
    name: str, address: str | None, workers: int | None
) -> "Iterator[tuple[Engine, int]]":
    """What makes the workers, while they are wanted, and how many.

    Args:
        workers: as many as were asked for; None: one a core, of all machines.

    Raises:
        BadArgument: there is no such engine, or it has no address.
        DuxError: its cluster, or its package, cannot be had.
    """
    if name == "ray":
        from dux_agent.integrations.ray import connected, ray_workers

        with connected(address, workers) as cores:
            yield ray_workers, cores if workers is None else workers
        return
    if name != "processes":
        raise BadArgument(
            f"--engine is {name!r}; processes or ray was wanted; pick one of them."
        )
    if address is not None:
        raise BadArgument(
            f"--address is {address!r} and processes work on this machine alone; an "
            f"address of Ray's was wanted; write --engine ray, or leave it out."
        )
    from dux_agent.engines.processes import processes

    yield processes, _cores() if workers is None else workers


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
