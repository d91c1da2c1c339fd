"""`dux bench prompts --lm NAME`: what the short vocabulary and the full one cost."""

from collections.abc import Iterator
from typing import get_args

from dux_agent.model_trial import STAGES, ModelTrial, model_of, try_proposal
from dux_graphs.proposals import OptimizerBrief
from dux_prompts.brief import Vocabulary

PROPOSALS = 5  # that are asked for with each of them


def vocabularies(lm: str) -> Iterator[str]:
    """A line for each vocabulary: tokens of its prompt, and how many proposals pass.

    Nothing is trained with them: they are read, checked and tried on `digits`.

    Args:
        lm: the language model, as `dux run --lm` takes it; it is paid for each call.

    Raises:
        BadArgument: the name means nothing.
    """
    model = model_of(lm)
    for vocabulary in get_args(Vocabulary):
        brief = OptimizerBrief(None, vocabulary)
        yield _told(vocabulary, [try_proposal(model, brief) for _ in range(PROPOSALS)])


def _told(vocabulary: str, trials: list[ModelTrial]) -> str:
    calls = [trial.proposal for trial in trials if trial.proposal is not None]
    counted = [call.usage.get("input_tokens", 0) for call in calls]
    tokens = f"{sum(counted) / len(counted):,.0f}" if all(counted) else "unknown"
    passed = ", ".join(
        f"{stage.replace('_', ' ')} {sum(stage in each.passed for each in trials)}"
        for stage in STAGES
    )
    troubles = [call.trouble for call in calls if call.trouble]
    trouble = f"; {len(troubles)} calls failed: {troubles[0]}" if troubles else ""
    seconds = sum(call.seconds for call in calls) / max(1, len(calls))
    return (
        f"prompts, {vocabulary} vocabulary: {tokens} tokens going in; "
        f"{sum(each.ok for each in trials)} of {len(trials)} proposals pass "
        f"({passed}); {seconds:.1f} s each{trouble}"
    )
