"""Why a language model need not be asked: nothing that it writes could be tried."""

import logging
from collections.abc import Sequence

from dux_agent.decisions import Decision
from dux_agent.live.integrity import all_finite
from dux_agent.training.training import Training
from dux_sandbox.running_rule import parameters_of

log = logging.getLogger(__name__)

_NO_MODEL = (
    "there is no language model to ask (lm=None); the guard watches the base optimizer"
)
_NO_BATCH = (
    "no batch has been seen yet, so nothing can be tried; call "
    "agent.observe(loss, batch) after each step"
)
_NO_PARAMETERS = "the optimizer holds no parameters any more, so no rule moves anything"
NOT_FINITE = (
    "the weights are not finite, which no optimizer mends, so nobody was asked; load a "
    "checkpoint from before, lower the base optimizer's rate, or attach with lm=None, "
    "whose guard takes such a run back"
)


def nothing_to_try(training: Training, *, asks: bool) -> str | None:
    """The reason why a decision is over before it began, or None.

    Weights are looked at, so their device is waited for: once a decision, which waits
    for it anyway.

    Args:
        asks: there is a language model to ask.
    """
    if not asks:
        return _NO_MODEL
    if not training.batches:
        return _NO_BATCH
    parameters = parameters_of(training.live.param_groups)
    if not parameters:
        return _NO_PARAMETERS
    if not all_finite(parameters):
        return NOT_FINITE
    return None


def say(nothing: str, decisions: Sequence[Decision]) -> None:
    """Warn in the log, but where the decision before ended so too.

    A loop that shows no batch would train to its end beside an agent that never asks,
    and only `agent.decisions` would tell.
    """
    if nothing != _NO_MODEL and (not decisions or decisions[-1].reason != nothing):
        log.warning("nobody is asked for an optimizer: %s", nothing)
