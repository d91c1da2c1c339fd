"""Tries a language model: one tiny call, and one proposal for a small task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dux_agent import arguments
from dux_agent.serving import OnTask, dry_run_of, observe
from dux_graphs.proposals import OptimizerBrief
from dux_graphs.redaction import hide_secrets_of
from dux_prompts.observation import Observation
from dux_sandbox.findings import Finding

if TYPE_CHECKING:
    from dux_graphs.language_model import LanguageModel

_TINY = "Answer with the one word: ready"
_TOKENS = ("input_tokens", "output_tokens", "total_tokens")
_TASK = OnTask(task="digits")

STAGES = ("reply", "static_check", "dry_run")


@dataclass(frozen=True)
class Call:
    """One call to a model.

    Attributes:
        seconds: until the whole reply was there.
        usage: tokens by kind, as the model counted them; may be empty.
        text: of the reply; "" where there is none.
        trouble: what went wrong, in one line; "" where nothing did.
    """

    seconds: float
    usage: Mapping[str, int]
    text: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class ModelTrial:
    """What came of a try.

    Attributes:
        tiny: the tiny call; None for written rules and records, which are asked for
            proposals alone.
        proposal: the call for a proposal; None where the tiny one had failed.
        passed: the stages that the proposal passed, of STAGES, in order.
        findings: what the next one found.
    """

    tiny: Call | None
    proposal: Call | None
    passed: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether the proposal would have gone live."""
        return self.passed == STAGES


def try_model(
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    timeout: float = 600.0,
    clock: Callable[[], float] = time.perf_counter,
) -> ModelTrial:
    """Ask a model for one word, then for an optimizer for `digits` after 40 steps.

    Nothing is trained with the proposal: it is read, checked, and tried for ten steps
    on a copy.

    Args:
        name, options, timeout: as `dux_agent.attach` takes lm, lm_options, lm_timeout.
        clock: seconds.

    Raises:
        BadArgument: the name or an option means nothing.
    """
    from dux_graphs.models import takes_options

    model = model_of(name, options=options, timeout=timeout)
    tiny: Call | None = None
    if takes_options(name):
        tiny = _call(model, [{"role": "user", "content": _TINY}], clock)
        if tiny.trouble:
            return ModelTrial(tiny, None)
    return replace(try_proposal(model, OptimizerBrief(None), clock), tiny=tiny)


def model_of(
    name: str, *, options: Mapping[str, Any] | None = None, timeout: float = 600.0
) -> LanguageModel:
    """The language model of that name; arguments and errors as of `try_model`."""
    how: Any = {"seed": 0, "options": options, "timeout": timeout}
    model = (arguments.language_models(name, None, **how) or ())[0]
    hide_secrets_of(model.chat)
    return model


def try_proposal(
    model: LanguageModel,
    brief: OptimizerBrief,
    clock: Callable[[], float] = time.perf_counter,
) -> ModelTrial:
    """Ask for one optimizer for `digits`, with the prompts of `brief`, and try it."""
    from dux_sandbox import check

    observation = Observation.from_dict(observe(_TASK))
    asked = [
        {"role": "system", "content": brief.system(observation)},
        {"role": "user", "content": brief.update(observation)},
    ]
    call = _call(model, asked, clock)
    if call.trouble:
        return ModelTrial(None, call)
    read = brief.read(call.text)
    if isinstance(read, Finding):
        return ModelTrial(None, call, (), (read,))
    report = check(read.source)
    if not report.ok:
        return ModelTrial(None, call, STAGES[:1], report.findings)
    tried = dry_run_of(_TASK, read.source)
    return ModelTrial(None, call, STAGES if tried.ok else STAGES[:2], tried.findings)


def _call(
    model: LanguageModel, messages: list[dict[str, str]], clock: Callable[[], float]
) -> Call:
    from dux_graphs.models import cause_of, text_of

    began = clock()
    try:
        answer = model.ask(messages)
        usage: Any = answer.usage_metadata or {}
        tokens = {name: int(usage[name]) for name in _TOKENS if usage.get(name)}
        return Call(clock() - began, tokens, text_of(answer))
    # The providers' clients raise what they like, and each is what was asked about.
    except Exception as error:
        return Call(clock() - began, {}, trouble=cause_of(error))
