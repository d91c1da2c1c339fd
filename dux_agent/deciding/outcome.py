"""What a decision came to, and what is told of it."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from dux_agent.deciding.background import Cancelled
from dux_agent.deciding.live_ports import DecisionPorts, as_callers_error
from dux_agent.decisions import Decision
from dux_agent.errors import DuxError, RunFolderUnusable
from dux_agent.live.swap import SwapRecord
from dux_agent.run_folder.recorder import Recorder
from dux_agent.training.outdated import Outdated
from dux_agent.training.training import Training
from dux_graphs.events import ApplyEvent, CarriedOver
from dux_graphs.trouble import cause_of
from dux_sandbox.dry_runs.drawn_steps import steps_by_itself
from dux_sandbox.findings import RuleFailed, SourceRejected
from dux_sandbox.running import parameters_of

log = logging.getLogger(__name__)
_MOST = 128


def apply_event(
    decision: Decision,
    record: SwapRecord | None,
    models: Any,
    dry_runs_at: Sequence[int],
    by_itself: tuple[int, ...],
) -> ApplyEvent:
    """The event of a decision's end.

    Args:
        record: of the swap; None: there was none.
        models: how the language models stand, where several are tried.
        dry_runs_at: step at which each dry run began, in the background.
        by_itself: see `moves_by_itself`.
    """
    body = ApplyEvent(
        digest=decision.digest,
        verdict=decision.verdict,
        reason=decision.reason,
        seconds=decision.seconds,
        usage=decision.usage,
        models=models,
        dry_runs_at=tuple(dry_runs_at),
    )
    if record is None:
        return body
    return replace(
        body,
        carry=CarriedOver(record.carry.carried, record.carry.dropped),
        learning_rates_before=tuple(record.learning_rates_before),
        learning_rates=tuple(record.learning_rates),
        rows_not_watched=record.rows_not_watched,
        mode=record.mode,
        unrecorded=record.unrecorded,
        by_itself=by_itself,
    )


def moves_by_itself(
    source: str, training: Training, recorder: Recorder
) -> tuple[int, ...]:
    """The steps until the next decision that move weights without a gradient.

    Nobody looks where nothing is recorded, and once for each source.
    """
    if recorder.folder is None:
        return ()
    settings = training.settings
    shapes = [tuple(each.shape) for each in parameters_of(training.live.param_groups)]
    steps = min(settings.every or settings.steps_per_epoch or _MOST, _MOST)
    return _by_itself(source, tuple(shapes), steps)


@lru_cache(maxsize=16)
def _by_itself(
    source: str, shapes: tuple[tuple[int, ...], ...], steps: int
) -> tuple[int, ...]:
    try:
        return steps_by_itself(source, shapes, steps)
    except (RuleFailed, SourceRejected) as error:
        log.debug("nothing is known of what it does by itself: %s", error)
        return ()


def kept(reason: str) -> dict[str, Any]:
    """How a graph has ended from which no source goes live after all."""
    return {"verdict": "kept", "source": None, "digest": None, "reason": reason}


def failed(error: Exception, ports: DecisionPorts) -> dict[str, Any]:
    """Trouble that ended the graph: the caller's own comes out, ours does not."""
    why = error if ports.callers_error is None else ports.callers_error
    if isinstance(why, Cancelled | Outdated):
        return kept(str(why))
    if ports.callers_error is not None:
        raise as_callers_error(ports.callers_error) from error
    # A disk that refuses a decision's states costs that decision, not the run.
    if isinstance(error, DuxError) and not isinstance(error, RunFolderUnusable):
        raise error
    log.warning("a decision failed: %s", cause_of(error))
    log.debug("where it failed", exc_info=error)
    return {"verdict": "failed", "reason": f"the decision failed: {cause_of(error)}"}
