"""The language models of a study, and what they are asked with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dux_agent.arguments import language_models, listed
from dux_agent.tuning.plan import StudyPlan
from dux_graphs.tuning.brief import HyperparameterBrief, TrialBrief
from dux_graphs.tuning.offline import OfflineSearch
from dux_graphs.tuning.offline_programs import OfflinePrograms
from dux_graphs.tuning.program_brief import ProgramBrief
from dux_prompts.tuning.space import Space
from dux_prompts.tuning.study_view import StudyView

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
        None if lm is None else names,
        fallback,
        seed=seed,
        options=options,
        timeout=timeout,
    )
    return made or ()


def offline_rule(
    space: Space, view: Callable[[], StudyView], seed: int
) -> BaseChatModel:
    """The written rule for a space: pattern search, or a list of programs.

    Args:
        view: the study, as it is when the rule is asked.
    """
    if space.is_code:
        return OfflinePrograms(view=view, seed=seed)
    return OfflineSearch(space=lambda: space, view=view, seed=seed)


def brief_of(space: Space, plan: StudyPlan) -> TrialBrief:
    """What a study asks with: for numbers, or for programs."""
    if space.is_code:
        return ProgramBrief(plan.reasoning, plan.prompts)
    return HyperparameterBrief(space, plan.reasoning, plan.free, plan.prompts)
