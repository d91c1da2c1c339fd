"""A search in the terminal: what the winners do, and what was stopped where."""

from rich.console import Console
from rich.text import Text

from dux_agent.evolving.evolve import SEARCH
from dux_agent.evolving.reading import SearchTold, over_seeds
from dux_agent.showing import one_line
from dux_agent.terminal.report_text import say
from dux_agent.terminal.tables import plain_table


def print_search(console: Console, told: SearchTold) -> None:
    """What a search came to."""
    table = plain_table("On the tasks of the report, beside AdamW at its defaults")
    table.add_column("winner of", no_wrap=True)
    table.add_column("loss", justify="right", no_wrap=True)
    table.add_column("the search beside it", justify="right", no_wrap=True)
    table.add_column("validation", justify="right", no_wrap=True)
    table.add_column("what it is", overflow="fold")
    for arm, each in told.reported().items():
        thought = one_line(f"{each.row.operator}: {each.row.thought}", 200)
        loss, validation = over_seeds(each.seeds), over_seeds(each.validation)
        table.add_row(arm, loss, told.beside(each), validation, Text(thought))
    console.print(table)
    stopped = told.stopped_at(SEARCH)
    for stage, count in sorted(stopped.items(), key=lambda each: -each[1]):
        say(console, f"stopped by {stage}: {count}")
    for name, (bred, gone) in told.bred_by_models().items():
        say(console, f"bred by {name}: {bred}, of which {gone} were stopped")
    say(console, told.verdict())
    say(console, f"run folder: {told.path}")
