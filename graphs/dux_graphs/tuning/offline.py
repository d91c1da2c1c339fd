"""The offline rule behind a chat model's face. It is NOT a language model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from dux_graphs.offline.model import reply_of_rules
from dux_graphs.tuning.pattern_search import next_config, worth
from dux_prompts.tuning.space import Space
from dux_prompts.tuning.study_view import StudyView


class OfflineSearch(BaseChatModel):
    """Rule-based stand-in for a language model in a study; it is NOT one.

    It is told the study itself, and not only its prompts: the defaults, then pattern
    search, `dux_graphs.tuning.pattern_search`.

    Attributes:
        space, view: what is tuned, and the study, as they are when it is asked.
        seed: of the draws that are left when the pattern has nothing new.
    """

    space: Callable[[], Space]
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
        view, space = self.view(), self.space()
        over = [(row.config, worth(row.value, view.maximize)) for row in view.trials]
        under_way = [(config, float("inf")) for config in view.pending]
        config, why = next_config(space, [*over, *under_way], seed=self.seed)
        reply = f"{why}\n{json.dumps(config)}"
        return reply_of_rules(self.model_name, [str(m.text) for m in messages], reply)
