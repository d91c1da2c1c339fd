"""What a trial of a study of code is about: its prompts, and the reader of replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dux_prompts.tuning.config_reply import Configuration
from dux_prompts.tuning.program_prompts import (
    render_next,
    render_repair,
    render_system,
    render_update,
)
from dux_prompts.tuning.program_reply import read_program
from dux_prompts.tuning.study_view import StudyView
from dux_sandbox.findings import Finding


@dataclass(frozen=True)
class ProgramBrief:
    """Asks for a program that trains, as `HyperparameterBrief` does for numbers.

    Attributes:
        reasoning: a few sentences are wanted before the program.
        prompts: None, "paper", or a folder of templates of the user's own.

    Its methods but `read` raise `dux_prompts.brief.BriefError` where a template of
    that folder is wrong.
    """

    reasoning: bool = True
    prompts: str | None = None

    def system(self, observation: StudyView) -> str:
        """Who is asked, what a program defines, and the form of a reply."""
        return render_system(reasoning=self.reasoning, prompts=self.prompts)

    def update(self, observation: StudyView) -> str:
        """The whole study, or where a chat knows it what is new."""
        render = render_update if observation.news is None else render_next
        return render(observation, reasoning=self.reasoning, prompts=self.prompts)

    def repair(self, attempts: Sequence[Mapping[str, Any]], tries_left: int) -> str:
        """What was found in the program of the last try."""
        return render_repair(attempts, tries_left, prompts=self.prompts)

    def another(self, number: int, candidates: int) -> str:
        """One more program of the same try."""
        return (
            f"Write program {number} of {candidates}, as different from the others as "
            f"you can answer for.\n"
        )

    def read(self, reply: str) -> Configuration | Finding:
        """The program in a reply, as a configuration."""
        return read_program(reply)
