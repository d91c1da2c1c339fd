"""Whose turn a trial is: a default's, the language model's, or an optimizer's."""

import random
from dataclasses import dataclass

from dux_agent.tuning.plan import StudyPlan

LM = "lm"


@dataclass(frozen=True)
class Turns:
    """Says who proposes each trial; the same plan says the same.

    Attributes:
        plan: the options of the study.
        asks: there is a language model.
    """

    plan: StudyPlan
    asks: bool

    def of(self, number: int) -> str:
        """ "default", "lm", "override" or the name of the optimizer.

        Args:
            number: of the trial, from 1; those of `defaults` come first.
        """
        plan = self.plan
        if number <= len(plan.defaults):
            return "default"
        if plan.then is None:
            return LM
        if not self.asks:
            return plan.then
        if plan.lm_share is not None:
            drawn = random.Random(f"{plan.seed}:share:{number}").random()
            return "override" if drawn < plan.lm_share else plan.then
        first = plan.lm_first
        if first is None:
            first = -(-(plan.budget or 30) // 3)
        return LM if number - len(plan.defaults) <= first else plan.then
