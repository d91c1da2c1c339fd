"""A task of `dux tune` by its name: `svm:digits`, `toy:branin`, `table:vehicle`."""

from dux_agent.errors import BadArgument
from dux_agent.tuning_tasks.classification import ClassificationTask
from dux_agent.tuning_tasks.data_sets import DATA_SETS
from dux_agent.tuning_tasks.families import FAMILIES
from dux_agent.tuning_tasks.images import NETWORKS, ImageTask
from dux_agent.tuning_tasks.tables import TABLES, TableTask
from dux_agent.tuning_tasks.toys import TOYS, Toy

TuningTask = ClassificationTask | ImageTask | TableTask | Toy


KINDS = ("toy", "table", "image", *FAMILIES)
"""What stands before the colon of a name of ours."""


def is_task(name: str) -> bool:
    """Whether a name is one of ours."""
    kind, colon, which = name.partition(":")
    return bool(colon) and which in _of_kind(kind)


def build(name: str) -> TuningTask:
    """The task of that name.

    Raises:
        BadArgument: there is none.
    """
    kind, _, which = name.partition(":")
    if which not in _of_kind(kind):
        raise BadArgument(
            f"there is no task {name!r}; {in_words()} was wanted, or an objective of "
            f"your own as file.py:objective; pick one."
        )
    if kind == "toy":
        return TOYS[which]
    if kind == "table":
        return TableTask(which)
    if kind == "image":
        return ImageTask(which)
    return ClassificationTask(kind, which)


def in_words() -> str:
    """The names that there are, in words."""
    return (
        f"MODEL:DATA with one of {', '.join(FAMILIES)} and one of "
        f"{', '.join(DATA_SETS)}; toy:NAME with one of {', '.join(TOYS)}; table:NAME "
        f"with one of {', '.join(TABLES)}; image:NAME with one of {', '.join(NETWORKS)}"
    )


def _of_kind(kind: str) -> tuple[str, ...]:
    if kind == "toy":
        return tuple(TOYS)
    if kind == "table":
        return TABLES
    if kind == "image":
        return NETWORKS
    return tuple(DATA_SETS) if kind in FAMILIES else ()
