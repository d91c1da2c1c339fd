"""Prompts of a trace without what was told before: a chat repeats itself in each one.

Every prompt of a run holds the system message and the chat so far. Written whole, a
run of a thousand decisions is a thousand times its own chat. So a prompt event in the
file says how many messages are the `same` as those of the prompt before and the reply
to it, and holds the rest. Readers get whole prompts back.
"""

from collections.abc import Mapping
from typing import Any

Message = dict[str, Any]

# A file may be anybody's: a few bytes of it could ask for the whole chat again and
# again. Chats are bounded in characters, so no run comes near either of these.
_LONGEST = 20_000
_MOST_HANDED_OUT = 4_000_000


class PromptChain:
    """The chat as far as a trace has told it; for one writer or one reader.

    >>> chain = PromptChain()
    >>> chain.shorten({"messages": [{"role": "user", "content": "?"}]})
    {'messages': [{'role': 'user', 'content': '?'}], 'same': 0}
    >>> chain.replied("!")
    >>> chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    >>> chain.shorten({"messages": [*chat, {"role": "user", "content": "And?"}]})
    {'messages': [{'role': 'user', 'content': 'And?'}], 'same': 2}
    """

    def __init__(self) -> None:
        self._told: list[Message] = []
        self._handed_out = 0

    def shorten(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The data of a prompt as they stand in the file; the next one goes on here."""
        messages = data.get("messages")
        if not isinstance(messages, list):
            return dict(data)
        same = 0
        for known, message in zip(self._told, messages, strict=False):
            if known != message:
                break
            same += 1
        self._keep(list(messages))
        return {**data, "messages": messages[same:], "same": same}

    def whole(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The data of a prompt with every message; `same` still counts the old ones.

        What cannot be made whole, as in a file that somebody cut, stays as it is; so
        does what comes after some millions of messages.
        """
        messages, same = data.get("messages"), data.get("same", 0)
        if not isinstance(messages, list) or not isinstance(same, int):
            return dict(data)
        if not 0 <= same <= len(self._told):
            return dict(data)
        made = [*self._told[:same], *messages]
        self._keep(made)
        self._handed_out += len(made)
        if self._handed_out > _MOST_HANDED_OUT:
            return dict(data)
        return {**data, "messages": list(made)}

    def replied(self, content: Any) -> None:
        """The model answered the last prompt with this text."""
        self._keep([*self._told, {"role": "assistant", "content": content}])

    def _keep(self, told: list[Message]) -> None:
        # Writer and readers begin again at the same message.
        self._told = told if len(told) <= _LONGEST else []
