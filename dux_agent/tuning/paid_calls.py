"""Asks the language models of a study: counted, recorded, and never paid twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from dux_agent.arguments import language_models, listed
from dux_agent.decisions import Budget
from dux_agent.tuning.plan import StudyPlan
from dux_graphs.events import ReplyEvent
from dux_graphs.models import cause_of, text_of
from dux_graphs.recorded import digest_of_chat
from dux_graphs.state import NoMoreCalls, Write

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from dux_graphs.language_model import LanguageModel

_TOKENS = ("input_tokens", "output_tokens", "total_tokens")


class Told(Protocol):
    """Writes one trace event of the trial that is asked for."""

    def __call__(self, kind: str, data: dict[str, Any]) -> None: ...


class Recall(Protocol):
    """The reply that this study got to a prompt of that digest before it died."""

    def __call__(self, prompt: str) -> ReplyEvent | None: ...


class PaidCalls:
    """What a study asks, and what that has cost.

    Attributes:
        usage: calls and tokens so far.
        budget: what they may be at most.
    """

    def __init__(self, models: Sequence[LanguageModel], budget: Budget) -> None:
        self._models, self.budget = models, budget
        self.usage: Counter[str] = Counter(dict.fromkeys(("calls", *_TOKENS), 0))

    def writers(self, tell: Told, recall: Recall) -> list[Write]:
        """Each model as a port of a trial, in the order in which they are asked."""
        return [
            partial(self.write, model, tell=tell, recall=recall)
            for model in self._models
        ] or [_nobody]

    def write(
        self,
        model: LanguageModel,
        messages: list[dict[str, str]],
        *,
        tell: Told,
        recall: Recall,
    ) -> str:
        """The text of a reply.

        Raises:
            BudgetSpent: no call is left.
            Whatever the model raises.
        """
        digest = digest_of_chat([(each["role"], each["content"]) for each in messages])
        known = recall(digest)
        if known is None:
            self.budget.require()
        tell("prompt", {"messages": messages, "digest": digest})
        if known is None:
            text, tokens, name = self._asked(model, messages, tell)
        else:
            text, tokens, name = known.content, _tokens(known.usage), known.model or ""
            self._count(tokens)
        usage = {"calls": 1, **tokens}
        told = {"content": text, "prompt": digest, "usage": usage}
        tell("reply", {**told, "model": name} if name else told)
        return text

    def _asked(
        self, model: LanguageModel, messages: list[dict[str, str]], tell: Told
    ) -> tuple[str, dict[str, int], str]:
        def again(error: Exception, options: Any) -> None:
            tell_of(error, f"asked again without {', '.join(options)}: ")
            self.budget.require()
            self._count({})

        def tell_of(error: Exception, what: str = "") -> None:
            message = what + cause_of(error)
            tell("error", {"error": type(error).__name__, "message": message})

        # A call that fails has been made too.
        self._count({})
        try:
            answer = model.ask(messages, again=again)
            tokens = _tokens(answer.usage_metadata)
            self._count(tokens, calls=0)
            return text_of(answer), tokens, _writer_of(answer)
        except Exception as error:
            tell_of(error)
            raise

    def _count(self, tokens: Mapping[str, int], *, calls: int = 1) -> None:
        self.usage.update({"calls": calls, **tokens})
        self.budget.spend(calls=calls, tokens=tokens.get("total_tokens", 0))


def models_of(
    lm: Any,
    fallback: Any,
    options: Any,
    plan: StudyPlan,
    offline: Callable[[], BaseChatModel],
) -> tuple[LanguageModel, ...]:
    """The language models of a study, in the order in which they are asked.

    Args:
        lm, fallback, options: as of `dux_agent.Tuner`.
        plan: the options of the study.
        offline: makes the written rule, where that is named.

    Raises:
        BadArgument: a name or an option cannot be meant.
    """
    names = [offline() if each == "offline" else each for each in listed(lm)]
    seed, timeout = plan.seed, plan.lm_timeout
    made = language_models(
        names or None, fallback, seed=seed, options=options, timeout=timeout
    )
    return made or ()


def _nobody(messages: list[dict[str, str]]) -> str:
    raise NoMoreCalls("no language model was given")


def _writer_of(answer: Any) -> str:
    name = answer.response_metadata.get("model_name")
    return name[:200] if isinstance(name, str) else ""


def _tokens(usage: Any) -> dict[str, int]:
    held = usage if isinstance(usage, Mapping) else {}
    return {name: int(held[name]) for name in _TOKENS if held.get(name)}
