"""A search in the terminal: what the winners do, and what was stopped where."""

import math

from rich.console import Console
from rich.text import Text

from dux_agent.evolving.evolve import SEARCH
from dux_agent.evolving.plan import OFFLINE, EvolvePlan
from dux_agent.evolving.reading import Reported, SearchTold, change
from dux_agent.formatting import plural
from dux_agent.showing import one_line
from dux_agent.terminal.report_text import say
from dux_agent.terminal.tables import plain_table
from dux_graphs.intervals import half_interval


def cost_lines(plan: EvolvePlan) -> list[str]:
    """What a search will come to, before it starts."""
    arms = 1 + len(plan.baselines)
    evaluations = arms * plan.budget
    short, seeds = len(plan.tasks), plan.validation_seeds
    validated = arms * plan.finalists * len(plan.validation) * seeds
    reported = (arms + 1) * len(plan.report) * plan.report_seeds
    asked = (
        []
        if plan.model == OFFLINE
        else [f"at most {3 * plan.budget} calls of {plan.model}"]
    )
    return [
        *asked,
        f"{plural(evaluations, 'evaluation')} ({plan.budget} of the search and of each "
        f"baseline: {', '.join(plan.baselines)}), each at most "
        f"{plural(short, 'short training')}, {short} full ones for the best third, and "
        f"more seeds for the best of those",
        f"then {plural(validated, 'training')} to validate and {reported} to report",
    ]


def print_search(console: Console, told: SearchTold) -> None:
    """What a search came to."""
    table = plain_table("On the tasks of the report, beside AdamW at its defaults")
    table.add_column("winner of", no_wrap=True)
    table.add_column("loss", justify="right", no_wrap=True)
    table.add_column("validation", justify="right", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for arm, each in told.reported().items():
        thought = one_line(f"{each.row.operator}: {each.row.thought}", 200)
        loss, validation = loss_of(each), change(each.validation)
        table.add_row(arm, loss, validation, Text(thought))
    console.print(table)
    stopped = told.stopped_at(SEARCH)
    for stage, count in sorted(stopped.items(), key=lambda each: -each[1]):
        say(console, f"stopped by {stage}: {count}")
    say(console, told.verdict())
    say(console, f"run folder: {told.path}")


def loss_of(reported: Reported) -> str:
    """The loss beside the reference's, with its interval over seeds."""
    seeds = reported.seeds
    half = half_interval(seeds) if len(seeds) > 1 else None
    return change(math.fsum(seeds) / len(seeds), half)
