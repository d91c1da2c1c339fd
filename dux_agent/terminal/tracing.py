"""`dux trace DIR`: the decisions of a run in the terminal, or as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from dux_agent.errors import BadArgument
from dux_agent.run_folder.trace import plain
from dux_agent.run_history.reading import read_story
from dux_agent.run_history.records import DecisionStory, RunHistory
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
    told = _decisions(run, decision)
    if as_json:
        text = json.dumps(record_of(run, decision), indent=2, allow_nan=False)
        console.file.write(text + "\n")
    elif decision is not None:
        print_decision(console, told[0])
    else:
        print_trace(console, run)


def record_of(run: RunHistory, decision: int | None = None) -> dict[str, Any]:
    """A run as plain data, as `dux trace --json` prints it.

    Args:
        run: what the run folder tells.
        decision: only this one of its decisions.

    Raises:
        BadArgument: there is no such decision.
    """
    record: dict[str, Any] = plain(
        {
            "run": run.facts,
            "epochs": [asdict(epoch) for epoch in run.epochs],
            "control": [asdict(epoch) for epoch in run.control],
            "decisions": [_record(run, each) for each in _decisions(run, decision)],
            "rollbacks": [asdict(back) for back in run.went_back],
        }
    )
    return record


def _decisions(run: RunHistory, number: int | None) -> tuple[DecisionStory, ...]:
    told = run.decisions
    if number is not None:
        told = tuple(each for each in told if each.number == number)
        if not told:
            raise BadArgument(
                f"the run in {run.path} has no decision {number}; one of its decisions "
                f"was wanted; dux trace {run.path} lists them."
            )
    return told


def _record(run: RunHistory, decision: DecisionStory) -> dict[str, Any]:
    before, after = run.losses_around(decision)
    return {
        "number": decision.number,
        "step": decision.step,
        "decided_at": decision.decided_at,
        "epoch": run.epochs_before(decision),
        "verdict": decision.verdict,
        "reason": decision.reason,
        "digest": decision.digest,
        "incumbent": decision.incumbent_digest,
        "before": before,
        "after": after,
        "seconds": decision.seconds,
        "usage": decision.usage,
        "tries": decision.replies,
        "source": decision.source,
        "events": [
            {"kind": event.kind, "time": event.time, "data": event.data}
            for event in decision.events
        ],
    }
