"""Plays the replies of a chat model back without it: of a file, or of a run.

A recording is a text file, one JSON object a line, appended as replies come in:

    {"prompt_digest": "9f86d0...", "reply": "...", "model": "gpt-4o",
     "finish_reason": "stop", "usage": {"input_tokens": 812, ...}, "hint": "..."}

`prompt_digest` is the SHA-256 of the JSON text of the messages, `[[role, text], ...]`.
`hint` is the beginning of the last message, to tell lines apart by eye. `reply` and
`prompt_digest` are needed, the rest may be missing. A run folder is a recording too:
its trace holds every prompt and reply.
"""

from __future__ import annotations

import difflib
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
from dux_graphs.prompt_digest import digest_of_prompt, hint_of_prompt
from dux_graphs.recorded_trace import fact, reply_of_event

_HINT_CHARACTERS = 200
_COMPARED = 1000  # recorded prompts that a strange one is compared with
_MOST_BYTES = 2**29


class RecordingError(ValueError):
    """A recording cannot be read; the message names the file and the line."""


class RecordingMiss(LookupError):
    """A prompt is not in the recording: this is not the run that was recorded."""


class RecordedFailure(Exception):
    """The recorded run got no answer here, and this is what was said of it."""


class RecordedChatModel(BaseChatModel):
    """Plays recorded replies, each to the prompt that it was the reply to.

    The replies to one prompt are played in order, the last one again and again; a
    prompt that is not recorded raises RecordingMiss. With `once` each is played once,
    and a prompt that is not recorded gets the next one that is left, so that a run
    which goes another way is seen to go it; RecordedFailure where none is left.

    Attributes:
        file: the recording.
        replies: in the order that they came in, `{"prompt_digest", "reply", ...}`; one
            with a "failure" in place of a reply raises RecordedFailure.
        model_name: the model that was recorded, where the recording says so.
        once: see above.
        strangers: how many prompts were not recorded.
    """

    file: str = ""
    replies: list[dict[str, Any]]
    model_name: str = "recorded"
    once: bool = False
    strangers: int = 0
    _left: dict[str, list[int]] = PrivateAttr(default_factory=dict)
    _turn: Any = PrivateAttr(default_factory=threading.Lock)

    def model_post_init(self, context: Any) -> None:
        """Look the prompts up once."""
        super().model_post_init(context)
        for place, entry in enumerate(self.replies):
            self._left.setdefault(entry["prompt_digest"], []).append(place)

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
            why = getattr(error, "strerror", None) or error
            raise RecordingError(
                f"recording {str(path)!r} cannot be read: {why}; a run folder, or a "
                f"JSONL file that dux_graphs.recording.RecordingChatModel wrote, was "
                f"wanted; name one."
            ) from error
        replies: list[dict[str, Any]] = []
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
            replies.append(entry)
        if not replies:
            raise RecordingError(
                f"recording {str(path)!r} holds no reply; record a run first"
            )
        return cls(file=str(path), replies=replies, model_name=_model_in(replies))

    @classmethod
    def _of_run(cls, folder: Path) -> RecordedChatModel:
        try:
            name = fact(read_json(_text_of(folder / "run.json")), "model")
            trace = _text_of(folder / "trace.jsonl")
        except (OSError, ValueError) as error:
            raise RecordingError(
                f"{str(folder)!r} is no run folder ({error}); pass one that `dux run`"
                " printed, or a JSONL file of recorded replies"
            ) from error
        replies: list[dict[str, Any]] = []
        for line in trace.split("\n"):
            entry = reply_of_event(line, name)
            if entry is not None:
                replies.append(entry)
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
        entry = self._next(digest_of_prompt(messages), messages)
        if "failure" in entry:
            raise RecordedFailure(entry["failure"])
        return _result(entry, entry.get("model") or self.model_name)

    def _next(self, digest: str, messages: list[BaseMessage]) -> dict[str, Any]:
        with self._turn:
            own = self._left.get(digest)
            if own:
                last = len(own) == 1 and not self.once
                return self.replies[own[0] if last else own.pop(0)]
            self.strangers += 1
            if not self.once:
                raise RecordingMiss(self._miss(digest, hint_of_prompt(messages)))
            others = [places for places in self._left.values() if places]
            if not others:
                raise RecordedFailure(
                    "the recorded run asked for fewer replies than this one"
                )
            return self.replies[min(others, key=lambda places: places[0]).pop(0)]

    def _miss(self, digest: str, hint: str) -> str:
        firsts = {entry["prompt_digest"]: entry for entry in reversed(self.replies)}
        hints = [
            str(entry.get("hint", ""))[:_HINT_CHARACTERS]
            for entry in islice(firsts.values(), _COMPARED)
        ]
        near = difflib.get_close_matches(hint, hints, n=1, cutoff=0.0) or [""]
        return (
            f"the prompt {digest[:12]} ({hint[:80]!r}) is not among the"
            f" {len(firsts)} in {self.file!r}; nearest is {near[0][:80]!r}."
            " Replay with the seed, task and settings of the recording, or record anew"
        )


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


def _model_in(replies: Sequence[Mapping[str, Any]], name: str = "") -> str:
    """The model that gave the first reply of which that is known."""
    named = (
        entry["model"]
        for entry in replies
        if isinstance(entry.get("model"), str) and entry["model"]
    )
    return next(named, name) or "recorded"


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
