"""`dux trace DIR`: the decisions of a run in the terminal, or as JSON."""

import json
from pathlib import Path

from rich.console import Console

from dux_agent.errors import BadArgument
from dux_agent.run_history.reading import read_story
from dux_agent.run_history.record import chosen, record_of
from dux_agent.terminal.decision_text import print_decision
from dux_agent.terminal.following import follow
from dux_agent.terminal.report_text import print_facts, print_trace


def show(
    console: Console,
    folder: Path,
    *,
    decision: int | None = None,
    as_json: bool = False,
    live: bool = False,
) -> None:
    """Print what a run folder tells.

    Args:
        console: where to.
        folder: the run folder.
        decision: only this one, with everything said and found in it.
        as_json: one JSON object instead.
        live: go on until the run ends.

    Raises:
        DuxError: there is no such run or decision; these options cannot be combined.
    """
    if live:
        if as_json or decision is not None:
            raise BadArgument(
                "--follow was given with --json or --decision; it shows the whole "
                "table as it grows; leave one of them out."
            )
        print_facts(console, read_story(folder).facts)  # damage is said at once
        follow(console, folder)
        return
    run = read_story(folder)
    told = chosen(run, decision)
    if as_json:
        text = json.dumps(record_of(run, decision), indent=2, allow_nan=False)
        console.file.write(text + "\n")
    elif decision is not None:
        print_decision(console, told[0])
    else:
        print_trace(console, run)
