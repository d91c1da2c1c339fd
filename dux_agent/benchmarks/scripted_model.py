"""A model that is no language model, and says so: draws, and errs in known ways.

Where no language model is at hand it stands in for one, so that the whole path from
prompt to table runs; its figures say nothing of any language model.
"""

from __future__ import annotations

import json
import random
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatResult

from dux_graphs.offline.model import reply_of_rules
from dux_prompts.tuning.space import Space

_ERRING = 0.3  # of the replies


class ScriptedModel(BaseChatModel):
    """Answers by its seed and by what it is asked; the same prompt, the same answer.

    Attributes:
        space: that it draws from.
        seed: of its draws.
    """

    space: Space
    seed: int = 0
    model_name: str = "scripted"

    model_config = {"arbitrary_types_allowed": True}

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        texts = [str(message.text) for message in messages]
        rng = random.Random(f"{self.seed}:{len(texts)}:{texts[-1]}")
        config: dict[str, Any] = self.space.draw(rng)
        written = json.dumps(config)
        if rng.random() < _ERRING:
            first = next(iter(config))
            written = rng.choice(
                (
                    "no configuration comes to mind",
                    json.dumps({**config, "momentum of the moon": 1}),
                    json.dumps({**config, first: "very high"}),
                    json.dumps({k: v for k, v in config.items() if k != first}),
                    f"{written}\n{written}",
                )
            )
        reply = f"A scripted draw, and no language model's.\n{written}"
        return reply_of_rules(self.model_name, texts, reply)
