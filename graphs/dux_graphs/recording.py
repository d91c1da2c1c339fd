"""Records the replies of a chat model in a file that `dux_graphs.recorded` plays."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from pydantic import PrivateAttr

from dux_graphs.prompt_digest import digest_of_prompt, hint_of_prompt


class RecordingChatModel(BaseChatModel):
    """Passes every prompt to another chat model and appends the reply to a file.

        model = RecordingChatModel(model=chat_model("openai:gpt-4o"), file="run.jsonl")

    Each reply is on disk before it is returned. A call that raises records nothing.
    """

    model: BaseChatModel
    file: str
    _turn: Any = PrivateAttr(default_factory=threading.Lock)

    @property
    def _llm_type(self) -> str:
        return f"recording-{self.model._llm_type}"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        # The model's own lower half, so that callers see one call, not two.
        result = self.model._generate(messages, stop, run_manager, **kwargs)
        answer = result.generations[0].message if result.generations else None
        if isinstance(answer, AIMessage):
            metadata = {**(result.llm_output or {}), **answer.response_metadata}
            entry = {
                "prompt_digest": digest_of_prompt(messages),
                "reply": str(answer.text),
                "model": metadata.get("model_name"),
                "finish_reason": metadata.get("finish_reason"),
                "usage": answer.usage_metadata,
                "hint": hint_of_prompt(messages),
            }
            with self._turn:
                append_reply(self.file, entry)
        return result


def append_reply(file: str | Path, entry: Mapping[str, Any]) -> None:
    """Append one line to a recording and flush it; mends a torn last line first."""
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    # ASCII only: a lone surrogate in a reply must not break the file.
    line = json.dumps(entry, ensure_ascii=True, sort_keys=False)
    _mend_last_line(path)
    with path.open("ab") as stream:
        stream.write(line.encode("ascii") + b"\n")
        stream.flush()


def _mend_last_line(path: Path) -> None:
    """Cut off what a crash left of a line that it was writing."""
    if not path.exists():
        return
    written = path.read_bytes()
    whole = written.rfind(b"\n") + 1
    torn = written[whole:]
    if not torn:
        return
    with path.open("r+b") as stream:
        try:
            json.loads(torn)
        except ValueError:
            stream.truncate(whole)
        else:
            stream.seek(0, 2)
            stream.write(b"\n")
