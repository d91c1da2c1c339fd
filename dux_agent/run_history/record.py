"""A run as plain data: what `dux trace --json` prints, and coding agents are told."""

from dataclasses import asdict
from typing import Any

from dux_agent.errors import BadArgument
from dux_agent.run_folder.trace import plain
from dux_agent.run_history.records import DecisionStory, RunHistory


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
            "decisions": [_record(run, each) for each in chosen(run, decision)],
            "rollbacks": [asdict(back) for back in run.went_back],
        }
    )
    return record


def chosen(run: RunHistory, number: int | None) -> tuple[DecisionStory, ...]:
    """The decision of that number, or all of them.

    Raises:
        BadArgument: there is no such decision.
    """
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
