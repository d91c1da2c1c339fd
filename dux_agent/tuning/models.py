"""The language models of a study."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dux_agent.arguments import language_models, listed
from dux_agent.tuning.plan import StudyPlan

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

    from dux_graphs.language_model import LanguageModel


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
