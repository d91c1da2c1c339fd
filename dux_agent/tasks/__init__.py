"""The training tasks of `dux run`: digits, the paper's mnist, sine and imdb, and yours.

    task = dux_agent.tasks.build("sine", seed=0)

Listing them imports no torch, so that the command line answers at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from dux_agent.errors import BadArgument, DuxError, MissingExtra
from dux_agent.tasks.named import TASKS as TASKS
from dux_agent.tasks.named import Builder, builder_of, failed
from dux_agent.tasks.named import in_full as in_full
from dux_agent.tasks.named import listed as listed
from dux_agent.tasks.protocol import check_task

if TYPE_CHECKING:
    from dux_agent.tasks.protocol import Task


def build(name: str, seed: int, *, device: Any = None, dtype: Any = None) -> Task:
    """The task of that name with the initial weights of `seed`.

    Seeds torch's global generator, as the definitions of the tasks ask.

    Args:
        name: as `dux_agent.tasks.named` reads it; the module that it is in is imported.
        seed: from 0 to 2**32 - 1.
        device: where it is trained, as `torch.device` takes it; None: the task's own.
        dtype: of its weights and of what is no whole number in its data: a name of
            `dux_agent.tasks.placing.DTYPES`; None: the task's own.

    Raises:
        BadArgument: there is no task of that name, it is no task, no such seed, no such
            device, or a task that takes none.
        MissingExtra: a package that loads its data is not installed.
        DataMissing: its data are not where they were looked for.
    """
    from dux_agent.tasks.placing import check_placed, placing

    if not 0 <= seed < 1 << 32:
        raise BadArgument(
            f"seed is {seed}; it must be from 0 to {(1 << 32) - 1}; pick one of those."
        )
    builder = builder_of(name)
    place = placing(device, dtype)
    if name in TASKS:
        return _ours(name, builder, seed, place)
    if not _takes(builder, "seed"):
        raise BadArgument(
            f"{name} takes no seed; a function build(seed) was wanted; give it the "
            f"argument, and draw the initial weights after torch.manual_seed(seed)."
        )
    for each, value in place.items():
        if not _takes(builder, each):
            raise BadArgument(
                f"{each} is {value}, and {name} takes no {each}; a function "
                f"build(seed, *, {each}=None) was wanted; give it the argument, or "
                f"leave {each} out."
            )
    try:
        built = check_task(builder(seed=seed, **place), name)
    except DuxError:
        raise
    except Exception as error:  # whatever a function of anybody's raises
        raise failed(f"{name} built no task", error) from error
    check_placed(built.model, name, **place)
    return built


@contextmanager
def in_words(name: str) -> Iterator[None]:
    """Say in words what the code of anybody's task raises while a command trains it.

    Raises:
        BadArgument: it raised something; of one of ours that is raised as it is.
    """
    try:
        yield
    except DuxError:
        raise
    except Exception as error:  # whatever a task of anybody's raises
        if name in TASKS:
            raise
        raise failed(f"the task {name} ended", error) from error


def _takes(builder: Builder, name: str) -> bool:
    try:
        parameters = inspect.signature(builder).parameters
    except (TypeError, ValueError):
        return False
    kinds = {each.kind for each in parameters.values()}
    return name in parameters or inspect.Parameter.VAR_KEYWORD in kinds


def _ours(name: str, builder: Builder, seed: int, place: dict[str, Any]) -> Task:
    try:
        return cast("Task", builder(seed, **place))
    except ModuleNotFoundError as error:
        package = (error.name or "a package").split(".")[0]
        if package.startswith("dux_"):
            raise
        raise MissingExtra.of(
            {"sklearn": "scikit-learn", "PIL": "pillow"}.get(package, package),
            extra="tasks",
            purpose=f"the task {name}",
        ) from None
