"""The offline rule of a study of code: a list. It is NOT a language model."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from dux_graphs.offline.model import reply_of_rules
from dux_prompts.figures import fenced
from dux_prompts.tuning.general_programs import GENERAL_PROGRAMS, drawn_program
from dux_prompts.tuning.program import SOURCE
from dux_prompts.tuning.study_view import StudyView


class OfflinePrograms(BaseChatModel):
    """Rule-based stand-in for a language model in a study of code; it is NOT one.

    A fixed list of general programs that name no task, one after the other, then
    perceptrons of drawn numbers.

    Attributes:
        view: the study, as it is when it is asked.
        seed: of the draws.
    """

    view: Callable[[], StudyView]
    seed: int = 0
    model_name: str = "offline-rule"

    @property
    def _llm_type(self) -> str:
        return "offline-rule"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        view = self.view()
        known = {str(row.config[SOURCE]) for row in view.trials}
        known |= {str(config[SOURCE]) for config in view.pending}
        left = [each for each in GENERAL_PROGRAMS if each not in known]
        if left:
            why = "The next of a list of general programs."
            source = left[0]
        else:
            why = "The list is over: a perceptron of drawn numbers."
            source = drawn_program(random.Random(f"{self.seed}:{len(known)}"))
        reply = f"{why}\n\n{fenced(source)}\n"
        return reply_of_rules(self.model_name, [str(m.text) for m in messages], reply)
