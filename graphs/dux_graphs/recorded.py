"""Records the replies of a chat model, and plays them back without it.

A recording is a text file, one JSON object a line, appended as replies come in:

    {"prompt_digest": "9f86d0...", "reply": "...", "model": "gpt-4o",
     "finish_reason": "stop", "usage": {"input_tokens": 812, ...}, "hint": "..."}

`prompt_digest` is the SHA-256 of the JSON text of the messages, `[[role, text], ...]`.
`hint` is the beginning of the last message, to tell lines apart by eye. `reply` and
`prompt_digest` are needed, the rest may be missing. A prompt that was asked several
times has several lines; they are played back in order, the last one again and again.
A run folder is a recording too: its trace holds every prompt and reply.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import stat
import threading
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import PrivateAttr

from dux_graphs.plain_json import read_json

_HINT_CHARACTERS = 200
_COMPARED = 1000  # recorded prompts that a strange one is compared with
_MOST_BYTES = 2**29
_ROLES = {"human": "user", "ai": "assistant", "chat": "user"}


class RecordingError(ValueError):
    """A recording cannot be read; the message names the file and the line."""


class RecordingMiss(LookupError):
    """A prompt is not in the recording: this is not the run that was recorded."""


def digest_of_prompt(messages: Sequence[BaseMessage]) -> str:
    """The name of a prompt: SHA-256 of its messages, 64 hex digits."""
    return digest_of_chat([(_ROLES.get(m.type, m.type), str(m.text)) for m in messages])


def digest_of_chat(chat: Sequence[tuple[str, str]]) -> str:
    """The same, of `(role, text)` pairs with the roles system, user and assistant."""
    plain = [list(pair) for pair in chat]
    text = json.dumps(plain, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def hint_of_prompt(messages: Sequence[BaseMessage]) -> str:
    """The beginning of the last message on one line, for people and near misses."""
    text = str(messages[-1].text) if messages else ""
    return " ".join(text.split())[:_HINT_CHARACTERS]


class RecordedChatModel(BaseChatModel):
    """Plays a recording back; raises RecordingMiss for a prompt that is not in it.

    Attributes:
        file: the recording.
        replies: of each prompt, by its digest, in order.
        model_name: the model that was recorded, where the recording says so.
    """

    file: str
    replies: dict[str, list[dict[str, Any]]]
    model_name: str = "recorded"
    _played: dict[str, int] = PrivateAttr(default_factory=dict)
    _turn: Any = PrivateAttr(default_factory=threading.Lock)

    @classmethod
    def open(cls, file: str | Path) -> RecordedChatModel:
        """The recording in a file, or in a run folder.

        A torn last line, as a crash leaves it, is passed over.

        Raises:
            RecordingError: the file is missing or empty, or a line is no reply.
        """
        path = Path(file)
        if path.is_dir():
            return cls._of_run(path)
        try:
            text = _text_of(path)
        except (OSError, UnicodeDecodeError) as error:
            raise RecordingError(
                f"recording {str(path)!r} cannot be read ({error}); pass a JSONL file"
                " that dux_graphs.recorded.RecordingChatModel wrote"
            ) from error
        replies: dict[str, list[dict[str, Any]]] = {}
        lines = text.split("\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = _entry_of(line)
            except ValueError as error:
                if number == len(lines):
                    continue
                raise RecordingError(
                    f"recording {str(path)!r}, line {number}: found {line[:60]!r};"
                    ' wanted a JSON object with "prompt_digest" and "reply"'
                ) from error
            replies.setdefault(entry["prompt_digest"], []).append(entry)
        if not replies:
            raise RecordingError(
                f"recording {str(path)!r} holds no reply; record a run first"
            )
        return cls(file=str(path), replies=replies, model_name=_model_in(replies))

    @classmethod
    def _of_run(cls, folder: Path) -> RecordedChatModel:
        try:
            name = _fact(read_json(_text_of(folder / "run.json")), "model")
            trace = _text_of(folder / "trace.jsonl")
        except (OSError, ValueError) as error:
            raise RecordingError(
                f"{str(folder)!r} is no run folder ({error}); pass one that `dux run`"
                " printed, or a JSONL file of recorded replies"
            ) from error
        replies: dict[str, list[dict[str, Any]]] = {}
        for line in trace.split("\n"):
            entry = _reply_of_event(line, name)
            if entry is not None:
                replies.setdefault(entry["prompt_digest"], []).append(entry)
        if not replies:
            raise RecordingError(
                f"the run in {str(folder)!r} got no reply of a language model; name"
                " one that asked for proposals"
            )
        return cls(
            file=str(folder), replies=replies, model_name=_model_in(replies, name)
        )

    @property
    def _llm_type(self) -> str:
        return "recorded"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        digest = digest_of_prompt(messages)
        entries = self.replies.get(digest)
        if entries is None:
            raise RecordingMiss(self._miss(digest, hint_of_prompt(messages)))
        with self._turn:
            played = self._played.get(digest, 0)
            self._played[digest] = played + 1
        entry = entries[min(played, len(entries) - 1)]
        return _result(entry, entry.get("model") or self.model_name)

    def _miss(self, digest: str, hint: str) -> str:
        hints = [
            str(entry.get("hint", ""))[:_HINT_CHARACTERS]
            for entries in islice(self.replies.values(), _COMPARED)
            for entry in entries[:1]
        ]
        near = difflib.get_close_matches(hint, hints, n=1, cutoff=0.0) or [""]
        return (
            f"the prompt {digest[:12]} ({hint[:80]!r}) is not among the"
            f" {len(self.replies)} in {self.file!r}; nearest is {near[0][:80]!r}."
            " Replay with the seed, task and settings of the recording, or record anew"
        )


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


def _text_of(path: Path) -> str:
    """The text of an ordinary file: a device would never end."""
    # Opening a pipe without this waits for somebody to write to it.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(handle, "rb") as held:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError("it is no ordinary file")
        content = held.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise OSError(f"it holds more than {_MOST_BYTES} bytes")
    return content.decode("utf-8")


def _fact(facts: Any, name: str) -> str:
    value = facts.get(name) if isinstance(facts, dict) else None
    return value if isinstance(value, str) else ""


def _model_in(
    replies: Mapping[str, Sequence[Mapping[str, Any]]], name: str = ""
) -> str:
    """The model that gave the first reply of which that is known."""
    named = (
        entry["model"]
        for entries in replies.values()
        for entry in entries
        if isinstance(entry.get("model"), str) and entry["model"]
    )
    return next(named, name) or "recorded"


def _reply_of_event(line: str, model: str) -> dict[str, Any] | None:
    """A reply in a line of a trace, as a recording has it; None for other events.

    A line that is no event is the torn last one, or somebody else's: it is passed over,
    as readers of a trace do.
    """
    # Most lines are losses: a look at the text is a hundred times faster.
    if '"reply"' not in line:
        return None
    try:
        event = read_json(line, nan=True)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("kind") != "reply":
        return None
    data = event.get("data")
    if not isinstance(data, dict):
        return None
    digest, content = data.get("prompt"), data.get("content")
    if not isinstance(digest, str) or not isinstance(content, str):
        return None
    return {
        "prompt_digest": digest,
        "reply": content,
        "model": _fact(data, "model") or model,
        "usage": _tokens(data.get("usage")),
    }


def _tokens(usage: Any) -> dict[str, int] | None:
    """What a trace says of the tokens of a call, as a message carries it."""
    names = ("input_tokens", "output_tokens", "total_tokens")
    held = usage if isinstance(usage, dict) else {}
    counts = {name: held.get(name, 0) for name in names}
    sound = all(type(count) is int and count >= 0 for count in counts.values())
    return counts if sound and any(counts.values()) else None


def _entry_of(line: str) -> dict[str, Any]:
    """One reply of a recording, which may be anybody's.

    Raises:
        ValueError: it is none.
    """
    entry = read_json(line, nan=True)
    if not isinstance(entry, dict):
        raise ValueError("no JSON object")
    for name in ("prompt_digest", "reply"):
        if not isinstance(entry.get(name), str):
            raise ValueError(f"no {name}")
    return entry


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


def _result(entry: Mapping[str, Any], model_name: str) -> ChatResult:
    metadata = {"model_name": model_name}
    if entry.get("finish_reason"):
        metadata["finish_reason"] = str(entry["finish_reason"])
    message = AIMessage(
        content=str(entry["reply"]),
        response_metadata=metadata,
        usage_metadata=entry.get("usage"),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])
