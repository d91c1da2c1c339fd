"""Chat models of OpenAI, and of every server that speaks like it, by its address."""

from __future__ import annotations

import atexit
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from dux_graphs.open_calls import reading
from dux_graphs.trouble import ReplyTrouble

if TYPE_CHECKING:
    from langchain_core.language_models.chat_models import BaseChatModel

_CONNECT = 30.0
"""Seconds until a server counts as not there."""

_MOST_BYTES = 8 * 2**20
"""Of an answer that is no stream: no chat completion is near that long."""


def speaking_openai(
    name: str,
    *,
    address: str | None,
    key: str,
    timeout: float,
    options: Mapping[str, Any],
) -> BaseChatModel:
    """A chat model behind an address, OpenAI's own where there is none.

    Args:
        address: such as "http://127.0.0.1:8000/v1".
        key: "none" for a server that needs none.
        timeout: seconds until a connection that says nothing is given up.
        options: of the model. What OpenAI's own models do not know (`top_k`, `min_p`)
            goes to the server as it is.
    """
    # It takes a second to import, and only these models need it.
    from langchain_openai import ChatOpenAI
    from openai import Timeout

    known: dict[str, Any] = {
        "model": name,
        "api_key": key,
        "base_url": address,
        "max_retries": 0,
        "timeout": Timeout(timeout, connect=min(timeout, _CONNECT)),
        # Else nobody knows what a call has cost.
        "stream_usage": True,
        "http_client": _client(),
    }
    fields = ChatOpenAI.model_fields
    names = {*fields, *(field.alias for field in fields.values() if field.alias)}
    extra: dict[str, Any] = {}
    for option, value in options.items():
        # OpenAI renamed this one; other servers know the old name alone.
        old = option == "max_tokens" and address is not None
        (known if option in names and not old else extra)[option] = value
    if extra:
        known["extra_body"] = {**(known.get("extra_body") or {}), **extra}
    return ChatOpenAI(**known)


@lru_cache(maxsize=1)
def _client() -> Any:
    """One for all models: it keeps connections by server."""
    from openai import DefaultHttpxClient

    class Client(DefaultHttpxClient):
        """Takes an answer in one piece for the stream that was asked for."""

        def send(self, request: Any, **options: Any) -> Any:
            """As the class above, for a request whose body is JSON."""
            response = super().send(request, **options)
            streamed = bool(options.get("stream"))
            if streamed:
                reading(response)
            plain = response.status_code >= 400 or not _is_chat(request)
            if plain or _is_stream(response):
                return response
            completion = _completion(response)
            if isinstance(completion, bytes):
                return _made_anew(response, completion, request)
            if not streamed:
                return response
            return _made_anew(response, _events(completion), request)

    client = Client()
    atexit.register(client.close)  # or the connections it keeps are left open
    return client


def _is_stream(response: Any) -> bool:
    return str(response.headers.get("content-type", "")).startswith("text/event-stream")


def _is_chat(request: Any) -> bool:
    return str(request.url.path).endswith("/chat/completions")


def _completion(response: Any) -> dict[str, Any] | bytes:
    """The chat completion that is an answer; bytes where they are events all the same.

    Raises:
        ReplyTrouble: it is no chat completion.
    """
    content = _read(response)
    kind = str(response.headers.get("content-type", "of no kind"))[:60]
    text = content.lstrip()
    if text.startswith((b"data:", b"event:", b": ")):
        return content
    try:
        completion = json.loads(text)
    except (ValueError, RecursionError):
        raise ReplyTrouble(
            f"the answer is no JSON: {len(content)} bytes, {kind}"
        ) from None
    if not isinstance(completion, dict):
        raise ReplyTrouble(f"the answer is no chat completion: {kind}")
    if not completion.get("choices") and not completion.get("error"):
        raise ReplyTrouble("no choices in the answer")
    return completion


def _read(response: Any) -> bytes:
    content = bytearray()
    try:
        # One that is read already gives what it holds.
        for piece in response.iter_bytes():
            content += piece
            if len(content) > _MOST_BYTES:
                raise ReplyTrouble(f"runaway reply: more than {_MOST_BYTES} bytes")
    finally:
        response.close()
    return bytes(content)


def _events(completion: dict[str, Any]) -> bytes:
    """A chat completion as the events of a stream."""
    chunk = {**completion, "object": "chat.completion.chunk"}
    choices = completion.get("choices")
    if isinstance(choices, list):
        chunk["choices"] = [
            {**each, "delta": each.get("message") or {}}
            for each in choices
            if isinstance(each, dict)
        ]
    usage, events = chunk.pop("usage", None), [chunk]
    if usage is not None:
        # As servers do: the tokens come last, in an event without a choice.
        events.append({**chunk, "choices": [], "usage": usage})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n"]).encode()


def _made_anew(response: Any, content: bytes, request: Any) -> Any:
    return type(response)(
        response.status_code,
        headers={"content-type": "text/event-stream"},
        content=content,
        request=request,
    )
