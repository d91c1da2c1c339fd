"""A model that is no language model, and says so: draws, and errs in known ways.

Where no language model is at hand it stands in for one, so that the whole path from
prompt to table runs; its figures say nothing of any language model.
"""

import json
import random
from collections.abc import Sequence
from typing import Any

from dux_graphs.offline.model import WrittenModel
from dux_prompts.tuning.space import Space

_ERRING = 0.3  # of the replies


class ScriptedModel(WrittenModel):
    """Answers by its seed and by what it is asked; the same prompt, the same answer.

    Attributes:
        space: that it draws from.
        seed: of its draws.
    """

    space: Space
    seed: int = 0
    model_name: str = "scripted"

    model_config = {"arbitrary_types_allowed": True}

    def answer(self, chat: Sequence[tuple[str, str]]) -> str:
        """A drawn configuration, or an error of those that are known."""
        rng = random.Random(f"{self.seed}:{len(chat)}:{chat[-1][1]}")
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
        return f"A scripted draw, and no language model's.\n{written}"
