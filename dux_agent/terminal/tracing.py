"""`dux trace DIR`: the decisions of a run in the terminal, or as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from dux_agent.errors import BadArgument
from dux_agent.record.run_facts import read_facts, read_kept_source
from dux_agent.terminal.decision_stories import epochs_in, stories
from dux_agent.terminal.decision_text import print_decision
from dux_agent.terminal.following import follow
from dux_agent.terminal.report_text import print_facts, print_trace
from dux_agent.trace import plain, read


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

    def source_of(digest: str) -> str | None:
        return read_kept_source(folder, digest)

    facts = read_facts(folder)
    if live:
        if as_json or decision is not None:
            raise BadArgument(
                "--follow was given with --json or --decision; it shows the whole "
                "table as it grows; leave one of them out."
            )
        next(iter(read(folder)), None)  # a damaged trace is said at once
        print_facts(console, facts)
        follow(console, folder, source_of)
        return
    events = read(folder)
    told = stories(events)
    if decision is not None:
        told = [story for story in told if story.number == decision]
        if not told:
            raise BadArgument(
                f"the run in {folder} has no decision {decision}; one of its decisions "
                f"was wanted; dux trace {folder} lists them."
            )
    if as_json:
        record = {
            "run": facts,
            "epochs": [event.data for event in epochs_in(events)],
            "control": [event.data for event in epochs_in(events, "control")],
            "decisions": [
                {
                    **story.as_dict(),
                    "source": source_of(story.digest),
                    "events": [
                        {"kind": event.kind, "time": event.time, "data": event.data}
                        for event in story.events
                    ],
                }
                for story in told
            ],
        }
        text = json.dumps(plain(record), indent=2, allow_nan=False)
        console.file.write(text + "\n")
    elif decision is not None:
        print_decision(console, told[0], source_of)
    else:
        print_trace(console, facts, events, source_of)
