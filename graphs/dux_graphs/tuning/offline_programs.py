"""The offline rule of a study of code: a list. It is NOT a language model."""

import random
from collections.abc import Callable, Sequence

from dux_graphs.offline.model import WrittenModel
from dux_prompts.figures import fenced
from dux_prompts.tuning.general_programs import GENERAL_PROGRAMS, drawn_program
from dux_prompts.tuning.program import SOURCE
from dux_prompts.tuning.study_view import StudyView


class OfflinePrograms(WrittenModel):
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

    def answer(self, chat: Sequence[tuple[str, str]]) -> str:
        """The next program, and why."""
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
        return f"{why}\n\n{fenced(source)}\n"
