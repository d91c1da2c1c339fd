"""What is told of a decision when it is over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dux_agent.decisions import Decision
from dux_agent.live.swap import SwapRecord
from dux_graphs.events import ApplyEvent, CarriedOver


def apply_event(
    decision: Decision, record: SwapRecord | None, models: Any
) -> ApplyEvent:
    """The event of a decision's end.

    Args:
        record: of the swap; None: there was none.
        models: how the language models stand, where several are tried.
    """
    body = ApplyEvent(
        digest=decision.digest,
        verdict=decision.verdict,
        reason=decision.reason,
        seconds=decision.seconds,
        usage=decision.usage,
        models=models,
    )
    if record is None:
        return body
    return replace(
        body,
        carry=CarriedOver(record.carry.carried, record.carry.dropped),
        learning_rates_before=tuple(record.learning_rates_before),
        learning_rates=tuple(record.learning_rates),
        rows_not_watched=record.rows_not_watched,
    )
