"""The loop's closure in one step of a rule whose code runs in another process."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from dux_sandbox.closures import CountedClosure, is_loss, number_of
from dux_sandbox.findings import RuleFailed
from dux_sandbox.process.conversation import Conversation
from dux_sandbox.process.reported import NONSENSE
from dux_sandbox.values import Decoder, encode

Message = dict[str, Any]


@dataclass(eq=False)
class AskedClosure:
    """Evaluates the caller's closure here, as often as the child asks for it.

    Attributes:
        talk: where it answers.
        counted: the caller's closure.
        take: copies out what the rule has written so far.
        tell: puts into an answer what has changed here.
    """

    talk: Conversation
    counted: CountedClosure
    take: Callable[[Message], None]
    tell: Callable[[Message], None]

    def require_no_error(self) -> None:
        """Raise what the caller's closure raised."""
        if self.counted.error is not None:
            raise self.counted.error from None

    def answer(self, asked: Message) -> Message:
        """Run the caller's closure; what it gave is the answer to the child."""
        if self.counted.error is not None:
            raise self.talk.fail("closure", "it asked again after the closure raised")
        self.take(asked)
        try:
            loss = self.counted()
        except RuleFailed as error:
            raise self.talk.fail_with(error.finding) from None
        except BaseException:
            # The caller's own error comes out of `step`, once the child has been
            # told to give up this step and has answered.
            return {"stop": ["closure", None, "the closure raised", ""]}
        is_double = getattr(loss, "dtype", None) == torch.float64
        answer: Message = {"dtype": "float64" if is_double else "float32"}
        answer["loss"] = encode(number_of(loss), []) if is_loss(loss) else None
        self.tell(answer)
        return answer

    def given(self, loss: float) -> Any:
        """What the closure gave that is this loss; the number where there is none."""
        for value in self.counted.losses:
            if is_loss(value) and number_of(value) == loss:
                return value
        return loss


def loss_in(reply: Message, talk: Conversation, asked: AskedClosure | None) -> Any:
    """What a step returns, by what the child says that the rule returned."""
    if "loss" not in reply:
        return None
    try:
        loss = float(Decoder(bytearray()).decode(reply["loss"]))
    except NONSENSE as error:
        raise talk.fail("channel", str(error)) from None
    return loss if asked is None else asked.given(loss)
