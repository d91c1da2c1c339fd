"""What a decision's prompts show of other trainings: chosen once, then as recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dux_agent.deciding.pace import Pace
from dux_agent.deciding.searching import Searching
from dux_agent.experience.situation import situation_of
from dux_agent.run_folder.recorder import Recorder
from dux_agent.training.token_room import TokenRoom
from dux_graphs.paid_model import PaidModel
from dux_graphs.proposals import Brief
from dux_prompts.brief import BriefError
from dux_prompts.experience import MOST_CHARACTERS
from dux_prompts.observation import Observation

if TYPE_CHECKING:
    from dux_graphs.budget import Budget


@dataclass(frozen=True)
class Recall:
    """Looks into the library for one agent.

    Attributes:
        searching: holds the entries.
        brief: writes the prompts.
        window: tokens of a prompt and its reply, as the user gave them.
        recorder: knows what was recorded before.
        budget: knows how many tokens the models count.
    """

    searching: Searching
    brief: Brief
    window: int | None
    recorder: Recorder
    budget: Budget

    def onto(self, observation: Observation, pace: Pace | None) -> Observation:
        """The observation with what is nearest to it in the library, if there is one.

        A run that is replayed, and a decision that a run which died had begun, are
        shown what was shown then, whatever has become of the library.

        Args:
            observation: without it.
            pace: of the run that is replayed; None: none is.
        """
        known = self._known(observation.decision, pace)
        if known is None:
            library = self.searching.experience
            if not library.entries:
                return observation
            situation = situation_of(observation)
            known = library.recalled(situation, most=self._room(observation))
        return replace(observation, experience=[dict(each) for each in known])

    def _known(
        self, number: int, pace: Pace | None
    ) -> Sequence[Mapping[str, Any]] | None:
        if pace is not None:
            return pace.experience.get(number, ())
        return self.recorder.known_experience(number)

    def _room(self, observation: Observation) -> int:
        """Characters that the first prompt has, beside all that it must say."""
        paid = PaidModel(self.searching.models, budget=self.budget)
        room = TokenRoom.of(paid, self.window)
        if room.tokens is None:
            return MOST_CHARACTERS
        try:
            texts = (self.brief.system(observation), self.brief.update(observation))
        except BriefError:
            return 0  # a template of the user's is wrong; the graph says so
        return -room.over([{"content": each} for each in texts])
