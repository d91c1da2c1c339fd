"""The offline rule behind a chat model's face. It is NOT a language model."""

import json
from collections.abc import Callable, Sequence

from dux_graphs.offline.model import WrittenModel
from dux_graphs.tuning.pattern_search import next_config, worth
from dux_prompts.tuning.space import Space
from dux_prompts.tuning.study_view import StudyView


class OfflineSearch(WrittenModel):
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

    def answer(self, chat: Sequence[tuple[str, str]]) -> str:
        """A configuration that was not tried, and why."""
        view, space = self.view(), self.space()
        over = [(row.config, worth(row.value, view.maximize)) for row in view.trials]
        under_way = [(config, float("inf")) for config in view.pending]
        config, why = next_config(space, [*over, *under_way], seed=self.seed)
        return f"{why}\n{json.dumps(config)}"
