"""A chat model that answers as a recorded run was answered."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from dux_agent.run_folder.trace import Event
from dux_graphs.events import ApplyEvent, ErrorEvent, PromptEvent, ReplyEvent
from dux_graphs.recorded import digest_of_prompt


class RecordedFailure(Exception):
    """The recorded run got no answer here, and this is what was said of it."""


@dataclass(frozen=True)
class Answer:
    """What became of one prompt.

    Attributes:
        prompt: digest of the prompt.
        content: the reply; None where the model failed for good.
        usage: tokens of the reply.
        failure: what was said where there is no reply.
    """

    prompt: str
    content: str | None
    usage: dict[str, float]
    failure: str = ""


def answers_in(events: Iterable[Event]) -> list[Answer]:
    """The answers of a trace, in the order they came.

    Trouble that another call mended is left out: a replay waits for nobody.
    """
    found: list[Answer] = []
    prompt, failure = "", ""

    def close() -> None:
        if prompt and failure:
            found.append(Answer(prompt, None, {}, failure))

    for event in events:
        body = event.body
        if isinstance(body, PromptEvent):
            if body.digest != prompt:
                close()
                failure = ""
            prompt = body.digest
        elif isinstance(body, ErrorEvent) and prompt:
            failure = failure or body.message
        elif isinstance(body, ReplyEvent):
            tokens = {name: n for name, n in body.usage.items() if name != "calls"}
            found.append(Answer(prompt, body.content, tokens))
            prompt, failure = "", ""
        elif isinstance(body, ApplyEvent):
            close()
            prompt, failure = "", ""
    close()
    return found


class ReplayedModel(BaseChatModel):
    """Plays the answers of a trace back.

    A prompt that was recorded gets its own answer; another one gets the next that has
    not been played, so that a run which goes another way is seen to go it.

    Attributes:
        answers: of the recorded run, in order.
        model_name: what the run called its model.
        strangers: how many prompts were not recorded.
    """

    answers: list[Answer]
    model_name: str = "replayed"
    strangers: int = 0
    _played: set[int] = PrivateAttr(default_factory=set)
    _turn: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return "replayed"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = self._next(digest_of_prompt(messages))
        if answer.content is None:
            raise RecordedFailure(answer.failure)
        full = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        message = AIMessage(
            content=answer.content,
            response_metadata={"model_name": self.model_name, "finish_reason": "stop"},
            usage_metadata={**full, **answer.usage} if answer.usage else None,
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _next(self, digest: str) -> Answer:
        with self._turn:
            left = [n for n in range(len(self.answers)) if n not in self._played]
            own = [n for n in left if self.answers[n].prompt == digest]
            if not own:
                self.strangers += 1
            for number in own or left:
                self._played.add(number)
                return self.answers[number]
        raise RecordedFailure("the recorded run asked for fewer replies than this one")
