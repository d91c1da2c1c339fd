"""The training tasks of `dux run`: digits, and the paper's mnist, sine and imdb.

    task = dux_agent.tasks.build("sine", seed=0)

Listing them imports no torch, so that the command line answers at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from dux_agent.errors import BadArgument, MissingExtra

if TYPE_CHECKING:
    from dux_agent.tasks.in_memory import InMemoryTask

# Name: what it is, as `dux run --help` and its errors say it.
TASKS = {
    "digits": "sigmoid MLP on scikit-learn's digits; needs no download",
    "mnist": "sigmoid MLP on MNIST (the paper's)",
    "sine": "RNN that forecasts a noisy sine (the paper's); needs no data",
    "imdb": "small Transformer on IMDB sentiment (the paper's)",
}


def build(name: str, seed: int) -> InMemoryTask:
    """The task of that name with the initial weights of `seed`.

    Seeds torch's global generator, as the definitions of the tasks ask.

    Raises:
        BadArgument: there is no task of that name, or no such seed.
        MissingExtra: a package that loads its data is not installed.
        DataMissing: its data are not where they were looked for.
    """
    if name not in TASKS:
        raise BadArgument(
            f"there is no task {name!r}; it must be one of {', '.join(TASKS)}; "
            f"pick one of them."
        )
    if not 0 <= seed < 1 << 32:
        raise BadArgument(
            f"seed is {seed}; it must be from 0 to {(1 << 32) - 1}; pick one of those."
        )
    try:
        module = import_module(f"{__name__}.{name}")
        return cast("InMemoryTask", module.build(seed))
    except ModuleNotFoundError as error:
        package = (error.name or "a package").split(".")[0]
        if package.startswith("dux_"):
            raise
        raise MissingExtra.of(
            {"sklearn": "scikit-learn", "PIL": "pillow"}.get(package, package),
            extra="tasks",
            purpose=f"the task {name}",
        ) from None
