"""Chat models for tests of the agent: what they answer is written here."""

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from dux_agent import attach
from tests import models


def fenced(source):
    """A reply that holds a source."""
    return f"Here it is.\n```python\n{source}\n```\n"


class Scripted(BaseChatModel):
    """Answers with its replies in turn, the last one again and again.

    A reply that is an exception is raised. `asked` keeps every list of messages.
    """

    replies: list[Any]
    asked: list[list[BaseMessage]] = []
    finish_reason: str = "stop"

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: Sequence[str] | None = None,
        run_manager: Any = None,
        **options: Any,
    ) -> ChatResult:
        reply = self.replies[min(len(self.asked), len(self.replies) - 1)]
        self.asked.append(messages)
        if isinstance(reply, BaseException):
            raise reply
        message = AIMessage(
            reply,
            response_metadata={"finish_reason": self.finish_reason},
            usage_metadata={
                "input_tokens": 7,
                "output_tokens": 3,
                "total_tokens": 10,
            },
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def scripted(*sources):
    """A chat model that proposes these sources one after the other."""
    return Scripted(
        replies=[fenced(each) if isinstance(each, str) else each for each in sources]
    )


def sgd(model):
    import torch

    return torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)


def agent_over(model, *sources, **options):
    """An agent that runs rules in this process, over stochastic gradient descent.

    It takes whatever is finite in the dry run, so that rules which do harm later, or
    gain little, go live.
    """
    given = {"execution": "inline", "lm": scripted(*sources), "accept": "finite"}
    options = given | options
    return attach(model, sgd(model), models.objective, **options)


def run(agent, steps, first=0):
    """Train with the agent; the losses."""
    batches = models.batches()
    return [
        float(agent.step(batches[step % len(batches)]))
        for step in range(first, first + steps)
    ]
