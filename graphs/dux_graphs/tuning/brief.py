"""What a trial of a study is about: its prompts, and the reader of its replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from dux_prompts.tuning.config_reply import Configuration, read_configuration
from dux_prompts.tuning.prompts import (
    render_next,
    render_repair,
    render_system,
    render_update,
)
from dux_prompts.tuning.space import Space
from dux_prompts.tuning.study_view import StudyView
from dux_sandbox.findings import Finding

History = Literal["chat", "compressed"]


class TrialBrief(Protocol):
    """Asks for configurations of one kind, as `proposals.Brief` for rules."""

    def system(self, observation: StudyView) -> str:
        """The system message."""
        ...

    def update(self, observation: StudyView) -> str:
        """The first prompt of a trial."""
        ...

    def repair(self, attempts: Sequence[Mapping[str, Any]], tries_left: int) -> str:
        """The prompt after a try that was refused."""
        ...

    def read(self, reply: str) -> Configuration | Finding:
        """The configuration in a reply, or what is wrong with it; never raises."""
        ...


@dataclass(frozen=True)
class HyperparameterBrief:
    """Asks for a configuration of a space, as `OptimizerBrief` does for a class.

    Attributes:
        space: what is tuned.
        reasoning: a few sentences are wanted before the configuration.
        free: ranges do not count, only types and signs.
        prompts: None, "paper", or a folder of templates of the user's own.

    Its methods but `read` raise `dux_prompts.brief.BriefError` where a template of
    that folder is wrong.
    """

    space: Space
    reasoning: bool = True
    free: bool = False
    prompts: str | None = None

    def system(self, observation: StudyView) -> str:
        """Who is asked, and the form of a reply."""
        name = observation.optimizer["name"] if observation.optimizer else ""
        return render_system(
            self.space, reasoning=self.reasoning, optimizer=name, prompts=self.prompts
        )

    def update(self, observation: StudyView) -> str:
        """The whole study, or where a chat knows it what is new."""
        reasoning, prompts = self.reasoning, self.prompts
        if observation.news is not None:
            return render_next(
                self.space, observation, reasoning=reasoning, prompts=prompts
            )
        return render_update(
            self.space,
            observation,
            free=self.free,
            reasoning=reasoning,
            prompts=prompts,
        )

    def repair(self, attempts: Sequence[Mapping[str, Any]], tries_left: int) -> str:
        """What was found in the configuration of the last try."""
        return render_repair(attempts, tries_left, prompts=self.prompts)

    def another(self, number: int, candidates: int) -> str:
        """One more configuration of the same try."""
        return (
            f"Write configuration {number} of {candidates}, as different from the "
            f"others as you can answer for.\n"
        )

    def read(self, reply: str) -> Configuration | Finding:
        """The configuration in a reply."""
        return read_configuration(reply)
