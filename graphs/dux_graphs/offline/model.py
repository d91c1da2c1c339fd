"""The offline model: fixed rules behind a chat model's face. NOT a language model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult

from dux_graphs.offline.deciding import decide
from dux_graphs.offline.reading import read_chat
from dux_graphs.offline.writing import NOTICE, write_source


class OfflineRules(BaseChatModel):
    """Rule-based stand-in for a language model; it is NOT a language model.

    It has no weights and uses no network. It reads the same messages as any model
    would, finds the figures in their text, decides by written rules
    (`dux_graphs.offline.deciding`) and answers with a complete, commented
    optimizer class. The same messages get the same answer.
    """

    model_name: str = "offline-rules"

    @property
    def _llm_type(self) -> str:
        return "offline-rules"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "language_model": False}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        chat = [(message.type, str(message.text)) for message in messages]
        source = write_source(decide(read_chat(chat)))
        reply = f"{NOTICE}\n\n```python\n{source}```\n"
        return reply_of_rules(self.model_name, [text for _, text in chat], reply)


def reply_of_rules(name: str, prompts: Sequence[str], reply: str) -> ChatResult:
    """What written rules answer, as a chat model gives it.

    It has words in and out in place of tokens, so that counters have something to
    count.

    Args:
        name: of the model.
        prompts: the texts of the messages.
        reply: the answer.
    """
    read = sum(len(text.split()) for text in prompts)
    written = len(reply.split())
    message = AIMessage(
        content=reply,
        response_metadata={"model_name": name, "finish_reason": "stop"},
        usage_metadata=UsageMetadata(
            input_tokens=read, output_tokens=written, total_tokens=read + written
        ),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])
