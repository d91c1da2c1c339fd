"""What a model is told again of earlier trials, word for word."""

from collections.abc import Iterable, Sequence

Message = dict[str, str]

_CHARACTERS = 40_000  # a longer chat begins anew, from a table


class StudyChat:
    """The conversation of a study; with history="compressed" there is none.

    Attributes:
        messages: behind the system message.
        newest: number of the trial that the model proposed last; 0: none.
    """

    def __init__(self, history: str) -> None:
        self._kept = history == "chat"
        self._knows: set[int] = set()
        self.messages: list[Message] = []
        self.newest = 0

    def news(self, numbers: Iterable[int]) -> int | None:
        """How many of these trials it has not told; None: it has yet to begin."""
        if not self.messages:
            return None
        return sum(number not in self._knows for number in numbers)

    def add(
        self, number: int, messages: Sequence[Message], told: Iterable[int]
    ) -> None:
        """The messages of a trial that was asked for.

        Args:
            number: of the trial; 0 where the model's replies were refused.
            messages: its own.
            told: numbers of the trials that its prompt told of.
        """
        self.newest = number
        if not self._kept:
            return
        self.messages = [*self.messages, *messages]
        self._knows |= set(told)
        if sum(len(each["content"]) for each in self.messages) > _CHARACTERS:
            self.messages, self._knows = [], set()
