"""What a decision is about: the prompts that ask for it, the reader of the replies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dux_prompts.brief import (
    Reasoning,
    Vocabulary,
    render_another,
    render_repair,
    render_system,
    render_update,
)
from dux_prompts.observation import Observation
from dux_prompts.reply import Proposal, read
from dux_sandbox.findings import Finding


class Brief(Protocol):
    """Asks for one kind of proposal; the nodes know of no template and no reader."""

    def system(self, observation: Observation) -> str:
        """The system message: what is trained, and the contract of a proposal."""
        ...

    def update(self, observation: Observation) -> str:
        """The first prompt of a decision: how training goes."""
        ...

    def repair(self, attempts: Sequence[Mapping[str, Any]], tries_left: int) -> str:
        """The prompt after a try that was refused.

        Args:
            attempts: of that try, see `dux_graphs.state.DecisionState`.
            tries_left: this one included, at least 1.
        """
        ...

    def another(self, number: int, candidates: int) -> str:
        """The prompt for one more proposal of the same try.

        Args:
            number: which one is asked for, from 2.
            candidates: how many are asked for in all.
        """
        ...

    def read(self, reply: str) -> Proposal | Finding:
        """The proposal in a reply, or what is wrong with the reply; never raises."""
        ...


@dataclass(frozen=True)
class OptimizerBrief:
    """Asks for a complete optimizer class.

    Attributes:
        folder: templates of the user's own, which override single prompts.
        vocabulary: "short" or "full", see `dux_prompts.brief.render_system`.
        reasoning: "first" or "none", see there.
        zoo: whether prompts quote sources of the zoo, see `dux_prompts.quoting`.

    Its methods but `read` raise `dux_prompts.brief.BriefError` where a template of
    that folder is wrong.
    """

    folder: str | None = None
    vocabulary: Vocabulary = "short"
    reasoning: Reasoning = "first"
    zoo: bool = False

    def system(self, observation: Observation) -> str:
        """The model, its base optimizer and what a rule may use."""
        return render_system(
            observation,
            folder=self.folder,
            vocabulary=self.vocabulary,
            reasoning=self.reasoning,
        )

    def update(self, observation: Observation) -> str:
        """The losses, the live rule and what became of the last proposals."""
        return render_update(
            observation, folder=self.folder, reasoning=self.reasoning, zoo=self.zoo
        )

    def repair(self, attempts: Sequence[Mapping[str, Any]], tries_left: int) -> str:
        """What was found in the sources of the last try."""
        return render_repair(attempts, tries_left=tries_left, folder=self.folder)

    def another(self, number: int, candidates: int) -> str:
        """A rule that differs from those that the same try has brought."""
        return render_another(number, candidates, folder=self.folder)

    def read(self, reply: str) -> Proposal | Finding:
        """The source in a reply."""
        return read(reply)
