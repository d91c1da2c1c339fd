"""How much text the models have room for, in tokens that only a server can count."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dux_graphs.writing import NoMoreCalls

if TYPE_CHECKING:
    from dux_graphs.paid_model import PaidModel

# English and code have some four characters a token, tables of numbers two to three.
_FIRST_GUESS = 1 / 3
_MORE_THAN_MEAN = 1.1  # a prompt may have more tokens than those before had
_AROUND_A_MESSAGE = 12  # characters that a role and its marks are counted as
_MOST_FOR_THE_REPLY = 4096


class TooLittleRoom(NoMoreCalls):
    """What a decision must say does not fit into the context window."""


@dataclass(frozen=True)
class TokenRoom:
    """The room for one prompt.

    Attributes:
        tokens: of a prompt, at most; None: nobody knows of a bound.
        tokens_per_character: as servers have counted them, or a guess.
    """

    tokens: int | None
    tokens_per_character: float = _FIRST_GUESS

    @classmethod
    def of(cls, paid: PaidModel, window: int | None) -> TokenRoom:
        """The smallest of the models' own, and of the user's.

        Args:
            paid: the models; their budget knows what they have counted.
            window: tokens of prompt and reply together, as the user gave them.
        """
        says = (model.input_tokens for model in paid.models.values())
        rooms = [tokens for tokens in says if tokens is not None]
        if window is not None:
            rooms.append(window - min(_MOST_FOR_THE_REPLY, window // 4))
        counted = (
            paid.budget.expected_of(name, 10_000)["input_tokens"] / 10_000
            for name in paid.models
        )
        seen = _MORE_THAN_MEAN * max(counted, default=0.0)
        return cls(min(rooms, default=None), max(_FIRST_GUESS, seen))

    def over(self, messages: Sequence[Mapping[str, str]]) -> int:
        """Characters that must go so that the messages fit; 0 or less: they do."""
        if self.tokens is None:
            return 0
        room = self.tokens / self.tokens_per_character
        return math.ceil(_characters(messages) - room)

    def too_little(self, messages: Sequence[Mapping[str, str]]) -> TooLittleRoom:
        """The error for messages of which nothing can be left out."""
        tokens = math.ceil(_characters(messages) * self.tokens_per_character)
        return TooLittleRoom(
            f"the prompt takes some {tokens} tokens, and the context window has room "
            f"for {self.tokens} beside a reply; give a larger context_window"
        )


def _characters(messages: Sequence[Mapping[str, str]]) -> int:
    return sum(len(each["content"]) + _AROUND_A_MESSAGE for each in messages)
