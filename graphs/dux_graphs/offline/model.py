"""The offline model: fixed rules behind a chat model's face. NOT a language model."""

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


class WrittenModel(BaseChatModel):
    """What somebody has written, behind a chat model's face; NOT a language model.

    A subclass gives `answer`. Words in and out stand in place of tokens, so that
    counters have something to count.
    """

    model_name: str

    @property
    def _llm_type(self) -> str:
        return self.model_name

    def answer(self, chat: Sequence[tuple[str, str]]) -> str:
        """The reply to messages, of which it is given the types and the texts."""
        raise NotImplementedError("override answer()")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        chat = [(message.type, str(message.text)) for message in messages]
        reply = self.answer(chat)
        read, written = sum(len(text.split()) for _, text in chat), len(reply.split())
        message = AIMessage(
            content=reply,
            response_metadata={"model_name": self.model_name, "finish_reason": "stop"},
            usage_metadata=UsageMetadata(
                input_tokens=read, output_tokens=written, total_tokens=read + written
            ),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


class OfflineRules(WrittenModel):
    """Rule-based stand-in for a language model; it is NOT a language model.

    It has no weights and uses no network. It reads the same messages as any model
    would, finds the figures in their text, decides by written rules
    (`dux_graphs.offline.deciding`) and answers with a complete, commented
    optimizer class. The same messages get the same answer.
    """

    model_name: str = "offline-rules"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "language_model": False}

    def answer(self, chat: Sequence[tuple[str, str]]) -> str:
        """A complete optimizer class, in one block."""
        source = write_source(decide(read_chat(chat)))
        return f"{NOTICE}\n\n```python\n{source}```\n"
