"""What the folder of a search alone may not say, since it may be anybody's."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dux_agent.errors import BadArgument
from dux_agent.evolving.plan import OFFLINE, EvolvePlan
from dux_agent.runs.vouched import remember, vouched, words_of_task


def vouch(plan: EvolvePlan, folder: str | Path) -> None:
    """Remember what somebody says here who begins a search in a folder."""
    said = [words for _, words in _tasks(plan)]
    remember([*said, _inline_words(plan, folder)])


def trusted(plan: EvolvePlan, folder: str | Path) -> EvolvePlan:
    """The plan of a folder; what a model wrote runs inline only as was said here.

    Raises:
        BadArgument: a task would be imported that was never named on this machine.
    """
    for task, words in _tasks(plan):
        if not vouched(words):
            raise BadArgument(
                f"the search in {folder} trains {task}, which was never named on this "
                f"machine, from here; a folder alone was wanted to import nothing; "
                f"name it if you trust it: dux run {task}."
            )
    if vouched(_inline_words(plan, folder)):
        return plan
    return replace(plan, execution="isolated")


def _tasks(plan: EvolvePlan) -> Iterator[tuple[str, str]]:
    for task in (*plan.tasks, *plan.validation, *plan.report):
        yield task, words_of_task(task.partition("@")[0])


def _inline_words(plan: EvolvePlan, folder: str | Path) -> str:
    if plan.model == OFFLINE or plan.execution != "inline":
        return ""
    return f"inline search {Path(folder).absolute()}"
