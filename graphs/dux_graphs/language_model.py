"""A chat model as it is asked here: in time, in pieces, with what its server takes."""

from __future__ import annotations

import contextvars
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dux_graphs.open_calls import hang_up, one_call
from dux_graphs.patience import Clock, End, Patience, listen
from dux_graphs.refused_options import options_sent, refused, without
from dux_graphs.trouble import ReplyTrouble, cause_of
from dux_graphs.writing import NobodyWaits
from dux_sandbox.told_warnings import told_warnings_kept

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.messages import AIMessage

log = logging.getLogger(__name__)

Again = Callable[[Exception, Sequence[str]], None]

_MOST_CAUSES = 3
_GRACE = 1.0  # seconds in which a thread ends that has nothing left to do


class NothingStreamed(ReplyTrouble):
    """The server has answered, and not with a stream."""


class CallCancelled(NobodyWaits):
    """Nobody waits for the reply any more."""


class LanguageModel:
    """Asks one chat model, and remembers what its server refuses.

    Attributes:
        name: as it was asked for, or what it calls itself.
        chat: the chat model; a copy without what its server has refused, once it has.
        options: sent with each call.
        streams: whether it is asked for a stream.
    """

    def __init__(
        self,
        chat: BaseChatModel,
        *,
        options: Mapping[str, Any] | None = None,
        patience: Patience | None = None,
        clock: Clock = time.monotonic,
        name: str = "",
    ) -> None:
        """Ask `chat` with `options`, for as long as `patience` lasts by `clock`."""
        self.name = name or _name_of(chat)
        self.chat = _counting(chat)
        self.options = dict(options or {})
        self.streams = True
        self._left_out: set[str] = set()
        self._patience = patience or Patience()
        self._clock = clock
        self._calls: dict[_Call, object] = {}  # and who has asked
        self._lock = threading.Lock()

    def ask(
        self,
        messages: list[dict[str, str]],
        *,
        seconds: float | None = None,
        again: Again | None = None,
        options: Mapping[str, Any] | None = None,
        asker: object = None,
    ) -> AIMessage:
        """The answer to a chat.

        Where the server refuses an option it is asked once more without it, and not
        sent that option again.

        Args:
            messages: `[{"role", "content"}]`.
            seconds: left for this call, beside what the patience allows.
            again: hears, before such a second call, why it is made and which options
                are left out; what it raises ends the call.
            options: of this call, beside those that are sent with each.
            asker: by whom `cancel` finds it.

        Raises:
            TimeoutError: no token came in time.
            ReplyTrouble: the reply was stopped, cut short, or none.
            CallCancelled: `cancel` was called.
            Whatever the chat model raises.
        """
        began = self._clock()
        while True:
            left = None if seconds is None else began + seconds - self._clock()
            try:
                return self._asked(messages, left, self._taken(options), asker)
            except Exception as error:
                names = self._refused_by(error, self._taken(options))
                if not names:
                    raise
                if again is not None:
                    again(error, names)
                log.warning(
                    "the model is asked without %s from now on: %s",
                    ", ".join(names),
                    cause_of(error),
                )
                self._leave_out(names)

    @property
    def input_tokens(self) -> int | None:
        """Tokens that a prompt may have, where the chat model's profile says so."""
        profile = getattr(self.chat, "profile", None)
        most = profile.get("max_input_tokens") if isinstance(profile, Mapping) else None
        return most if type(most) is int and most > 0 else None

    def cancel(self, asker: object = None) -> None:
        """End the calls that are going on; those of one asker, or all (None)."""
        with self._lock:
            found = self._calls.items()
            calls = [call for call, by in found if asker is None or by is asker]
        for call in calls:
            call.end(CallCancelled("the call was cancelled"))

    def _asked(
        self,
        messages: list[dict[str, str]],
        seconds: float | None,
        options: Mapping[str, Any],
        asker: object,
    ) -> AIMessage:
        with self._lock:  # a call that has begun is one that `cancel` finds
            call = _Call(lambda: self._pieces(messages, options))
            self._calls[call] = asker
        try:
            answer = listen(call.receive, self._patience, self._clock, seconds=seconds)
        finally:
            call.end()
            with self._lock:
                del self._calls[call]
        self._refuse_half_a_stream(answer)
        return answer

    def _taken(self, options: Mapping[str, Any] | None) -> dict[str, Any]:
        """The options of one call: its own, where the server takes them, and ours."""
        own = {n: v for n, v in (options or {}).items() if n not in self._left_out}
        return {**self.options, **own}

    def _pieces(
        self, messages: list[dict[str, str]], options: Mapping[str, Any]
    ) -> Iterator[AIMessage]:
        if not self.streams:
            yield self.chat.invoke(messages, **options)
            return
        yield from self.chat.stream(messages, **options)

    def _refused_by(self, error: Exception, options: Mapping[str, Any]) -> list[str]:
        if isinstance(error, NothingStreamed):
            return ["stream"] if self.streams else []
        names = refused(error, options_sent(self.chat, options))
        if not names and self.streams:
            names = refused(error, ["stream"])
        return names

    def _leave_out(self, names: Sequence[str]) -> None:
        self.chat = without(self.chat, list(names))
        self._left_out.update(names)
        for name in names:
            self.options.pop(name, None)
        if list(names) == ["stream"]:
            self.streams = False

    def _refuse_half_a_stream(self, answer: AIMessage) -> None:
        """Servers that speak like OpenAI end a stream by saying why it ends.

        Raises:
            ReplyTrouble: this one has not.
        """
        if not self.streams or not self.chat._llm_type.startswith("openai"):
            return
        metadata = answer.response_metadata
        if not metadata.get("finish_reason") and metadata.get("status") is None:
            raise ReplyTrouble("truncated reply: the stream ended before the reply did")


def by_name(models: Sequence[LanguageModel]) -> dict[str, LanguageModel]:
    """Models by their names; of equal ones the later get a number."""
    named: dict[str, LanguageModel] = {}
    for model in models:
        name, number = model.name, 2
        while name in named:
            name, number = f"{model.name} ({number})", number + 1
        named[name] = model
    return named


def _name_of(chat: BaseChatModel) -> str:
    for field in ("model_name", "model"):
        name = getattr(chat, field, None)
        if isinstance(name, str) and name:
            return name
    return type(chat).__name__


class _Call:
    """One call, made in a thread of its own: a chat model may never come back."""

    def __init__(self, pieces: Callable[[], Iterator[AIMessage]]) -> None:
        self._pieces = pieces
        self._inbox: queue.SimpleQueue[AIMessage | BaseException] = queue.SimpleQueue()
        self._over = threading.Event()
        # Callbacks and tracers of LangChain are found by the context.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._run,), name="dux-call", daemon=True
        )
        self._thread.start()

    def receive(self, seconds: float) -> AIMessage | None:
        """The next piece; None when none has come in so many seconds."""
        try:
            piece = self._inbox.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(piece, BaseException):
            raise piece
        return piece

    def end(self, because: Exception | None = None) -> None:
        """Let the thread end, wherever it is."""
        if because is not None:
            self._inbox.put(because)
        if not self._over.is_set():
            self._over.set()
            hang_up(self._thread.ident)
        # A model of the caller's own may hang for ever, and keeps its thread.
        self._thread.join(_GRACE)

    def _run(self) -> None:
        try:
            with told_warnings_kept(), one_call():  # LangChain silences its own
                for piece in self._pieces():
                    if self._over.is_set():
                        return
                    self._inbox.put(piece)
            self._over.set()
            self._inbox.put(End())
        # Whatever it is, it belongs to who waits for the reply.
        except BaseException as error:
            self._over.set()
            self._inbox.put(_trouble_in(error))


def _trouble_in(error: BaseException) -> BaseException:
    """The trouble with the reply that a client has wrapped in an error of its own."""
    at: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if isinstance(at, ReplyTrouble):
            return at
        at = None if at is None else at.__cause__
    if isinstance(error, ValueError) and "No generation chunks" in str(error):
        return NothingStreamed("empty reply: the stream holds nothing")
    return error


def _counting(chat: BaseChatModel) -> BaseChatModel:
    """The chat model, asked for the tokens of a stream where its maker left it open."""
    if not chat._llm_type.startswith("openai"):
        return chat
    if "stream_usage" in chat.model_fields_set or not hasattr(chat, "stream_usage"):
        return chat
    return chat.model_copy(update={"stream_usage": True})
