"""The schedule of a training loop as plain data, as the prompts describe it."""

from typing import Any

from dux_agent.live.optimizer import DuxOptimizer
from dux_agent.live.schedulers import name_of
from dux_sandbox.group_shares import number_in

_MOST_GROUPS = 8


def describe_schedule(
    live: DuxOptimizer, lr_owner: str, steps: int | None
) -> dict[str, Any] | None:
    """What sets the learning rate while training goes on; None where nothing does.

    Looks for schedulers.

    Args:
        lr_owner: "proposal" or "scheduler".
        steps: until the model is asked again, if known.

    Returns:
        `{"names": ["CosineAnnealingLR"], "owner": "proposal", "now": [0.1],
        "ahead": [0.05] or None, "initial": [0.1] or None}`: the rates of each group
        that the schedule alone would have set now and will have set after `steps`,
        and those that it began with. A loop that computes its rates has no names.
    """
    schedule = live.schedule
    schedule.find()
    groups = range(min(_MOST_GROUPS, len(live.param_groups)))
    if not any(schedule.scheduled(index) for index in groups):
        return None
    names = [name_of(each) for each in schedule.schedulers]
    if not names and not schedule.by_hand:
        names = ["one that could not be found"]
    now = [number_in(schedule.own(index)) for index in groups]
    ahead = None if steps is None else schedule.foretell(steps, live.steps)
    initial = [schedule.initial(index) for index in groups]
    return {
        "names": names,
        "owner": lr_owner,
        "now": [rate for rate in now if rate is not None],
        "ahead": None if ahead is None else ahead[:_MOST_GROUPS],
        "initial": None if None in initial else initial,
    }
